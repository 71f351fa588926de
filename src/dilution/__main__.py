"""``python -m dilution``."""

import os
import sys

# Python has put the current folder first: a file there that is named like an installed module would run. The
# two modules above were imported before that.
try:
    folder: str | None = os.getcwd()  # noqa: PTH109
except OSError:  # it was deleted, say: no file is taken from it, and main() ends with a message
    folder = None
if sys.path[:1] == [folder] and os.path.dirname(os.path.dirname(__file__)) != folder:  # noqa: PTH120
    del sys.path[0]

from dilution.cli import main

main()

"""``python -m dilution``."""

import os
import sys

# Python has put the current folder first: a file there that is named like an installed module would run. The
# two modules above were imported before that.
if sys.path[:1] == [os.getcwd()] and os.path.dirname(os.path.dirname(__file__)) != sys.path[0]:  # noqa: PTH109, PTH120
    del sys.path[0]

from dilution.cli import main

main()

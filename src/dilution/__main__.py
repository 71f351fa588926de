"""``python -m dilution``."""

from dilution.cli import main

main()

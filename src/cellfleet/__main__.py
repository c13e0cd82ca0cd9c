"""`python -m cellfleet`: the same as the command `cellfleet`."""

import sys

from cellfleet.cli import main

if __name__ == "__main__":
    sys.exit(main())

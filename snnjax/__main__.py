"""``python -m snnjax``, where the script ``snnjax`` is not on the path."""

import sys

from snnjax.cli import main

if __name__ == "__main__":
    sys.exit(main())

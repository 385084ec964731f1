"""`python -m counterfactory`: the command line."""

import sys

from counterfactory.cli import main

if __name__ == "__main__":
    sys.exit(main())

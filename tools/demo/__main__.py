"""Run the tool; see tools/run.py."""

import sys

from demo.demo import main

if __name__ == "__main__":
    sys.exit(main())

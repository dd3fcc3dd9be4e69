"""Run the tool; see tools/run.py."""

import sys

from bench.command import bench

if __name__ == "__main__":
    sys.exit(bench())

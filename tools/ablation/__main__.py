"""Run the tool; see tools/run.py."""

import sys

from ablation.commands import ablate_command

if __name__ == "__main__":
    sys.exit(ablate_command())

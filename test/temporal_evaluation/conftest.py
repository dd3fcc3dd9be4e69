"""Lets the tests of this folder import the module that simulates rated people."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

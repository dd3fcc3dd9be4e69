"""Types of command line arguments that several executables accept, for argparse."""

from __future__ import annotations

import argparse


def positive_number(text: str) -> float:
    """Parse a finite number above 0.

    Raises:
        argparse.ArgumentTypeError: The number is not above 0; argparse adds the name of the option.
    """
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value

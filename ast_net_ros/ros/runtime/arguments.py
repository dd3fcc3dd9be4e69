"""Kinds of command line arguments that several executables take, for argparse's `type`.

In: the text of an argument. Out: its value, or argparse's error, which names the option.
"""

from __future__ import annotations

import argparse


def positive_number(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value

"""The error of this part of the package."""

from __future__ import annotations


class RatingError(ValueError):
    """Something that keeps a recording from being rated; the message names it and the fix."""

"""Rate recordings continuously in the browser."""


class RatingError(ValueError):
    """Something that keeps a recording from being rated; the message names it and the fix."""

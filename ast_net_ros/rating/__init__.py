"""Rate recordings continuously in the browser."""

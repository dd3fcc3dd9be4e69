"""Annotate and evaluate recordings: estimates, labels, metrics and reports."""

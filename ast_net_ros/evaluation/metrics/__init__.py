"""Metrics of estimates against labels, with confidence intervals."""

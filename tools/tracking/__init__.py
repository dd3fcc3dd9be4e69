"""Measure the tracker on scenes with known truth."""

"""Measures how well persons are known again."""

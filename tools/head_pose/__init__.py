"""Measure head pose on rendered heads whose pose is known."""

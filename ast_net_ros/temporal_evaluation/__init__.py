"""Evaluate stage 2 on held-out people; joins training (data) and evaluation (metrics), which do not import each other."""

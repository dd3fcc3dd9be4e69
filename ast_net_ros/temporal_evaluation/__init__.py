"""Evaluate stage 2 on held-out people: joins training and evaluation, which do not import each other."""

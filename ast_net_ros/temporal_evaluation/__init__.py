"""Evaluate stage 2 on held-out people: joins training (simulation, data sets) and evaluation (metrics), which do not import each other."""

"""Experiments of stage 2: joins training and evaluation, which know nothing of each other."""

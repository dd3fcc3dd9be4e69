"""Estimates of whole recordings: files, plots, and the commands that make them. Importing this loads nothing heavy."""

"""Soak test: run the node for a long time under changing conditions."""

"""Example behaviours on top of the node."""

"""Example behaviours that use the node's estimates."""

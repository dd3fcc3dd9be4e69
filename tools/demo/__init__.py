"""The demo: a face video played as a camera through the node."""

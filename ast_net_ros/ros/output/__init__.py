"""What the node publishes of each image."""

"""Play recordings as camera topics, and record what the node publishes."""

"""Start from other weights: warm starts, narrower copies, and distillation."""

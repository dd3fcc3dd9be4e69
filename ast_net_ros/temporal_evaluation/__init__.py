"""Evaluate stage 2 on held-out people: joins the data of training with the metrics of evaluation."""

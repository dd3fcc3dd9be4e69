"""Both training stages: the attribute CNN on faces, the stacked LSTM on clips."""

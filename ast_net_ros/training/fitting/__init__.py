"""Fit a trained network to the ratings of one's own recordings: features and ratings in, a network out."""

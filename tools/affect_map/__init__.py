"""Fits the map from emotions to valence and arousal that stage 2 is trained with."""

"""Fit the map from emotions to valence and arousal to rated faces: a bounded ridge regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import lsq_linear

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.training.data.affect_map import (
    STRENGTH_SLOPES,
    TEMPERATURE,
    AffectMap,
    happiness_strength,
    soften,
)

_HAPPINESS = EMOTIONS.index("happiness")
_COUNT = len(EMOTIONS)
_SWEEPS, _TOLERANCE = 100, 1e-5

PUBLISHED_COORDINATES = np.array(
    [
        [0.00, -0.30],  # neutral
        [0.81, 0.51],  # happiness
        [0.40, 0.67],  # surprise
        [-0.63, -0.25],  # sadness
        [-0.51, 0.59],  # anger
        [-0.60, 0.35],  # disgust
        [-0.64, 0.60],  # fear
        [-0.55, 0.00],  # contempt
    ]
)
"""Valence and arousal of each emotion before any fit, in the order of EMOTIONS.

Russell and Mehrabian 1977 for the words, with three departures. Neutral: arousal -0.30 instead of 0, since raters of
faces find the neutral face the least aroused of all. Sadness: -0.25 instead of -0.27. Contempt: this project's choice
(Labs et al. 2015 measured 0.01 for its arousal).
"""

BOUNDS = np.array(
    [
        [[-0.05, 0.05], [-0.30, 0.00]],  # neutral
        [[0.70, 0.90], [0.30, 0.65]],  # happiness
        [[0.20, 0.50], [0.50, 0.80]],  # surprise
        [[-0.80, -0.40], [-0.60, -0.25]],  # sadness
        [[-0.80, -0.40], [0.15, 0.60]],  # anger
        [[-0.80, -0.40], [0.20, 0.50]],  # disgust
        [[-0.80, -0.40], [0.40, 0.70]],  # fear
        [[-0.70, -0.30], [-0.10, 0.20]],  # contempt
    ]
)
"""8 x 2 x 2: between which the fit may choose each emotion's valence and arousal.

Without those of arousal the only rater of the data in use puts angry and frightened faces below neutral ones, and
arousal becomes a copy of valence: docs/training.md has both fits.
"""

AROUSAL_GAIN = 2.0
"""Spread of the arousal ratings that are fitted, relative to the true one: gives back what the ridge takes away."""

VALENCE_PENALTIES, AROUSAL_PENALTIES = (10.0, 30.0), (3.0, 10.0)
"""Of the ridge; cross-validation chooses."""


def fit_affect_map(logits: np.ndarray, ratings: np.ndarray, seed: int = 0) -> AffectMap:
    """Fit the emotions' coordinates to rated faces.

    Minimises the squared error plus a penalty times the squared distance from PUBLISHED_COORDINATES, within BOUNDS.
    Each penalty is the best one in an 8-fold cross-validation. The strength of smiles is measured against that of the
    rated happy faces.

    Args:
        logits: N x 8.
        ratings: N x 2 valence and arousal in [-1, 1].
        seed: Of the folds.
    """
    weights, ratings = soften(logits, TEMPERATURE), np.asarray(ratings, np.float64)
    coordinates = np.empty((_COUNT, 2))
    for dimension, penalties in enumerate((VALENCE_PENALTIES, AROUSAL_PENALTIES)):
        penalty = _best_penalty(weights, ratings[:, dimension], dimension, penalties, seed)
        coordinates[:, dimension] = _ridge(weights, ratings[:, dimension], dimension, penalty)
    happy = weights.argmax(axis=1) == _HAPPINESS
    if happy.sum() < 3:
        return AffectMap(coordinates)
    strength = happiness_strength(logits)[happy]
    mean, deviation = float(strength.mean()), float(strength.std()) or 1.0
    return AffectMap(coordinates, STRENGTH_SLOPES, mean, deviation)


def cross_validated(
    logits: np.ndarray, ratings: np.ndarray, folds: int = 10, seeds: Sequence[int] = range(5)
) -> np.ndarray:
    """Predict every face by a map that was fitted, penalties included, without the face's fold.

    Returns:
        R x N x 2 predictions, one set for each of the R seeds of the folds.
    """
    predictions = np.empty((len(seeds), *ratings.shape))
    for index, seed in enumerate(seeds):
        fold = np.random.default_rng(seed).permutation(len(ratings)) % folds
        for k in range(folds):
            fitted = fit_affect_map(logits[fold != k], ratings[fold != k], seed)
            predictions[index, fold == k] = fitted(logits[fold == k])
    return predictions


def highest_arousal_correlation(logits: np.ndarray, ratings: np.ndarray, at_least_neutral: Sequence[str] = ()) -> float:
    """Bound the correlation with rated arousal that any coordinates reach: they are fitted to these very faces.

    Args:
        logits: N x 8.
        ratings: N x 2 valence and arousal.
        at_least_neutral: Emotions whose arousal may not be below that of a neutral face.
    """
    weights = soften(logits, TEMPERATURE)
    # The weights sum to one, so that neutral is the intercept and each other column the emotion's distance from it.
    # Correlation does not change with offset and scale, nor do the constraints: least squares maximises it.
    columns = np.where(np.arange(_COUNT) == EMOTIONS.index("neutral"), 1.0, weights)
    lowest = [0.0 if emotion in at_least_neutral else -np.inf for emotion in EMOTIONS]
    predicted = columns @ lsq_linear(columns, ratings[:, 1], (lowest, np.inf)).x
    return float(np.corrcoef(predicted, ratings[:, 1])[0, 1])


def _best_penalty(
    weights: np.ndarray, ratings: np.ndarray, dimension: int, penalties: Sequence[float], seed: int, folds: int = 8
) -> float:
    fold = np.random.default_rng(seed).permutation(len(ratings)) % folds

    def error(penalty: float) -> float:
        solutions = [_ridge(weights[fold != k], ratings[fold != k], dimension, penalty) for k in range(folds)]
        return sum(float(np.square(weights[fold == k] @ s - ratings[fold == k]).sum()) for k, s in enumerate(solutions))

    return min(penalties, key=error)


def _ridge(weights: np.ndarray, ratings: np.ndarray, dimension: int, penalty: float) -> np.ndarray:
    """Solve the bounded ridge regression by coordinate descent; the problem is convex."""
    prior, bounds = PUBLISHED_COORDINATES[:, dimension], BOUNDS[:, dimension]
    target = ratings.mean() + AROUSAL_GAIN * (ratings - ratings.mean()) if dimension == 1 else ratings
    quadratic = weights.T @ weights + penalty * np.eye(_COUNT)
    linear = weights.T @ target + penalty * prior
    solution = np.clip(prior, *bounds.T)
    for _ in range(_SWEEPS):
        before = solution.copy()
        for k, (low, high) in enumerate(bounds):
            best = solution[k] + (linear[k] - quadratic[k] @ solution) / quadratic[k, k]
            solution[k] = min(max(best, low), high)
        if np.abs(solution - before).max() < _TOLERANCE:
            break
    return solution

"""From emotion logits to valence and arousal: a linear map of softened probabilities, fitted on rated faces.

Stage 2 takes the targets of its simulated recordings from it. `ast_net fit-affect-map` fits one and cross-validates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.model.network import EMOTIONS

_HAPPINESS = EMOTIONS.index("happiness")
_COUNT = len(EMOTIONS)

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

TEMPERATURE = 1.5
"""Of the softmax before the map: a slight expression keeps its share, and a strong one saturates later."""

AROUSAL_GAIN = 2.0
"""Spread of the arousal ratings that are fitted, relative to the true one: gives back what the ridge takes away."""

VALENCE_PENALTIES, AROUSAL_PENALTIES = (10.0, 30.0), (3.0, 10.0)
"""Of the ridge; cross-validation chooses."""

STRENGTH_SLOPES = (0.10, 0.08)
"""Rise of valence and arousal per standard deviation of the strength of a smile (project's choice; the ratings have
five levels, too coarse to fit it)."""

_SWEEPS, _TOLERANCE = 100, 1e-5


@dataclass(frozen=True)
class AffectMap:
    """Valence and arousal as the mean of the emotions' coordinates, happiness graded by its strength."""

    coordinates: np.ndarray  # 8 x 2, valence and arousal of each emotion in the order of EMOTIONS
    strength_slopes: tuple[float, float] = (0.0, 0.0)  # rise per standard deviation of strength of a happy face
    strength_mean: float = 0.0  # of happy faces; the strength is the logit of happiness minus the mean of all
    strength_deviation: float = 1.0  # standard deviation among them
    temperature: float = TEMPERATURE  # of the softmax that turns logits into weights
    penalties: tuple[float, float] = (0.0, 0.0)  # of valence and arousal in the fit

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return N x 2 valence and arousal of N x 8 emotion logits."""
        return self.of_weights(soften(logits, self.temperature), logits)

    def of_weights(self, weights: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return N x 2 of N x 8 shares of the emotions, such as votes, and N x 8 logits for the strength of smiles."""
        strength = np.clip((_happiness(logits) - self.strength_mean) / self.strength_deviation, -2, 2)
        rise = (weights[:, _HAPPINESS] * strength)[:, None] * np.array(self.strength_slopes)
        return np.clip(weights @ self.coordinates + rise, -1, 1)


FITTED_MAP = AffectMap(
    np.array(
        [
            [-0.050, 0.000, 0.700, 0.650, 0.337, 0.500, -0.763, -0.459],  # neutral, happiness, surprise, sadness
            [-0.796, 0.150, -0.639, 0.200, -0.658, 0.400, -0.570, -0.068],  # anger, disgust, fear, contempt
        ]
    ).reshape(_COUNT, 2),
    STRENGTH_SLOPES,
    strength_mean=7.63,
    strength_deviation=2.77,
    penalties=(10.0, 10.0),
)
"""The map that the default weights were trained with."""


def soften(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of N x 8 logits divided by `temperature`."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_affect_map(logits: np.ndarray, ratings: np.ndarray, seed: int = 0) -> AffectMap:
    """Fit the emotions' coordinates to rated faces.

    Minimises the squared error plus a penalty times the squared distance from PUBLISHED_COORDINATES, within BOUNDS.
    Each penalty is the best one in an 8-fold cross-validation. The strength of smiles is measured against that of the
    rated happy faces.
    """
    weights, ratings = soften(logits, TEMPERATURE), np.asarray(ratings, np.float64)
    coordinates, chosen = np.empty((_COUNT, 2)), []
    for dimension, penalties in enumerate((VALENCE_PENALTIES, AROUSAL_PENALTIES)):
        chosen.append(_best_penalty(weights, ratings[:, dimension], dimension, penalties, seed))
        coordinates[:, dimension] = _ridge(weights, ratings[:, dimension], dimension, chosen[-1])
    happy = weights.argmax(axis=1) == _HAPPINESS
    if happy.sum() < 3:
        return AffectMap(coordinates, penalties=(chosen[0], chosen[1]))
    strength = _happiness(logits)[happy]
    mean, deviation = float(strength.mean()), float(strength.std()) or 1.0
    return AffectMap(coordinates, STRENGTH_SLOPES, mean, deviation, penalties=(chosen[0], chosen[1]))


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


def _happiness(logits: np.ndarray) -> np.ndarray:
    return logits[:, _HAPPINESS] - logits.mean(axis=1)


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

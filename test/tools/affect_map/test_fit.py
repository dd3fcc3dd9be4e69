"""A fit of the affect map follows ratings, within its bounds."""

from __future__ import annotations

import numpy as np
from affect_map.fit import (
    BOUNDS,
    PUBLISHED_COORDINATES,
    cross_validated,
    fit_affect_map,
    highest_arousal_correlation,
)

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.training.data.affect_map import TEMPERATURE, soften


def rated_faces(count=400, seed=0):
    """Logits of faces with a leading emotion each, and the ratings of a rater who follows known coordinates."""
    generator = np.random.default_rng(seed)
    leading = generator.integers(0, 8, count)
    logits = generator.normal(0, 1, (count, 8))
    logits[np.arange(count), leading] += generator.uniform(2, 8, count)
    middle = BOUNDS.mean(axis=2)
    ratings = np.clip(middle[leading] + generator.normal(0, 0.1, (count, 2)), -1, 1)
    return logits, ratings, middle


def test_a_fit_finds_the_coordinates_that_a_rater_follows():
    logits, ratings, middle = rated_faces()
    fitted = fit_affect_map(logits, ratings)
    distance = np.abs(fitted.coordinates - middle)
    assert distance[:, 0].mean() < np.abs(PUBLISHED_COORDINATES - middle)[:, 0].mean() + 0.05
    assert (fitted.coordinates >= BOUNDS[..., 0] - 1e-9).all() and (fitted.coordinates <= BOUNDS[..., 1] + 1e-9).all()
    assert np.corrcoef(fitted(logits)[:, 0], ratings[:, 0])[0, 1] > 0.8


def test_cross_validation_never_sees_the_face_it_predicts():
    logits, ratings, _ = rated_faces(120)
    noise = np.random.default_rng(1).uniform(-1, 1, ratings.shape)
    predicted = cross_validated(logits, noise, folds=4, seeds=(0,))[0]
    assert predicted.shape == ratings.shape
    assert abs(np.corrcoef(predicted[:, 0], noise[:, 0])[0, 1]) < 0.3


def test_a_rater_who_finds_fear_calm_contradicts_its_order():
    logits, ratings, _ = rated_faces()
    coordinates = PUBLISHED_COORDINATES[:, 1].copy()
    coordinates[EMOTIONS.index("fear")] = -0.9
    ratings[:, 1] = soften(logits, TEMPERATURE) @ coordinates
    free, ordered = (highest_arousal_correlation(logits, ratings, least) for least in ((), ("anger", "fear")))
    assert free > 0.999, "the rater's own coordinates are among those allowed"
    follows = np.corrcoef(soften(logits, TEMPERATURE) @ np.maximum(coordinates, -0.3), ratings[:, 1])[0, 1]
    assert follows <= ordered < free

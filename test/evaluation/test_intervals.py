"""Confidence intervals over recordings: as from drawing them one by one, repeatable, and none where none can be."""

from __future__ import annotations

import numpy as np
import pytest

from ast_net_ros.evaluation.metrics.accuracy import MEASURES, accuracy
from ast_net_ros.evaluation.metrics.intervals import Resampling, interval_of_mean, intervals_of_joined


def recordings(count: int, seed: int = 0, length: int = 60) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        truth = generator.uniform(-1, 1) + 0.3 * generator.standard_normal(length + generator.integers(0, 40))
        pairs.append((0.7 * truth + generator.normal(0, 0.2) + 0.1 * generator.standard_normal(len(truth)), truth))
    return pairs


@pytest.mark.parametrize("offset", [0.0, 1e4], ids=["near zero", "far from zero"])
def test_joined_intervals_equal_those_of_joining_every_draw(offset):
    pairs = [(predicted + offset, truth + offset) for predicted, truth in recordings(7)]
    resampling = Resampling(resamples=200, level=0.9, seed=3)
    fast = intervals_of_joined(pairs, resampling)
    counts = np.random.default_rng(3).multinomial(7, np.full(7, 1 / 7), size=200)
    slow = []
    for row in counts:
        drawn = [pair for pair, times in zip(pairs, row) for _ in range(times)]
        slow.append(accuracy(*(np.concatenate([pair[side] for pair in drawn]) for side in (0, 1))))
    for measure in MEASURES:
        edges = np.quantile([metrics[measure] for metrics in slow], [0.05, 0.95])
        assert fast[measure] == pytest.approx(edges, abs=1e-6), measure


def test_the_interval_of_a_mean_equals_drawing_the_values():
    values = np.random.default_rng(1).normal(0.5, 0.1, 12)
    interval = interval_of_mean([*values, None], Resampling(resamples=4000))
    deviation = values.std() / np.sqrt(12)
    assert interval == pytest.approx([values.mean() - 1.96 * deviation, values.mean() + 1.96 * deviation], abs=0.01)


def test_95_percent_intervals_contain_the_mean_as_often():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        interval = interval_of_mean(list(generator.normal(0.2, 1, 40)), Resampling(resamples=400))
        assert interval is not None
        held += interval[0] <= 0.2 <= interval[1]
    assert 0.90 <= held / 300 <= 0.98


def test_intervals_depend_on_the_seed_only():
    pairs = recordings(5)
    assert intervals_of_joined(pairs, Resampling(seed=1)) == intervals_of_joined(pairs, Resampling(seed=1))
    assert intervals_of_joined(pairs, Resampling(seed=1)) != intervals_of_joined(pairs, Resampling(seed=2))


def test_one_recording_has_no_interval():
    assert interval_of_mean([0.3], Resampling()) is None
    assert interval_of_mean([0.3, None], Resampling()) is None
    empty = (np.zeros(0), np.zeros(0))
    assert intervals_of_joined([*recordings(1), empty], Resampling()) == dict.fromkeys(MEASURES)


def test_constant_predictions_have_ccc_interval_zero():
    pairs = [(np.full(50, 1 / 3), np.linspace(-1, end, 50)) for end in (0.5, 1.0, 0.2)]
    intervals = intervals_of_joined(pairs, Resampling(resamples=100))
    assert intervals["ccc"] == [0, 0] and intervals["r"] is None
    assert intervals["rmse"] is not None


def test_invalid_resampling_is_refused():
    for wrong in ({"resamples": 0}, {"level": 1.0}, {"seed": -1}):
        with pytest.raises(ValueError, match="resampling with"):
            Resampling(**wrong)

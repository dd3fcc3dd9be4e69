"""A person's resting valence is learned from rest alone, within bounds."""

import numpy as np
import pytest

from ast_net_ros.model.resting_baseline import RestingBaseline

NEUTRAL = (0.8, 0.1, 0.1, 0, 0, 0, 0, 0)
HAPPY = (0.1, 0.8, 0.1, 0, 0, 0, 0, 0)


def watch(baseline, valence, seconds, emotions=NEUTRAL, arousal=0.0, rate=10, start=0.0):
    for index in range(int(seconds * rate)):
        baseline.update(start + index / rate, valence, arousal, emotions)
    return baseline.value


@pytest.mark.parametrize("valence", [-0.2, -0.05, 0.1, 0.22])
def test_a_resting_face_becomes_neutral_within_ten_seconds(valence):
    assert watch(RestingBaseline(0.25), valence, 10) == pytest.approx(valence, abs=0.03)


def test_a_face_that_smiles_from_the_start_stays_a_smile():
    baseline = RestingBaseline(0.25)
    assert watch(baseline, 0.2, 60, HAPPY) == 0
    assert watch(baseline, 0.6, 60, NEUTRAL, start=60) == 0
    assert watch(baseline, 0.2, 60, NEUTRAL, arousal=0.6, start=120) == 0


def test_the_baseline_is_bounded():
    baseline = RestingBaseline(0.1)
    for index, valence in enumerate(np.random.default_rng(0).uniform(-1, 1, 2000)):
        assert abs(baseline.update(index / 10, float(valence), 0.0, NEUTRAL)) <= 0.1


def test_the_baseline_is_forgotten_away_from_rest():
    baseline = RestingBaseline(0.25)
    learned = watch(baseline, 0.2, 15)
    assert watch(baseline, 0.7, 240, HAPPY, arousal=0.6, start=15) == pytest.approx(learned * np.exp(-2), rel=0.05)


def test_the_frame_rate_does_not_matter():
    values = [watch(RestingBaseline(0.25), 0.2, 4, rate=rate) for rate in (5, 10, 50)]
    assert np.ptp(values) < 0.02


def test_single_outliers_hardly_count():
    baseline = RestingBaseline(0.25)
    before = watch(baseline, 0.0, 10)
    after = baseline.update(10.0, 0.25, 0.0, NEUTRAL)
    assert after - before < 0.01


@pytest.mark.parametrize("limit", [0.0, -0.1, 0.6, float("nan")])
def test_an_impossible_limit_is_refused_with_the_range(limit):
    with pytest.raises(ValueError, match=r"above 0 and at most 0\.5"):
        RestingBaseline(limit)

"""Lags of raters, behind each other and behind the face, are found as they were made."""

from __future__ import annotations

import numpy as np
import pytest

from ast_net_ros.evaluation.agreement.lags import face_lags, relative_lags
from ast_net_ros.evaluation.agreement.panels import read_panels


@pytest.mark.parametrize("seed", range(2))
def test_a_rater_who_is_late_is_found_to_a_twentieth_of_a_second(study, seed):
    made = study(seconds=60, seed=seed)
    made.write_all([0.0, 0.0, 0.4, 0.0])
    lags = relative_lags(read_panels([made.folder]).panels)
    assert lags["rater_2"]["seconds"] == pytest.approx(0.4, abs=0.05)
    for rater in ("rater_0", "rater_1", "rater_3"):
        assert lags[rater]["seconds"] == pytest.approx(0, abs=0.05)


def test_several_recordings_give_an_interval_that_holds_the_lag(study):
    made = study(recordings=6, seconds=30)
    made.write_all([0.2, 1.4, 0.5], noise=0.08)
    lags = relative_lags(read_panels([made.folder]).panels)
    low, high = lags["rater_1"]["interval"]
    assert low <= lags["rater_1"]["seconds"] <= high and high - low < 0.2
    assert lags["rater_1"]["seconds"] == pytest.approx(1.05, abs=0.05)


def test_a_rater_who_follows_nothing_has_no_lag(study):
    made = study(seconds=60)
    made.write_all([0.0, 0.3, 0.1])
    made.write("restless", 0, study(seconds=60, seed=99).rated(0, 0.0))
    made.write("asleep", 0, np.full((len(made.times), 2), 0.2))
    lags = relative_lags(read_panels([made.folder]).panels)
    for rater in ("restless", "asleep"):
        assert lags[rater]["seconds"] is None and "clearly" in lags[rater]["reason"]
    assert lags["rater_1"]["seconds"] == pytest.approx(0.25, abs=0.05)


def test_the_lag_behind_the_face_is_found(study):
    made = study(recordings=3, seconds=60)
    made.write_all([0.6, 1.0, 1.4])
    panels = read_panels([made.folder]).panels
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(2, 8))
    movements = {
        panel.name: np.tanh(made.truth(index) @ mixing) + 0.02 * generator.normal(size=(len(made.times), 8))
        for index, panel in enumerate(panels)
    }
    positions = {rater: about["position"] for rater, about in relative_lags(panels).items()}
    behind, origin = face_lags(panels, movements, positions)
    for rater, lag in (("rater_0", 0.6), ("rater_1", 1.0), ("rater_2", 1.4)):
        found = behind[rater]
        assert found is not None and found.seconds == pytest.approx(lag, abs=0.1)
        assert origin is not None and positions[rater] + origin == pytest.approx(lag, abs=0.05)
    unrelated = {name: generator.normal(size=(len(made.times), 8)) for name in movements}
    behind, origin = face_lags(panels, unrelated, positions)
    assert origin is None and set(behind.values()) == {None}


def test_recordings_too_short_for_the_longest_lag_show_none_behind_the_face(study):
    made = study(recordings=4, seconds=10)
    made.write_all([0.6, 1.0])
    panels = read_panels([made.folder]).panels
    movements = {panel.name: made.truth(index) @ np.ones((2, 8)) for index, panel in enumerate(panels)}
    assert face_lags(panels, movements, {"rater_0": 0.0, "rater_1": 0.4}) == ({}, None)

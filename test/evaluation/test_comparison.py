"""Runs are compared by paired differences; what makes them less comparable is listed."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest

from ast_net_ros.evaluation.comparison import compare_results
from ast_net_ros.evaluation.metrics.intervals import Resampling

BLANK = {"count": 9, "excluded": 0, "bias": 0.0, "remarks": []}


def run(ccc: Mapping[str, float | None], mae: float = 0.2, warm_up: float = 0.0) -> dict:
    """A results.json of recordings with these CCCs, as far as a comparison reads it."""
    recordings = []
    for name, value in ccc.items():
        accuracy = None if value is None else {**BLANK, "r": 0.5, "ccc": value, "rmse": 0.3, "mae": mae, "sagr": 0.7}
        recordings.append(
            {
                "name": name,
                "mode": "offline",
                "topic": "/image",
                "partial": False,
                "truth": {"scored": 9},
                "valence": {"accuracy": accuracy},
                "arousal": {"accuracy": accuracy},
            }
        )
    return {"run": {"command": "x"}, "options": {"warm_up_seconds": warm_up}, "recordings": recordings}


def test_differences_are_of_pairs_and_need_no_common_level():
    baseline = {f"r{i}": 0.05 * i for i in range(12)}
    better = {name: value + 0.02 + 0.001 * (i % 3) for i, (name, value) in enumerate(baseline.items())}
    compared = compare_results(run(better), run(baseline))["modes"]["offline"]["valence"]["ccc"]
    assert compared["difference"] == pytest.approx(0.021)
    low, high = compared["interval"]
    assert 0.02 < low < 0.021 < high < 0.022  # though the recordings themselves lie 0.05 apart
    assert compared["verdict"] == "better" and compared["better_in"] == compared["pairs"] == 12


def test_a_lower_error_is_better_and_a_higher_one_worse():
    ccc = dict.fromkeys("abcdefghijk", 0.5)
    better = compare_results(run(ccc, mae=0.1), run(ccc, mae=0.2))["modes"]["offline"]["arousal"]["mae"]
    worse = compare_results(run(ccc, mae=0.2), run(ccc, mae=0.1))["modes"]["offline"]["arousal"]["mae"]
    assert better["difference"] == pytest.approx(-0.1) and better["verdict"] == "better" and better["better_in"] == 11
    assert worse["verdict"] == "worse" and worse["better_in"] == 0


def test_no_difference_is_undecided():
    ccc = {"a": 0.4, "b": 0.6, "c": 0.5}
    turned = {"a": 0.5, "b": 0.5, "c": 0.5}
    assert compare_results(run(ccc), run(ccc))["modes"]["offline"]["valence"]["ccc"]["verdict"] == "undecided"
    compared = compare_results(run(turned), run(ccc))["modes"]["offline"]["valence"]["ccc"]
    assert compared["verdict"] == "undecided" and compared["better_in"] == 1


def test_one_pair_has_a_difference_and_no_interval():
    mode = compare_results(run({"a": 0.5}), run({"a": 0.4}))["modes"]["offline"]
    assert mode["valence"]["ccc"]["interval"] is None and mode["valence"]["ccc"]["verdict"] == "undecided"
    assert mode["valence"]["ccc"]["difference"] == pytest.approx(0.1)
    assert "no confidence interval" in mode["remarks"][0]


def test_unpaired_recordings_are_listed_and_not_counted():
    compared = compare_results(run({"a": 0.5, "b": None, "new": 0.1}), run({"a": 0.4, "b": 0.3, "old": 0.2}))
    assert compared["only_here"] == ["new"] and compared["only_in_baseline"] == ["old"]
    ccc = compared["modes"]["offline"]["valence"]["ccc"]
    assert ccc["pairs"] == 1 and ccc["recordings"] == {"a": pytest.approx(0.1), "b": None}


def test_differences_between_the_runs_are_listed():
    here, there = run({"a": 0.5}), run({"a": 0.4}, warm_up=10)
    changed = copy.deepcopy(there)
    changed["recordings"][0] |= {"topic": "/other", "partial": True, "truth": {"scored": 5}}
    remarks = "\n".join(compare_results(here, changed)["remarks"])
    for text in (
        "10 s in the baseline",
        "'/other' in the baseline",
        "9 scored frames here, 5",
        "read only partially in the",
    ):
        assert text in remarks
    assert "no recording in common" in compare_results(here, run({"z": 0.1}))["remarks"][0]


def test_resampling_is_the_callers():
    here, there = run({"a": 0.5, "b": 0.9, "c": 0.2}), run({"a": 0.4, "b": 0.4, "c": 0.3})
    narrow, wide = (
        compare_results(here, there, Resampling(level=level))["modes"]["offline"]["valence"]["ccc"]["interval"]
        for level in (0.5, 0.99)
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]

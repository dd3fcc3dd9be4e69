"""Compare two runs recording by recording: the field `comparison` of results.json.

Differences are paired, this run minus the baseline on the same recording, because recordings differ far more from each
other than two models do on one of them. Confidence intervals are over these differences.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS, MEASURES
from ast_net_ros.evaluation.metrics.intervals import FEW_RECORDINGS, Resampling, interval_of_mean
from ast_net_ros.evaluation.metrics.summary import difference_of

LOWER_IS_BETTER = frozenset({"rmse", "mae"})


def compare_results(results: Mapping, baseline: Mapping, resampling: Resampling | None = None) -> dict:
    """Compute paired differences for every mode; recordings are paired by mode and name, the others are listed.

    `results` and `baseline` are the results.json of this and of the other run.
    """
    resampling = resampling or Resampling()
    own, other = ({(r["mode"], r["name"]): r for r in run["recordings"]} for run in (results, baseline))
    shared = [key for key in own if key in other]
    return {
        "baseline": dict(baseline.get("run", {})),
        "only_here": [name for mode, name in own if (mode, name) not in other],
        "only_in_baseline": [name for mode, name in other if (mode, name) not in own],
        "remarks": _remarks(results, baseline, own, other, shared),
        "modes": {
            mode: _mode_differences([(own[key], other[key]) for key in shared if key[0] == mode], resampling)
            for mode in dict.fromkeys(mode for mode, _ in shared)
        },
    }


def _remarks(results: Mapping, baseline: Mapping, own: Mapping, other: Mapping, shared: list) -> list[str]:
    """List what makes the two runs less comparable."""
    remarks = []
    if not shared:
        remarks.append("the runs have no recording in common: nothing can be compared")
    here, there = (run["options"]["warm_up_seconds"] for run in (results, baseline))
    if here != there:
        remarks.append(f"warm-up of {here:g} s excluded here, {there:g} s in the baseline")
    for key in shared:
        first, second = own[key], other[key]
        if first["topic"] != second["topic"]:
            remarks.append(f"{key[1]}: topic '{first['topic']}' here, '{second['topic']}' in the baseline")
        counts = [r["truth"]["scored"] for r in (first, second)]
        if counts[0] != counts[1]:
            remarks.append(f"{key[1]}: {counts[0]} scored frames here, {counts[1]} in the baseline")
        for where, recording in (("here", first), ("in the baseline", second)):
            if recording["partial"]:
                remarks.append(f"{key[1]}: read only partially {where}")
    return remarks


def _mode_differences(pairs: list[tuple[Mapping, Mapping]], resampling: Resampling) -> dict:
    metrics: dict = {"recordings": len(pairs), "remarks": []}
    if len(pairs) == 1:
        metrics["remarks"].append("one common recording: no confidence interval over recordings")
    elif 1 < len(pairs) < FEW_RECORDINGS:
        metrics["remarks"].append(f"{len(pairs)} common recordings: confidence intervals from so few are rough")
    for dimension in DIMENSIONS:
        metrics[dimension] = {
            measure: _paired(
                [(own["name"], _measure(own, dimension, measure), _measure(other, dimension, measure))
                 for own, other in pairs],
                measure in LOWER_IS_BETTER,
                resampling,
            )
            for measure in MEASURES
        }  # fmt: skip
    return metrics


def _measure(recording: Mapping, dimension: str, measure: str) -> float | None:
    accuracy = recording[dimension]["accuracy"]
    return None if accuracy is None else accuracy[measure]


def _paired(
    values: list[tuple[str, float | None, float | None]], lower_is_better: bool, resampling: Resampling
) -> dict:
    """Compare one measure: mean difference, interval, number of recordings in which this run is better, verdict.

    The verdict is "better" or "worse" if the interval excludes zero, else "undecided".
    """
    differences = {name: difference_of(here, there) for name, here, there in values}
    known = [value for value in differences.values() if value is not None]
    interval = interval_of_mean(known, resampling)
    sign = -1 if lower_is_better else 1
    verdict = "undecided"
    if interval is not None and interval[0] * interval[1] > 0:
        verdict = "better" if sign * interval[0] > 0 else "worse"
    return {
        "difference": float(np.mean(known)) if known else None,
        "interval": interval,
        "pairs": len(known),
        "better_in": sum(sign * value > 0 for value in known),
        "verdict": verdict,
        "recordings": differences,
    }

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
        (_, name), first, second = key, own[key], other[key]
        if first["topic"] != second["topic"]:
            remarks.append(f"{name}: topic '{first['topic']}' here, '{second['topic']}' in the baseline")
        here, there = (r["truth"]["scored"] for r in (first, second))
        if here != there:
            remarks.append(f"{name}: {here} scored frames here, {there} in the baseline")
        partial = (where for where, r in (("here", first), ("in the baseline", second)) if r["partial"])
        remarks += [f"{name}: read only partially {where}" for where in partial]
    return remarks


def _mode_differences(pairs: list[tuple[Mapping, Mapping]], resampling: Resampling) -> dict:
    metrics: dict = {"recordings": len(pairs), "remarks": []}
    if len(pairs) == 1:
        metrics["remarks"].append("one common recording: no confidence interval over recordings")
    elif 1 < len(pairs) < FEW_RECORDINGS:
        metrics["remarks"].append(f"{len(pairs)} common recordings: confidence intervals from so few are rough")
    for dimension in DIMENSIONS:
        accuracies = {own["name"]: [run[dimension]["accuracy"] or {} for run in (own, other)] for own, other in pairs}
        metrics[dimension] = {
            measure: _paired(
                {n: difference_of(own.get(measure), other.get(measure)) for n, (own, other) in accuracies.items()},
                -1 if measure in ("rmse", "mae") else 1,
                resampling,
            )
            for measure in MEASURES
        }
    return metrics


def _paired(differences: dict[str, float | None], sign: int, resampling: Resampling) -> dict:
    """Summarise the differences of one measure by recording; `sign` is -1 where a lower value is better.

    The verdict is "better" or "worse" if the interval excludes zero, else "undecided".
    """
    known = [value for value in differences.values() if value is not None]
    interval = interval_of_mean(known, resampling)
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

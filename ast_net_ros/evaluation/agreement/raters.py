"""Compare each rater with the others: agreement, offset and scale, and who is outlying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ast_net_ros.evaluation.agreement.measures import Sums, agreement_measures, finite, jackknife_interval
from ast_net_ros.evaluation.agreement.panels import Panel
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS

FEWEST_RATERS = 3
"""Of two raters it is not known which one is right."""
LOWER_CORRELATION = 0.3
"""A rater is outlying whose correlation with the others is this far below their median, or not positive."""
OFFSET = 0.4
"""... whose mean is this far from the others' mean."""
SCALE = 3.0
"""... whose standard deviation is this many times the others' median, or their median is this many times it."""
LAG = 1.5
"""... who is this many seconds later or earlier than the others."""


def rater_measures(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    """Compare each rater with the mean of the others, over all panels.

    Returns:
        For each rater and dimension: r and ccc with their intervals (over panels, None for fewer than two), offset (the
        rater's mean minus the others'), spread (standard deviation), count, and `reason` where r and ccc are None.
    """
    pairs: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]] = {}
    for panel in panels:
        for index in range(len(DIMENSIONS)):
            values = panel.complete(index)
            total = values.sum(axis=0)
            for rater, own in zip(panel.raters, values):
                others = (total - own) / (len(values) - 1)
                pairs.setdefault(rater, [[], []])[index].append((own, others))
    return {
        rater: {name: _measures(of_rater[index]) for index, name in enumerate(DIMENSIONS)}
        for rater, of_rater in sorted(pairs.items())
    }


def _measures(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    blocks = Sums.joined([Sums.of(np.stack(pair)) for pair in pairs])
    found, without = agreement_measures(blocks.total()), agreement_measures(blocks.without_each())
    own, others = (np.concatenate(side) for side in zip(*pairs))
    measures: dict[str, Any] = {"count": len(own)}
    for name, source in (("r", "r_others"), ("ccc", "ccc_others")):  # of two raters, the others are the other
        value, rest = found[source][0, 0], without[source][:, 0]
        measures[name] = finite(value)
        measures[f"{name}_interval"] = jackknife_interval(value, rest, "Fisher's z")
    return {
        **measures,
        "offset": float((own - others).mean()) if len(own) else None,
        "spread": float(own.std()) if len(own) else None,
        "reason": _undefined(own, others) if measures["r"] is None else None,
    }


def _undefined(own: np.ndarray, others: np.ndarray) -> str:
    if not len(own):
        return "no moment was rated by all raters"
    return "constant ratings" if np.ptp(own) == 0 else "the others' mean is constant"


def outlying_reasons(
    measures: Mapping[str, Mapping[str, Any]], lags: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """Return for each rater the reasons for being called outlying; an empty list for most."""
    if len(measures) < FEWEST_RATERS:
        return {rater: [] for rater in measures}
    reasons = {
        rater: [
            f"{dimension}: {text}"
            for dimension in DIMENSIONS
            for text in _compared(own[dimension], [m[dimension] for name, m in measures.items() if name != rater])
        ]
        for rater, own in measures.items()
    }
    for rater, lag in lags.items():
        if lag["seconds"] is None:
            reasons[rater].append(f"lag: {lag['reason']}")
        elif abs(lag["seconds"]) > LAG:
            side = "later" if lag["seconds"] > 0 else "earlier"
            reasons[rater].append(f"lag: {abs(lag['seconds']):.1f} s {side} than the others")
    return reasons


def _compared(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    if own["reason"]:
        return [own["reason"]]
    reasons = []
    usual = _median(others, "r")
    if own["r"] <= 0 or (usual is not None and own["r"] < usual - LOWER_CORRELATION):
        reached = "" if usual is None else f", which reach {usual:.2f} (median)"
        reasons.append(f"correlates {own['r']:.2f} with the others{reached}")
    if abs(own["offset"]) > OFFSET:
        reasons.append(f"{abs(own['offset']):.2f} {'above' if own['offset'] > 0 else 'below'} the others on average")
    usual = _median(others, "spread")
    if usual and not 1 / SCALE <= own["spread"] / usual <= SCALE:
        reasons.append(f"moves by {own['spread']:.2f} (standard deviation), the others by {usual:.2f}")
    return reasons


def _median(others: Sequence[Mapping[str, Any]], measure: str) -> float | None:
    known = [other[measure] for other in others if other[measure] is not None]
    return float(np.median(known)) if known else None

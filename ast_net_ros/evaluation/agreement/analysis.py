"""Compute agreement.json: how well raters agree, as rated and with lags removed, and the gold standard.

agreement.schema.json describes every field. A measure without a value is null, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ast_net_ros.evaluation.agreement.facts import label_statistics
from ast_net_ros.evaluation.agreement.gold import gold_standard, rater_weights
from ast_net_ros.evaluation.agreement.lags import MAX_LAG, SHORTEST, Peak, face_lags, relative_lags
from ast_net_ros.evaluation.agreement.measures import (
    LEVEL,
    RATED_MEASURES,
    Sums,
    agreement_intervals,
    agreement_measures,
    finite,
    icc_f_intervals,
    jackknife_interval,
)
from ast_net_ros.evaluation.agreement.panels import MAX_GAP, STEP_SECONDS, Panel, PanelSet
from ast_net_ros.evaluation.agreement.raters import FEWEST_RATERS, outlying_reasons, rater_measures
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.metrics.intervals import FEW_RECORDINGS
from ast_net_ros.label_statistics import LabelStatistics

SCHEMA = "ast_net_agreement/1"
BLOCK_SECONDS = 15.0
"""About the length of the stretches of a single recording that count as independent."""
FEWEST_BLOCKS = 4
"""Stretches that a single recording needs for an interval."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """The result: what agreement.json holds, and the curves that it is about."""

    content: dict[str, Any]
    panels: tuple[Panel, ...]  # with lags removed
    golds: tuple[np.ndarray, ...]  # T x 2 of each panel
    statistics: LabelStatistics | None


def analyse(panel_set: PanelSet, movements: Mapping[str, np.ndarray], excluded: Sequence[str] = ()) -> Agreement:
    """Compare the raters of all panels.

    Args:
        panel_set: The ratings.
        movements: T x 8 emotions of the faces of some panels, by name.
        excluded: Raters who were left out.
    """
    panels = panel_set.panels
    lags = relative_lags(panels)
    positions = {rater: lag["position"] for rater, lag in lags.items()}
    behind_face, origin = face_lags(panels, movements, positions)
    # Where the face is unknown, each rater keeps what all have in common: the median lag.
    shift = origin if origin is not None else -float(np.median(list(positions.values())))
    removed = {rater: position + shift for rater, position in positions.items()}
    aligned = tuple(panel.shifted([removed[rater] for rater in panel.raters]) for panel in panels)
    measures = rater_measures(aligned)
    weights = rater_weights(aligned, panel_set.raters)
    golds = tuple(gold_standard(panel, weights) for panel in aligned)
    reasons = outlying_reasons(measures, lags)
    known_lags = {r: removed[r] for r in removed if origin is not None and lags[r]["seconds"] is not None}
    content = {
        "schema": SCHEMA,
        "options": {
            "level": LEVEL,
            "block_seconds": BLOCK_SECONDS,
            "max_lag_seconds": MAX_LAG,
            "max_gap_seconds": MAX_GAP,
            "samples_per_second": 1 / STEP_SECONDS,
            "excluded": list(excluded),
        },
        "summary": {
            "recordings": len({panel.info.recording_sha256 for panel in panels}),
            "faces": len(panels),
            "raters": len(panel_set.raters),
            "minutes": sum(panel.minutes for panel in panels),
            "as_rated": _summary(panels),
            "aligned": _summary(aligned),
        },
        "gold_standard": {
            "estimator": "evaluator-weighted (Grimm and Kroschel 2005)",
            "lag_removed": "behind the face" if origin is not None else "behind the other raters",
        },
        "raters": {
            rater: {
                "recordings": sum(rater in panel.raters for panel in panels),
                "lag": {name: value for name, value in lags[rater].items() if name != "position"}
                | {"removed": removed[rater]},
                "lag_behind_face": _behind_face(rater, behind_face, bool(movements)),
                "weight": dict(zip(DIMENSIONS, weights[rater])),
                **measures[rater],
                "outlying": reasons[rater],
            }
            for rater in panel_set.raters
        },
        "recordings": [_recording(*pair) for pair in zip(panels, aligned)],
        "left_out": list(panel_set.left_out),
        "remarks": [*panel_set.remarks, *_remarks(panel_set)],
    }
    return Agreement(content, aligned, golds, label_statistics(aligned, golds, known_lags))


def _behind_face(rater: str, lags: Mapping[str, Peak | None], given: bool) -> dict[str, Any]:
    peak = lags.get(rater)
    if peak:
        return {"seconds": peak.seconds, "correlation": peak.height, "reason": None}
    reason = "no estimates of the face given"
    if rater in lags:
        reason = "the ratings do not follow the face's movement clearly"
    elif given:
        reason = f"no recording of at least {SHORTEST:.0f} s has estimates of the face"
    return {"seconds": None, "correlation": None, "reason": reason}


def _remarks(panel_set: PanelSet) -> list[str]:
    remarks = []
    if len(panel_set.panels) < FEW_RECORDINGS:
        remarks.append(f"{len(panel_set.panels)} faces: intervals of fewer than {FEW_RECORDINGS} are too narrow")
    if len(panel_set.raters) < FEWEST_RATERS:
        remarks.append("two raters: it cannot be determined which of them lags or is an outlier")
    return remarks


def _recording(rated: Panel, aligned: Panel) -> dict[str, Any]:
    return {
        "name": rated.name,
        "recording": rated.info.recording,
        "recording_sha256": rated.info.recording_sha256,
        "face": rated.info.face,
        "raters": list(rated.raters),
        "seconds": rated.info.duration_seconds,
        "as_rated": {d: panel_agreement([rated], i) for i, d in enumerate(DIMENSIONS)},
        "aligned": {d: panel_agreement([aligned], i) for i, d in enumerate(DIMENSIONS)},
    }


def _summary(panels: Sequence[Panel]) -> dict[str, Any]:
    """Summarise each dimension: the mean of the recordings, and recordings of the same raters concatenated."""
    by_raters: dict[tuple[str, ...], list[Panel]] = {}
    for panel in panels:
        by_raters.setdefault(panel.raters, []).append(panel)
    most = max(by_raters.values(), key=lambda group: (len(group), len(group[0].raters)))
    return {
        dimension: {
            "mean_of_recordings": _mean_of_recordings(panels, index),
            "concatenated": panel_agreement(most, index),
        }
        for index, dimension in enumerate(DIMENSIONS)
    }


def headline(summary: Mapping[str, Any]) -> str:
    """Return which kind of summary stands for all faces: `concatenated` only if the same people rated most of them."""
    joined = summary["aligned"][DIMENSIONS[0]]["concatenated"]["recordings"]
    return "concatenated" if 2 * joined > summary["faces"] else "mean_of_recordings"


def _mean_of_recordings(panels: Sequence[Panel], dimension: int) -> dict[str, Any]:
    found = [agreement_measures(Sums.of(panel.complete(dimension))) for panel in panels]
    mean: dict[str, Any] = {}
    for name in RATED_MEASURES:
        values = np.array([of_panel[name][0] for of_panel in found])
        known = values[np.isfinite(values)]
        without = (known.sum() - known) / max(1, len(known) - 1)
        value = float(known.mean()) if len(known) else None
        mean[name] = {
            "value": value,
            "interval": None if value is None else jackknife_interval(value, without, "plain"),
            "recordings_with": len(known),
        }
    return mean


def panel_agreement(panels: Sequence[Panel], dimension: int) -> dict[str, Any]:
    """Compute the agreement of one dimension over panels of the same raters, concatenated.

    `interval` takes panels or, where there is one, stretches of about BLOCK_SECONDS as independent;
    `interval_independent` takes every sample as independent.
    """
    raters, samples = panels[0].raters, [panel.complete(dimension) for panel in panels]
    if len(panels) == 1:
        samples = np.array_split(samples[0], max(1, round(samples[0].shape[1] * STEP_SECONDS / BLOCK_SECONDS)), axis=1)
    blocks = Sums.joined([Sums.of(values) for values in samples])
    count = int(blocks.count.sum())
    found = {name: values[0] for name, values in agreement_measures(blocks.total()).items()}
    enough = len(panels) > 1 or len(samples) >= FEWEST_BLOCKS
    intervals = agreement_intervals(blocks) if enough else dict.fromkeys(RATED_MEASURES)
    independent = icc_f_intervals(float(found["icc_3_k"]), count, len(raters))
    measures: dict[str, Any] = {
        name: {"value": finite(found[name]), "interval": intervals[name]} for name in RATED_MEASURES
    }
    for name, interval in independent.items():
        measures[name]["interval_independent"] = interval
    return {
        "count": count,
        "recordings": len(panels),
        "raters": list(raters),
        **measures,
        "ccc_pairs": [[finite(value) for value in row] for row in found["ccc"]],
        "ccc_others": [finite(value) for value in found["ccc_others"]],
        "interval_over": ("recordings" if len(panels) > 1 else "stretches") if enough else None,
        "reasons": _reasons(blocks, raters, count),
    }


def _reasons(blocks: Sums, raters: Sequence[str], count: int) -> list[str]:
    """Return why measures are None."""
    if not count:
        return ["no moment was rated by all raters"]
    _, covariances = blocks.total().moments()
    constant = [rater for rater, variance in zip(raters, np.diagonal(covariances[0])) if variance <= 0]
    if constant:
        return [f"constant ratings of {', '.join(constant)}: their CCC is undefined"]
    return ["the raters' mean is constant: ICC and alpha are undefined"] if covariances.sum() <= 1e-12 else []

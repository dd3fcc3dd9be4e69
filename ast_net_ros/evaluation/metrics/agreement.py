"""How well two courses of valence and arousal agree, as the field measures it, and how calm a course is.

In: NumPy arrays of predictions and truth in [-1, 1]; a last axis of two is (valence, arousal). Out: plain dictionaries
of figures, ready for JSON. Where a figure has no value it is None and `remarks` says why; nothing is ever NaN.

Moments whose truth is NaN carry no label and are left out, and counted as left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.model.config import CONFIDENCE_RADIUS

DIMENSIONS = ("valence", "arousal")
AGREEMENT_TOLERANCE = 0.05
"""A cold-started state has caught up with a warm one once both dimensions stay within this."""

MEASURES = ("r", "ccc", "rmse", "mae", "sagr")
"""What `agreement` computes."""

_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Course:
    """One recording's course: predicted and truth T x 2, evenly spaced by `step_seconds`. Truth may hold NaN."""

    name: str
    predicted: np.ndarray
    truth: np.ndarray
    step_seconds: float

    def __post_init__(self) -> None:
        if self.predicted.shape != self.truth.shape or self.predicted.ndim != 2 or self.predicted.shape[1] != 2:
            raise ValueError(
                f"recording '{self.name}': predicted is {self.predicted.shape} and truth {self.truth.shape}; "
                "both must be T x 2"
            )


def agreement(predicted: np.ndarray, truth: np.ndarray) -> dict:
    """Figures of one dimension of one course, both of N values.

    r: Pearson's correlation; None where either side is constant. ccc: concordance correlation (Lin 1989), variances
    divided by N; 0 where either side is constant. rmse, mae: root of the mean squared, and mean absolute error.
    sagr: share of moments whose signs agree (Nicolaou et al. 2011); zero is a sign of its own.
    Raises ValueError for unequal lengths and for a prediction that is not finite where there is a label.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 1:
        raise ValueError(f"{predicted.shape} predictions and {truth.shape} labels: wanted two lists of one length")
    labelled = np.isfinite(truth)
    predicted, truth = predicted[labelled], truth[labelled]
    if not np.isfinite(predicted).all():
        raise ValueError(f"{int((~np.isfinite(predicted)).sum())} predictions are not finite; leave these moments out")
    figures: dict = {"count": len(truth), "left_out": int((~labelled).sum()), **dict.fromkeys(MEASURES), "remarks": []}
    if len(truth) == 0:
        figures["remarks"].append("no moment with a label")
        return figures
    figures["r"], figures["ccc"], remarks = _correlations(predicted, truth)
    figures["remarks"].extend(remarks)
    error = predicted - truth
    figures["rmse"] = float(np.sqrt((error * error).mean()))
    figures["mae"] = float(np.abs(error).mean())
    figures["sagr"] = float((np.sign(predicted) == np.sign(truth)).mean())
    return figures


def _correlations(predicted: np.ndarray, truth: np.ndarray) -> tuple[float | None, float, list[str]]:
    """Pearson's r, CCC and remarks."""
    constant = [name for name, values in (("prediction", predicted), ("truth", truth)) if np.ptp(values) == 0]
    if constant:
        return None, 0.0, [f"constant {' and '.join(constant)}: r is undefined, CCC is 0"]
    p, t = predicted - predicted.mean(), truth - truth.mean()
    covariance = float((p * t).mean())
    p_variance, t_variance = float((p * p).mean()), float((t * t).mean())
    if p_variance == 0 or t_variance == 0:  # squares that vanish below the smallest number
        return None, 0.0, ["variation too small to compute with: r is undefined, CCC is 0"]
    r = covariance / np.sqrt(p_variance) / np.sqrt(t_variance)
    ccc = 2 * covariance / (p_variance + t_variance + (predicted.mean() - truth.mean()) ** 2)
    return float(np.clip(r, -1, 1)), float(ccc), []


def change_per_second(values: np.ndarray, step_seconds: float | np.ndarray) -> np.ndarray:
    """Mean absolute change a second of T x 2 (or T) values, one figure a dimension; 0 for one moment.

    step_seconds: of every step, or T - 1 of them where they differ. Steps from or to NaN do not count, nor do steps
    whose time is NaN, zero or less.
    """
    steps = np.abs(np.diff(np.asarray(values, np.float64), axis=0))
    seconds = np.broadcast_to(np.asarray(step_seconds, np.float64), len(steps))
    seconds = np.broadcast_to(seconds.reshape(-1, *[1] * (steps.ndim - 1)), steps.shape)
    known = np.isfinite(steps) & (seconds > 0)
    spent = np.where(known, seconds, 0).sum(axis=0)
    return np.where(known, steps, 0).sum(axis=0) / np.where(spent > 0, spent, 1)


def convergence_seconds(cold: np.ndarray, warm: np.ndarray, step_seconds: float) -> float | None:
    """Seconds after which a cold-started course stays within AGREEMENT_TOLERANCE of a warm one; None if it never does.

    cold, warm: T x 2 over the same moments, the first one step after the cold start.
    """
    apart = np.flatnonzero((np.abs(np.asarray(cold) - np.asarray(warm)) > AGREEMENT_TOLERANCE).any(axis=1))
    steps = int(apart[-1]) + 1 if len(apart) else 0
    return None if steps == len(cold) else steps * step_seconds


def course_figures(courses: Sequence[Course]) -> dict:
    """Figures of some recordings, per dimension: `mean_of_recordings`, `concatenated` and `smoothness`.

    The literature uses both the mean of the recordings' figures and the figures of all recordings put end to end;
    their CCC differ, so each is named. A mean is over the recordings in which the measure has a value, as many as
    `recordings_with` says.
    """
    figures: dict = {"recordings": len(courses), "moments": int(sum(len(c.truth) for c in courses))}
    for index, dimension in enumerate(DIMENSIONS):
        single = {c.name: agreement(c.predicted[:, index], c.truth[:, index]) for c in courses}
        joined = [
            np.concatenate([getattr(c, side)[:, index] for c in courses] or [[]]) for side in ("predicted", "truth")
        ]
        figures[dimension] = {
            "mean_of_recordings": mean_of_recordings(list(single.values())),
            "concatenated": agreement(*joined),
            "smoothness": _smoothness(courses, index),
        }
    return figures


def mean_of_recordings(single: Sequence[dict]) -> dict:
    """The mean of each measure over the `agreement` of several recordings that have a value, and how many have one."""
    mean: dict = {"recordings_with": {}}
    for measure in MEASURES:
        values = [figures[measure] for figures in single if figures[measure] is not None]
        mean[measure] = float(np.mean(values)) if values else None
        mean["recordings_with"][measure] = len(values)
    return mean


def _smoothness(courses: Sequence[Course], index: int) -> dict:
    """change_per_second: mean absolute change a second; ratio: of the prediction's to the target's."""
    lengths = np.array([len(c.truth) for c in courses], np.float64)
    if not lengths.sum():
        return {"change_per_second": None, "target_change_per_second": None, "ratio": None}
    own, target = (
        float(
            np.average(
                [change_per_second(getattr(c, side)[:, index], c.step_seconds) for c in courses], weights=lengths
            )
        )
        for side in ("predicted", "truth")
    )
    return {
        "change_per_second": own,
        "target_change_per_second": target,
        "ratio": own / target if target else None,
    }


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of N pairs, ties at their mean rank; None where either side is constant."""
    if len(first) < 2:
        return None
    return _correlations(_mean_ranks(np.asarray(first)), _mean_ranks(np.asarray(second)))[0]


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place.reshape(-1)]


def confidence_calibration(confidence: np.ndarray, error: np.ndarray) -> dict:
    """Whether confidence speaks the truth, and whether errors fall as it rises. confidence: N; error: N x 2.

    rank_correlation: Spearman's, between confidence and the larger of both dimensions' absolute errors; -1 would be
    perfect order. bins: a tenth of the moments each, by rising confidence: mean confidence, share within the radius
    that confidence speaks of (equal when calibrated), RMSE of both dimensions together. calibration_error: mean
    distance of the two. Fewer moments than bins give no figures.
    """
    confidence, error = np.asarray(confidence, np.float64), np.abs(np.asarray(error, np.float64))
    if len(confidence) < _CALIBRATION_BINS:
        return {"count": len(confidence), "rank_correlation": None, "calibration_error": None, "bins": []}
    largest = error.max(axis=1)
    bins = [
        {
            "confidence": float(confidence[chosen].mean()),
            "within": float((largest[chosen] <= CONFIDENCE_RADIUS).mean()),
            "rmse": float(np.sqrt(np.square(error[chosen]).mean())),
        }
        for chosen in np.array_split(np.argsort(confidence, kind="stable"), _CALIBRATION_BINS)
    ]
    return {
        "count": len(confidence),
        "rank_correlation": rank_correlation(confidence, largest),
        "calibration_error": float(np.mean([abs(b["confidence"] - b["within"]) for b in bins])),
        "bins": bins,
    }

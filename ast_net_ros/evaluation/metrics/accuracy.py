"""Accuracy and smoothness of valence and arousal trajectories, with the measures of the literature.

A last axis of two is (valence, arousal), in [-1, 1]. Results are dictionaries ready for JSON: a metric without a value
is None and `remarks` says why; nothing is NaN. Frames whose label is NaN are excluded and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.model.config import CONFIDENCE_RADIUS

DIMENSIONS = ("valence", "arousal")
CONVERGENCE_TOLERANCE = 0.05
"""A cold-started state has converged once both dimensions stay this close to those of a warm one."""

NO_VARIANCE = 1e-12
"""Variances below this share of the mean square are what rounding leaves of constant values."""

MEASURES = ("r", "ccc", "rmse", "mae", "sagr")
"""The measures that `accuracy` computes."""


@dataclass(frozen=True)
class Trajectory:
    """The estimates and labels of one recording at T evenly spaced times."""

    name: str
    predicted: np.ndarray  # T x 2 estimates
    truth: np.ndarray  # T x 2 labels, NaN where there is none
    step_seconds: float  # seconds between two times

    def __post_init__(self) -> None:
        if self.predicted.shape != self.truth.shape or self.predicted.ndim != 2 or self.predicted.shape[1] != 2:
            raise ValueError(
                f"recording '{self.name}': predicted is {self.predicted.shape} and truth {self.truth.shape}; "
                "both must be T x 2"
            )


@dataclass(frozen=True, eq=False)
class Sums:
    """What blocks of N samples of k curves add up to; the first axis may be blocks, sums of blocks, or one."""

    count: np.ndarray  # B
    first: np.ndarray  # B x k: sums
    second: np.ndarray  # B x k x k: sums of products

    @classmethod
    def of(cls, values: np.ndarray) -> Sums:
        """Sum k x N finite values as one block."""
        return cls(np.array([float(values.shape[1])]), values.sum(axis=1)[None], (values @ values.T)[None])

    @classmethod
    def joined(cls, parts: Sequence[Sums]) -> Sums:
        """Put the blocks of several sums one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("count", "first", "second")))

    def weighted(self, weights: np.ndarray) -> Sums:
        """Add blocks up with R x B weights: R sums."""
        return Sums(weights @ self.count, weights @ self.first, np.tensordot(weights, self.second, axes=1))

    def total(self) -> Sums:
        """Add all blocks up."""
        return self.weighted(np.ones((1, len(self.count))))

    def without_each(self) -> Sums:
        """Add all blocks but one up, for each one."""
        return self.weighted(1 - np.eye(len(self.count)))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means (B x k) and covariances (B x k x k, divided by the count)."""
        count = np.maximum(self.count, 1)[:, None]
        means = self.first / count
        covariances = self.second / count[..., None] - means[:, :, None] * means[:, None, :]
        variances, squares = (np.diagonal(m, axis1=1, axis2=2) for m in (covariances, self.second / count[..., None]))
        constant = variances <= NO_VARIANCE * np.maximum(squares, 1e-300)
        covariances[constant[:, :, None] | constant[:, None, :]] = 0.0
        return means, covariances


def correlation(variance: np.ndarray, other: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return Pearson's r; NaN where either side is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((variance > 0) & (other > 0), covariance / np.sqrt(variance) / np.sqrt(other), np.nan)


def concordance(
    mean: np.ndarray, other_mean: np.ndarray, variance: np.ndarray, other: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Return the concordance correlation coefficient (Lin 1989); NaN where either side is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ccc = 2 * covariance / (variance + other + (mean - other_mean) ** 2)
    return np.where((variance > 0) & (other > 0), ccc, np.nan)


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> dict:
    """Compute the accuracy of one dimension of one trajectory.

    Args:
        predicted: N estimates.
        truth: N labels, NaN where there is none.

    Returns:
        count and excluded: Frames with and without a label. r: Pearson's correlation; None if either side is constant.
        ccc: Concordance correlation coefficient (Lin 1989), variances divided by N; 0 if either side is constant.
        rmse, mae: Root mean squared and mean absolute error. sagr: Share of frames with equal signs (sign agreement,
        Nicolaou et al. 2011); zero is a sign of its own. remarks: Why a measure has no value.

    Raises:
        ValueError: The lengths differ, or a prediction is not finite where there is a label.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 1:
        raise ValueError(f"{predicted.shape} predictions and {truth.shape} labels; expected two arrays of equal length")
    labelled = np.isfinite(truth)
    predicted, truth = predicted[labelled], truth[labelled]
    if not np.isfinite(predicted).all():
        raise ValueError(f"{int((~np.isfinite(predicted)).sum())} predictions are not finite; exclude these frames")
    metrics: dict = {"count": len(truth), "excluded": int((~labelled).sum()), **dict.fromkeys(MEASURES), "remarks": []}
    if len(truth) == 0:
        return metrics | {"remarks": ["no frame with a label"]}
    r, ccc, remarks = _correlations(predicted, truth)
    error = predicted - truth
    return metrics | {
        "r": r,
        "ccc": ccc,
        "rmse": float(np.sqrt((error * error).mean())),
        "mae": float(np.abs(error).mean()),
        "sagr": float((np.sign(predicted) == np.sign(truth)).mean()),
        "remarks": remarks,
    }


def _correlations(predicted: np.ndarray, truth: np.ndarray) -> tuple[float | None, float, list[str]]:
    """Return Pearson's r, CCC and remarks."""
    constant = [name for name, values in (("prediction", predicted), ("truth", truth)) if np.ptp(values) == 0]
    if constant:
        return None, 0.0, [f"constant {' and '.join(constant)}: r is undefined, CCC is 0"]
    p, t = predicted - predicted.mean(), truth - truth.mean()
    covariance, p_variance, t_variance = (p * t).mean(), (p * p).mean(), (t * t).mean()
    if p_variance == 0 or t_variance == 0:  # the squares underflow
        return None, 0.0, ["variance too small: r is undefined, CCC is 0"]
    r = correlation(p_variance, t_variance, covariance)
    ccc = concordance(predicted.mean(), truth.mean(), p_variance, t_variance, covariance)
    return float(np.clip(r, -1, 1)), float(ccc), []


def change_per_second(values: np.ndarray, step_seconds: float | np.ndarray) -> np.ndarray:
    """Compute the mean absolute change per second of T x 2 (or T) values, for each dimension; 0 if there is no step.

    `step_seconds` is the length of every step, or T - 1 lengths. Steps from or to NaN, and steps of a length that is
    NaN or not positive, are ignored.
    """
    steps = np.abs(np.diff(np.asarray(values, np.float64), axis=0))
    seconds = np.broadcast_to(np.asarray(step_seconds, np.float64), len(steps))
    seconds = np.broadcast_to(seconds.reshape(-1, *[1] * (steps.ndim - 1)), steps.shape)
    known = np.isfinite(steps) & (seconds > 0)
    spent = np.where(known, seconds, 0).sum(axis=0)
    return np.where(known, steps, 0).sum(axis=0) / np.where(spent > 0, spent, 1)


def convergence_time(cold: np.ndarray, warm: np.ndarray, step_seconds: float) -> float | None:
    """Compute the seconds after which a cold-started trajectory stays within CONVERGENCE_TOLERANCE of a warm one.

    Both are T x 2 at the same times, from one step after the cold start. None if it does not converge.
    """
    apart = np.flatnonzero((np.abs(cold - warm) > CONVERGENCE_TOLERANCE).any(axis=1))
    steps = int(apart[-1]) + 1 if len(apart) else 0
    return None if steps == len(cold) else steps * step_seconds


def trajectory_metrics(trajectories: Sequence[Trajectory]) -> dict:
    """Compute the metrics of several recordings.

    For each dimension: mean_of_recordings (over the recordings in which a measure has a value; `recordings_with` counts
    them), concatenated and smoothness. The literature uses both means; their CCC differ.
    """
    metrics: dict = {"recordings": len(trajectories), "frames": int(sum(len(c.truth) for c in trajectories))}
    for index, dimension in enumerate(DIMENSIONS):
        single = {c.name: accuracy(c.predicted[:, index], c.truth[:, index]) for c in trajectories}
        joined = [
            np.concatenate([getattr(t, side)[:, index] for t in trajectories] or [[]])
            for side in ("predicted", "truth")
        ]
        metrics[dimension] = {
            "mean_of_recordings": mean_of_recordings(list(single.values())),
            "concatenated": accuracy(*joined),
            "smoothness": _smoothness(trajectories, index),
        }
    return metrics


def mean_of_recordings(single: Sequence[dict]) -> dict:
    """Average each measure of `accuracy` over the recordings in which it has a value, and count these."""
    mean: dict = {"recordings_with": {}}
    for measure in MEASURES:
        values = [metrics[measure] for metrics in single if metrics[measure] is not None]
        mean[measure] = float(np.mean(values)) if values else None
        mean["recordings_with"][measure] = len(values)
    return mean


def _smoothness(trajectories: Sequence[Trajectory], index: int) -> dict:
    """Return the change per second of predictions and labels, and the ratio of the two."""
    lengths = [len(c.truth) for c in trajectories]
    if not any(lengths):
        return {"change_per_second": None, "target_change_per_second": None, "ratio": None}
    changes = [
        [change_per_second(values[:, index], c.step_seconds) for values in (c.predicted, c.truth)] for c in trajectories
    ]
    own, target = (float(np.average(side, weights=lengths)) for side in zip(*changes))
    return {"change_per_second": own, "target_change_per_second": target, "ratio": own / target if target else None}


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Compute Spearman's rank correlation of N pairs, ties at their mean rank; None if either side is constant."""
    return _correlations(_mean_ranks(first), _mean_ranks(second))[0] if len(first) > 1 else None


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def confidence_calibration(confidence: np.ndarray, error: np.ndarray) -> dict:
    """Compare stated confidence (N, in [0, 1]) with observed errors (N x 2, estimate minus label).

    Returns:
        count: N. rank_correlation: Spearman's, between confidence and the larger absolute error of both dimensions; -1
        is perfect order. bins: A tenth of the frames each, by rising confidence: mean confidence, share within
        CONFIDENCE_RADIUS (equal if calibrated), RMSE of both dimensions. calibration_error: Mean absolute difference of
        confidence and share over the bins. All but the count are empty for fewer frames than bins.
    """
    confidence, error = np.asarray(confidence, np.float64), np.abs(np.asarray(error, np.float64))
    bin_count = 10
    if len(confidence) < bin_count:
        return {"count": len(confidence), "rank_correlation": None, "calibration_error": None, "bins": []}
    largest = error.max(axis=1)
    bins = [
        {
            "confidence": float(confidence[chosen].mean()),
            "within": float((largest[chosen] <= CONFIDENCE_RADIUS).mean()),
            "rmse": float(np.sqrt(np.square(error[chosen]).mean())),
        }
        for chosen in np.array_split(np.argsort(confidence, kind="stable"), bin_count)
    ]
    return {
        "count": len(confidence),
        "rank_correlation": rank_correlation(confidence, largest),
        "calibration_error": float(np.mean([abs(b["confidence"] - b["within"]) for b in bins])),
        "bins": bins,
    }

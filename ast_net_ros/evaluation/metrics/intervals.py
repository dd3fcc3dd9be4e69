"""Bootstrap confidence intervals over recordings.

Whole recordings are resampled, with replacement: consecutive frames are nearly identical, so resampling frames would
make the intervals far too narrow. Percentile intervals (Efron and Tibshirani 1993, chapter 13) from a seeded generator:
the same recordings give the same interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.evaluation.metrics.accuracy import MEASURES, Sums, concordance, correlation

FEW_RECORDINGS = 10
"""With fewer recordings than this, percentile intervals are known to be too narrow; a remark says so."""


@dataclass(frozen=True)
class Resampling:
    """Parameters of the bootstrap."""

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1 or not 0 < self.level < 1 or self.seed < 0:
            raise ValueError(
                f"resampling with {self.resamples} resamples, level {self.level}, seed {self.seed}: "
                "expected at least 1 resample, a level between 0 and 1 and a seed of at least 0"
            )


def interval_of_mean(values: Sequence[float | None], resampling: Resampling) -> list[float] | None:
    """Compute the interval [low, high] of the mean of the known values; None for fewer than two."""
    known = np.array([value for value in values if value is not None], np.float64)
    if len(known) < 2:
        return None
    return _percentiles(_resampled_counts(len(known), resampling) @ known / len(known), resampling)


def intervals_of_joined(pairs: Sequence[tuple[np.ndarray, np.ndarray]], resampling: Resampling) -> dict:
    """Compute the intervals [low, high] of MEASURES over all recordings' (predicted, truth) concatenated.

    Each recording enters a resample by its sums, so the cost does not grow with its length. Resamples in which r is
    undefined (no variance) are ignored. None for fewer than two recordings.
    """
    pairs = [pair for pair in pairs if len(pair[0])]
    if len(pairs) < 2:
        return dict.fromkeys(MEASURES)
    # Relative to the common mean, where sums of squares keep their precision.
    centre = np.concatenate(pairs, axis=1).mean()
    counts = _resampled_counts(len(pairs), resampling)
    resampled = Sums.joined([Sums.of(np.stack(pair) - centre) for pair in pairs]).weighted(counts)
    means, covariances = resampled.moments()
    p_variance, t_variance, covariance = covariances[:, 0, 0], covariances[:, 1, 1], covariances[:, 0, 1]
    r = np.clip(correlation(p_variance, t_variance, covariance), -1, 1)
    ccc = np.nan_to_num(concordance(means[:, 0], means[:, 1], p_variance, t_variance, covariance))
    errors = np.array([_error_sums(*pair) for pair in pairs])
    square, absolute, same_sign = (counts @ errors / resampled.count[:, None]).T
    in_order = (r, ccc, np.sqrt(square), absolute, same_sign)  # of MEASURES
    return {measure: _percentiles(values, resampling) for measure, values in zip(MEASURES, in_order)}


def _error_sums(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    error, same_sign = predicted - truth, np.sign(predicted) == np.sign(truth)
    return (error * error).sum(), np.abs(error).sum(), same_sign.sum()


def _resampled_counts(recordings: int, resampling: Resampling) -> np.ndarray:
    """Return how often each recording is in each resample: resamples x recordings."""
    generator = np.random.default_rng(resampling.seed)
    shares = np.full(recordings, 1 / recordings)
    return generator.multinomial(recordings, shares, size=resampling.resamples).astype(np.float64)


def metric_text(value: float | None, interval: Sequence[float] | None = None) -> str:
    """Format a metric and its interval; both may be None."""
    text = "undefined" if value is None else f"{value:.3f}"
    return text if interval is None else f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _percentiles(values: np.ndarray, resampling: Resampling) -> list[float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    tail = (1 - resampling.level) / 2
    return [float(edge) for edge in np.quantile(known, [tail, 1 - tail])]

"""Agreement between raters: CCC, ICC(3,1), ICC(3,k) and Cronbach's alpha, with intervals.

All of them are functions of the raters' means and covariances. So sums over blocks (recordings, or stretches of one
recording) are enough to leave blocks out, and the cost of an interval does not grow with the length of the recordings.

Sources: CCC: Lin 1989, Biometrics 45. ICC: Shrout and Fleiss 1979, Psychological Bulletin 86, their cases (3,1) and
(3,k); these are ICC(C,1) and ICC(C,k), the consistency of McGraw and Wong 1996, Psychological Methods 1. Alpha:
Cronbach 1951, Psychometrika 16; for complete ratings it equals ICC(3,k), and it is computed by its own formula.
Intervals: delete-one jackknife with Student's t, on a scale on which the estimate is nearly normal (Arvesen 1969,
Annals of Mathematical Statistics 40; Arvesen and Schmitz 1970, Biometrics 26).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from ast_net_ros.evaluation.metrics.accuracy import NO_VARIANCE, Sums, concordance, correlation

LEVEL = 0.95
"""Confidence level of all intervals."""
RATED_MEASURES = ("icc_3_1", "icc_3_k", "alpha", "ccc_mean")


def agreement_measures(sums: Sums) -> dict[str, np.ndarray]:
    """Compute the measures of every block of sums; NaN where one is undefined.

    Returns:
        ccc: B x k x k, of each pair. ccc_mean: B, mean of the pairs. ccc_others: B x k, each rater against the mean
        of the others. r_others: B x k, Pearson's r of the same. icc_3_1, icc_3_k, alpha: B.
    """
    means, covariances = sums.moments()
    k = means.shape[1]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    pair_ccc = concordance(
        means[:, :, None], means[:, None, :], variances[:, :, None], variances[:, None, :], covariances
    )
    upper = np.triu_indices(k, 1)
    with_others = (covariances.sum(axis=2) - variances) / (k - 1)
    others_mean = (means.sum(axis=1, keepdims=True) - means) / (k - 1)
    total = covariances.sum(axis=(1, 2))
    others_variance = (total[:, None] - 2 * covariances.sum(axis=2) + variances) / (k - 1) ** 2
    others_variance[np.isclose(others_variance, 0, atol=1e-15)] = 0.0
    trace = variances.sum(axis=1)
    # Mean squares of the two-way table of samples and raters, up to the common factor N / (N - 1).
    between = total / k
    residual = (trace - between) / (k - 1)
    defined = between > NO_VARIANCE * np.maximum(trace, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "ccc": pair_ccc,
            "ccc_mean": pair_ccc[:, upper[0], upper[1]].mean(axis=1),
            "ccc_others": concordance(means, others_mean, variances, others_variance, with_others),
            "r_others": correlation(variances, others_variance, with_others),
            "icc_3_1": np.where(defined, (between - residual) / (between + (k - 1) * residual), np.nan),
            "icc_3_k": np.where(defined, (between - residual) / between, np.nan),
            "alpha": np.where(defined, k / (k - 1) * (1 - trace / total), np.nan),
        }


def icc_f_intervals(icc_3_k: float, count: int, raters: int) -> dict[str, list[float] | None]:
    """Intervals of ICC(3,1) and ICC(3,k) by the F distribution; they assume that the `count` samples are independent.

    Shrout and Fleiss 1979, p. 424. None where undefined: no finite ICC, fewer than two samples.
    """
    if not np.isfinite(icc_3_k) or count < 2 or icc_3_k >= 1:
        exact = [1.0, 1.0] if icc_3_k == 1 and count >= 2 else None
        return {"icc_3_1": exact, "icc_3_k": exact}
    f, tail = 1 / (1 - icc_3_k), (1 + LEVEL) / 2
    between, residual = count - 1, (count - 1) * (raters - 1)
    low, high = f / stats.f.ppf(tail, between, residual), f * stats.f.ppf(tail, residual, between)
    return {
        "icc_3_1": [float((edge - 1) / (edge + raters - 1)) for edge in (low, high)],
        "icc_3_k": [float(1 - 1 / edge) for edge in (low, high)],
    }


def finite(value: float) -> float | None:
    """Return a number for JSON; None if it is NaN or infinite."""
    return float(value) if np.isfinite(value) else None


_SCALES: dict[str, tuple[Callable, Callable]] = {
    "log F": (lambda icc_k: -np.log1p(-icc_k), lambda log_f: -np.expm1(-log_f)),  # of ICC(3,k) and alpha
    "Fisher's z": (np.arctanh, np.tanh),  # of correlations
    "plain": (np.asarray, np.asarray),
}


def jackknife_interval(value: float, without: np.ndarray, scale: str) -> list[float] | None:
    """Compute the interval [low, high] of an estimate from what it is without each of B independent blocks.

    None for fewer than two blocks, and where the estimate is undefined with or without one of them.
    """
    forward, back = _SCALES[scale]
    blocks = len(without)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, others = forward(np.float64(value)), forward(without)
    if blocks < 2 or not (np.isfinite(centre) and np.isfinite(others).all()):
        return None
    error = np.sqrt((blocks - 1) / blocks * np.square(others - others.mean()).sum())
    reach = stats.t.ppf((1 + LEVEL) / 2, blocks - 1) * error
    return [float(back(edge)) for edge in (centre - reach, centre + reach)]


def agreement_intervals(blocks: Sums) -> dict[str, list[float] | None]:
    """Compute the intervals of RATED_MEASURES over independent blocks; None for fewer than two."""
    raters = blocks.first.shape[1]
    found, without = agreement_measures(blocks.total()), agreement_measures(blocks.without_each())
    intervals = {
        name: jackknife_interval(found[name][0], without[name], scale)
        for name, scale in (("icc_3_k", "log F"), ("alpha", "log F"), ("ccc_mean", "Fisher's z"))
    }
    of_mean = intervals["icc_3_k"]
    single = [edge / (raters - (raters - 1) * edge) for edge in of_mean] if of_mean else None  # Spearman and Brown
    return {"icc_3_1": single, **intervals}

"""The gold standard: the evaluator-weighted estimator, of ratings without their lags.

Grimm and Kroschel 2005 (IEEE Workshop on Automatic Speech Recognition and Understanding, pp. 381-385): the mean of the
raters, each weighted by the correlation of all its ratings with the mean of all raters. A correlation that is negative
or undefined weighs nothing. Weights are of one dimension and of all recordings together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.agreement.panels import Panel
from ast_net_ros.evaluation.metrics.accuracy import Sums, correlation
from ast_net_ros.ratings import rating_rows, write_ratings


def rater_weights(panels: Sequence[Panel], raters: Sequence[str]) -> dict[str, list[float]]:
    """Compute each rater's weights (valence, arousal) in [0, 1] from panels whose lags are removed."""
    # Means are not removed from each recording, so that differences between recordings count as well.
    blocks: dict[str, tuple[list[Sums], list[Sums]]] = {rater: ([], []) for rater in raters}
    for panel in panels:
        with_value = np.isfinite(panel.values)
        count = with_value.sum(axis=0)
        total = np.where(with_value, panel.values, 0).sum(axis=0)
        mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 1)
        for rater, values in zip(panel.raters, panel.values):
            for of_dimension, both in zip(blocks[rater], np.stack([values, mean]).transpose(2, 0, 1)):
                of_dimension.append(Sums.of(both[:, np.isfinite(both).all(axis=0)]))
    return {rater: [_weight(Sums.joined(parts).total()) for parts in blocks[rater]] for rater in raters}


def _weight(sums: Sums) -> float:
    _, (((variance, covariance), (_, of_mean)),) = sums.moments()
    return float(np.clip(np.nan_to_num(correlation(variance, of_mean, covariance)), 0, 1))


def gold_standard(panel: Panel, weights: dict[str, list[float]]) -> np.ndarray:
    """Compute the weighted mean of a panel: T x 2, NaN where fewer than half of its raters, or one only, have a value.

    Where no rater of a panel has weight, all weigh the same.
    """
    of_rater = np.array([weights[rater] for rater in panel.raters])
    of_rater = np.where(of_rater.sum(axis=0) > 0, of_rater, 1.0)[:, None, :]
    with_value = np.isfinite(panel.values)
    weight = np.where(with_value, of_rater, 0.0)
    total = weight.sum(axis=0)
    enough = (with_value.sum(axis=0) >= max(2, (len(panel.raters) + 1) // 2)) & (total > 0)
    summed = (weight * np.where(with_value, panel.values, 0)).sum(axis=0)
    return np.divide(summed, total, out=np.full(total.shape, np.nan), where=enough)


def write_gold(folder: Path, panel: Panel, gold: np.ndarray) -> Path:
    """Write the gold standard of a panel in the format of ratings, which any command reads as labels."""
    kept = np.flatnonzero(np.isfinite(gold).any(axis=1))
    known = slice(kept[0], kept[-1] + 1) if len(kept) else slice(0)
    protocol = f"evaluator-weighted mean of {', '.join(panel.raters)}, lags removed"
    info = replace(panel.info, rater="gold", protocol=protocol, device="", software="")
    path = folder / f"{panel.name}.csv"
    write_ratings(path, info, rating_rows(panel.times[known], gold[known]))
    return path

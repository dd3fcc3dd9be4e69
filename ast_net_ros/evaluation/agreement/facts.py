"""How the ratings move over time: what label_statistics.json states, from panels whose lags are removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ast_net_ros.evaluation.agreement.panels import STEP_SECONDS, Panel
from ast_net_ros.label_statistics import QUANTILES, LabelStatistics, Pair, RaterNoise
from ast_net_ros.label_statistics import STEP_SECONDS as MODEL_STEP

_LEAST_SPREAD = 1e-3
_SHORTEST = 10.0  # s of gold standard that a recording needs to count


def label_statistics(
    panels: Sequence[Panel], golds: Sequence[np.ndarray], reaction_lags: Mapping[str, float]
) -> LabelStatistics | None:
    """Measure how the gold standards (T x 2 each) and the raters' own curves move.

    Returns None where no recording is long enough and moves in both dimensions.
    """
    moving = [gold for gold in golds if _moves(gold)]
    if not moving:
        return None
    means = np.array([np.nanmean(gold, axis=0) for gold in moving])
    every = round(MODEL_STEP / STEP_SECONDS)  # one value at each step of the model
    changes = np.abs(np.concatenate([np.diff(v[::every], axis=0) for panel in panels for v in panel.values]))
    return LabelStatistics(
        recordings=len(moving),
        raters=len({rater for panel in panels for rater in panel.raters}),
        minutes=float(sum(np.isfinite(gold).all(axis=1).sum() for gold in moving) * STEP_SECONDS / 60),
        correlation_seconds=tuple(_pair([_correlation_seconds(column) for column in gold.T]) for gold in moving),
        spread=tuple(_pair(np.nanstd(gold, axis=0)) for gold in moving),
        mean_spread=float(np.sqrt((means**2).mean())),
        still_share=float((changes[np.isfinite(changes)] < 0.002).mean()),
        rate_of_change=tuple(_pair(row) for row in np.nanquantile(changes / MODEL_STEP, QUANTILES, axis=0)),
        reaction_lags=tuple(float(lag) for lag in reaction_lags.values()),
        noise=_noise(panels, golds),
    )


def _moves(gold: np.ndarray) -> bool:
    known = np.isfinite(gold).all(axis=1)
    return known.sum() * STEP_SECONDS >= _SHORTEST and bool((np.nanstd(gold[known], axis=0) > _LEAST_SPREAD).all())


def _pair(values: Sequence[float] | np.ndarray) -> Pair:
    valence, arousal = values
    return float(valence), float(arousal)


def _correlation_seconds(values: np.ndarray) -> float:
    """Find the time after which the autocorrelation of T values (NaN for none) is below 1/e.

    The mean of the recording is removed, so recordings that are not many times as long as the result make it short.
    """
    known = np.isfinite(values)
    centred = np.where(known, values - values[known].mean(), 0.0)
    size = 1 << (2 * len(values) - 1).bit_length()
    products = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2)[: len(values)]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(known.astype(float), size)) ** 2)[: len(values)]
    correlation = products / np.maximum(pairs.round(), 1) / (products[0] / known.sum())
    below = int(np.argmax(correlation < 1 / np.e))
    if below == 0:
        return len(values) * STEP_SECONDS
    high, low = correlation[below - 1], correlation[below]
    return float((below - 1 + (high - 1 / np.e) / (high - low)) * STEP_SECONDS)


def _noise(panels: Sequence[Panel], golds: Sequence[np.ndarray]) -> RaterNoise | None:
    squares: list[np.ndarray] = []
    seconds: list[Pair] = []
    for panel, gold in zip(panels, golds):
        for values in panel.values:
            rest = values - gold
            long_enough = (np.isfinite(rest).sum(axis=0) * STEP_SECONDS >= _SHORTEST).all()
            if long_enough and ((spread := np.nanstd(rest, axis=0)) > _LEAST_SPREAD).all():
                squares.append(spread**2)
                seconds.append(_pair([_correlation_seconds(column) for column in rest.T]))
    if not squares:
        return None
    return RaterNoise(_pair(np.sqrt(np.mean(squares, axis=0))), _pair(np.median(seconds, axis=0)))

"""How far raters lag behind each other, from how their curves move.

Pairs of raters are compared by the cross-correlation of their rates of change, since slow drifts of a rater would pull
the peak of the curves' own cross-correlation away. The lags of all raters are the least-squares solution of the pairs'
lags, so that one late rater does not make the others early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ast_net_ros.evaluation.agreement.measures import jackknife_interval
from ast_net_ros.evaluation.agreement.panels import STEP_SECONDS, Panel

MAX_LAG = 8.0
"""Longest lag that is looked for, in seconds."""

_SMOOTHING = 0.2  # s, standard deviation of the Gaussian whose derivative measures the rate of change
_PEAK_SECONDS = 1.5  # to each side of a peak that belong to it
_CLEAR = 5.0
"""A peak is evidence that is this many standard deviations above the correlations at other lags, on Fisher's scale; in
simulation, curves that have nothing to do with each other reach 4.6."""


class Peak(NamedTuple):
    """Where a correlation over lags is highest."""

    seconds: float
    height: float


@dataclass(frozen=True, eq=False)
class _Correlations:
    """Correlations of pairs of raters over lags, a row for each panel and pair, sorted by pair."""

    pairs: np.ndarray  # Q x 2: indices of the raters; the second one lags by the lag
    starts: np.ndarray  # Q: first row of each pair
    panel: np.ndarray  # P: index of the panel
    seconds: np.ndarray  # P: length of the panel
    rows: np.ndarray  # P x L: correlations times the seconds


def relative_lags(panels: Sequence[Panel], level: float = 0.95) -> dict[str, dict[str, Any]]:
    """Find each rater's lag behind the median of the others, over all panels.

    Returns:
        For each rater: seconds, None where no pair of curves moves together clearly; correlation: the mean height of
        the pairs' peaks; interval: over panels, None for fewer than two; position: the lag on a common
        clock, to align raters by, their median where unknown; reason: why there is no lag.
    """
    raters = sorted({rater for panel in panels for rater in panel.raters})
    correlations = _correlate(panels, raters)
    positions, heights = _solve(correlations, len(raters), np.ones(len(panels)))
    behind = _behind_others(positions)
    unknown = float(np.nanmedian(positions)) if np.isfinite(positions).any() else 0.0
    without = np.array(
        [_behind_others(_solve(correlations, len(raters), weights)[0]) for weights in 1 - np.eye(len(panels))]
    )
    return {
        rater: {
            "seconds": _number(behind[index]),
            "correlation": _number(heights[index]),
            "interval": jackknife_interval(
                behind[index], without[[rater in panel.raters for panel in panels], index], level, "plain"
            ),
            "position": float(positions[index]) if np.isfinite(positions[index]) else unknown,
            "reason": None if np.isfinite(behind[index]) else "its curve does not move clearly with any other",
        }
        for index, rater in enumerate(raters)
    }


def _correlate(panels: Sequence[Panel], raters: Sequence[str]) -> _Correlations:
    number = {rater: index for index, rater in enumerate(raters)}
    reach = round(MAX_LAG / STEP_SECONDS)
    panel_of, pairs, seconds, rows = [], [], [], []
    for index, panel in enumerate(panels):
        speeds = np.stack([rates_of_change(curve) for curve in panel.values])  # k x n x 2
        if speeds.shape[1] <= 2:
            continue
        energy = np.sqrt((speeds**2).sum(axis=1, keepdims=True))
        unit = np.divide(speeds, energy, out=np.zeros_like(speeds), where=energy > 0)
        spectra = np.fft.rfft(unit, _fft_size(unit.shape[1], reach), axis=1)
        length = panel.minutes * 60
        for a in range(len(panel.raters)):
            products = (np.conj(spectra[a])[None] * spectra[a + 1 :]).sum(axis=2)
            for offset, row in enumerate(_around_zero(products, reach)):
                panel_of.append(index)
                pairs.append((number[panel.raters[a]], number[panel.raters[a + 1 + offset]]))
                seconds.append(length)
                rows.append(row / 2 * length)
    found, place = np.unique(np.array(pairs, int).reshape(-1, 2), axis=0, return_inverse=True)
    place = place.reshape(-1)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(found)))
    table = np.array(rows).reshape(-1, 2 * reach + 1)[order]
    return _Correlations(found, starts, np.array(panel_of, int)[order], np.array(seconds)[order], table)


def rates_of_change(curve: np.ndarray) -> np.ndarray:
    """Differentiate T x F values smoothed by a Gaussian: n x F without mean, n < T; gaps count as unmoving lines."""
    half = round(4 * _SMOOTHING / STEP_SECONDS)
    if len(curve) <= 2 * half:
        return np.zeros((0, curve.shape[1]))
    offsets = np.arange(-half, half + 1) * STEP_SECONDS
    kernel = offsets * np.exp(-0.5 * (offsets / _SMOOTHING) ** 2)
    kernel /= (kernel * offsets).sum()
    moves = np.stack([np.correlate(_filled(column), kernel, "valid") for column in curve.T], axis=1)
    return moves - moves.mean(axis=0)


def _filled(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    moments = np.arange(len(values))
    return np.interp(moments, moments[known], values[known])


def _fft_size(length: int, reach: int) -> int:
    return 1 << (length + reach - 1).bit_length()


def _around_zero(products: np.ndarray, reach: int) -> np.ndarray:
    """Return correlations at lags from -reach to reach: ... x L."""
    circular = np.fft.irfft(products, axis=-1)
    return np.concatenate([circular[..., -reach:], circular[..., : reach + 1]], axis=-1)


def _solve(correlations: _Correlations, raters: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve the pairs' lags for the raters' positions, with a weight for each panel; NaN where there is no evidence."""
    positions, heights = np.full(raters, np.nan), np.full(raters, np.nan)
    if not len(correlations.rows):
        return positions, heights
    of_row = weights[correlations.panel]
    summed = np.add.reduceat(correlations.rows * of_row[:, None], correlations.starts, axis=0)
    seconds = np.add.reduceat(correlations.seconds * of_row, correlations.starts)
    used, lags, strengths = [], [], []
    for pair, row, total in zip(correlations.pairs, summed, seconds):
        if total <= 0:
            continue
        peak = clear_peak(row / total, -MAX_LAG)
        if peak:
            used.append(pair)
            lags.append(peak.seconds)
            strengths.append((peak.height, total))
    if not used:
        return positions, heights
    chosen, strength = np.array(used), np.array(strengths)
    weight = np.sqrt(strength[:, 0] ** 2 * strength[:, 1])
    system = np.zeros((len(chosen), raters))
    rows = np.arange(len(chosen))
    system[rows, chosen[:, 0]], system[rows, chosen[:, 1]] = -weight, weight
    solution = np.linalg.lstsq(system, weight * np.array(lags), rcond=None)[0]
    for rater in np.unique(chosen):
        positions[rater] = solution[rater]
        heights[rater] = strength[(chosen == rater).any(axis=1), 0].mean()
    return positions, heights


def clear_peak(row: np.ndarray, first: float, clear: float = _CLEAR, lowest: float = -np.inf) -> Peak | None:
    """Find the peak of L correlations at lags from `first` on, a step apart, between steps by a parabola.

    The peak is sought from the lag `lowest` to MAX_LAG. None where it does not stand out by `clear` standard deviations
    from the correlations at all other lags, or where they still rise at the limit.
    """
    lags = first + np.arange(len(row)) * STEP_SECONDS
    index = int(np.argmax(np.where((lags >= lowest) & (lags <= MAX_LAG), row, -np.inf)))
    away = np.abs(np.arange(len(row)) - index) > _PEAK_SECONDS / STEP_SECONDS
    fisher = np.arctanh(np.clip(row, -1 + 1e-9, 1 - 1e-9))
    if not 0 < index < len(row) - 1 or row[index] < row[index - 1 : index + 2].max():
        return None
    if fisher[index] <= fisher[away].mean() + clear * fisher[away].std():
        return None
    before, at, after = row[index - 1 : index + 2]
    bend = before - 2 * at + after
    offset = (before - after) / (2 * bend) if bend < 0 else 0.0
    return Peak(first + (index + offset) * STEP_SECONDS, float(at))


def _behind_others(positions: np.ndarray) -> np.ndarray:
    """Return each position relative to the median of the others."""
    known = np.flatnonzero(np.isfinite(positions))
    behind = np.full(len(positions), np.nan)
    for index in known:
        others = positions[known[known != index]]
        if len(others):
            behind[index] = positions[index] - np.median(others)
    return behind


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

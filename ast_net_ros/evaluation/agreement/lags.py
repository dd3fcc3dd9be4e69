"""How far raters lag behind each other and behind the face, from how their curves move.

Pairs of raters are compared by the cross-correlation of their rates of change, since slow drifts of a rater would pull
the peak of the curves' own cross-correlation away. The lags of all raters are the least-squares solution of the pairs'
lags, so that one late rater does not make the others early.

Behind the face: the rates of change of the eight emotions explain those of the ratings by a multiple correlation at
each lag, which is the mutual information of Mariooryad and Busso 2015 (IEEE Transactions on Affective Computing 6) for
normal variables. Face and ratings are shifted in a circle, so that all lags rest on equally many moments and most of
them show how large the correlation of unrelated curves is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ast_net_ros.evaluation.agreement.measures import finite, jackknife_interval
from ast_net_ros.evaluation.agreement.panels import STEP_SECONDS, Panel

MAX_LAG = 8.0
"""Longest lag that is looked for, in seconds."""

_SMOOTHING = 0.2  # s, standard deviation of the Gaussian whose derivative measures the rate of change
_PEAK_SECONDS = 1.5  # to each side of a peak that belong to it
_CLEAR = 5.0
"""A peak is evidence that is this many standard deviations above the correlations at other lags, on Fisher's scale; in
simulation, unrelated curves reach 4.6."""


_EARLIEST = -1.0
"""Least lag behind the face that is looked for, in seconds: raters who know the recording can be early."""
SHORTEST = 2 * MAX_LAG + 2.0
"""Recordings shorter than this, in seconds, cannot be used."""
_CLEAR_OF_FACE = 5.5  # as _CLEAR; unrelated curves reach 5.0, a smile in 20 s of real video 8.7


class Peak(NamedTuple):
    """Where a correlation over lags is highest."""

    seconds: float
    height: float


@dataclass(frozen=True, eq=False)
class _Correlations:
    """Correlations over L lags of the Q pairs of raters that rated a face together, one of each panel and summed."""

    raters: int  # of all pairs together
    pairs: np.ndarray  # Q x 2: indices of the raters; the second one lags by the lag
    panel: np.ndarray  # P: index of the panel
    pair: np.ndarray  # P: index of the pair
    seconds: np.ndarray  # P: length of the panel
    rows: np.ndarray  # P x L: correlations times the seconds


def relative_lags(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    """Find each rater's lag behind the median of the others, over all panels.

    Returns:
        For each rater: seconds, None where no pair of curves moves together clearly; correlation: the mean height of
        the pairs' peaks; interval: over panels, None for fewer than two; position: the lag on a common
        clock, to align raters by, their median where unknown; reason: why there is no lag.
    """
    raters = sorted({rater for panel in panels for rater in panel.raters})
    positions, heights, without = _positions(_correlate(panels, raters), len(panels))
    behind = _behind_others(positions)
    behind_without = np.array([_behind_others(some) for some in without])
    unknown = float(np.nanmedian(positions)) if np.isfinite(positions).any() else 0.0
    return {
        rater: {
            "seconds": finite(behind[index]),
            "correlation": finite(heights[index]),
            "interval": jackknife_interval(
                behind[index], behind_without[[rater in panel.raters for panel in panels], index], "plain"
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
        spectra = np.fft.rfft(unit, 1 << (unit.shape[1] + reach - 1).bit_length(), axis=1)
        length = panel.minutes * 60
        for a in range(len(panel.raters)):
            products = (np.conj(spectra[a])[None] * spectra[a + 1 :]).sum(axis=2)
            for offset, row in enumerate(around_zero(products, reach)):
                panel_of.append(index)
                pairs.append((number[panel.raters[a]], number[panel.raters[a + 1 + offset]]))
                seconds.append(length)
                rows.append(row / 2 * length)
    found, pair = np.unique(np.array(pairs, int).reshape(-1, 2), axis=0, return_inverse=True)
    table = np.array(rows).reshape(-1, 2 * reach + 1)
    return _Correlations(len(raters), found, np.array(panel_of, int), pair.reshape(-1), np.array(seconds), table)


def _positions(correlations: _Correlations, panels: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the raters' positions, the mean heights of their peaks, and the positions without each panel."""
    c = correlations
    summed, seconds = np.zeros((len(c.pairs), c.rows.shape[1])), np.zeros(len(c.pairs))
    np.add.at(summed, c.pair, c.rows)
    np.add.at(seconds, c.pair, c.seconds)
    lags, heights = clear_peaks(summed / seconds[:, None], -MAX_LAG)
    without = []
    for panel in range(panels):
        of_panel = np.flatnonzero(c.panel == panel)  # a pair is in a panel once, so only these pairs change
        changed, rest = c.pair[of_panel], seconds.copy()
        rest[changed] -= c.seconds[of_panel]
        rows = (summed[changed] - c.rows[of_panel]) / np.maximum(rest[changed], STEP_SECONDS)[:, None]
        new_lags, new_heights = lags.copy(), heights.copy()
        new_lags[changed], new_heights[changed] = clear_peaks(rows, -MAX_LAG)
        new_lags[changed[rest[changed] < STEP_SECONDS]] = np.nan
        without.append(_solve(c, new_lags, new_heights, rest))
    mean = np.full(c.raters, np.nan)
    for rater in np.unique(c.pairs[np.isfinite(lags)]):
        mean[rater] = heights[(c.pairs == rater).any(axis=1) & np.isfinite(lags)].mean()
    return _solve(c, lags, heights, seconds), mean, without


def _solve(correlations: _Correlations, lags: np.ndarray, heights: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Find the raters' positions whose differences fit the pairs' lags (Q, NaN for none) best by least squares.

    Pairs weigh by the square of their correlation and by how long both rated. NaN where a rater has no pair.
    """
    known = np.isfinite(lags)
    (a, b), weight = correlations.pairs[known].T, np.square(heights[known]) * seconds[known]
    normal, right = np.zeros((correlations.raters, correlations.raters)), np.zeros(correlations.raters)
    for first, second, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
        np.add.at(normal, (first, second), sign * weight)
    np.add.at(right, b, weight * lags[known])
    np.add.at(right, a, -weight * lags[known])
    positions = np.full(correlations.raters, np.nan)
    used = np.union1d(a, b)
    if len(used):
        # Lags leave one position open, in each group of raters who share no recording with the others: it is the mean.
        ridge = 1e-9 * np.trace(normal) / len(used) * np.eye(len(used))
        positions[used] = np.linalg.solve(normal[np.ix_(used, used)] + ridge, right[used])
    return positions


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


def around_zero(products: np.ndarray, reach: int, size: int | None = None) -> np.ndarray:
    """Return correlations at lags from -reach to reach, ... x L, from the products of spectra of curves of a size."""
    circular = np.fft.irfft(products, size, axis=-1)
    return np.concatenate([circular[..., -reach:], circular[..., : reach + 1]], axis=-1)


def clear_peaks(
    rows: np.ndarray, first: float, clear: float = _CLEAR, lowest: float = -np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Find the peaks of Q rows of correlations at L lags from `first` on, a step apart, between steps by a parabola.

    Peaks are sought from the lag `lowest` to MAX_LAG. Returns Q lags in seconds and Q heights; NaN where none stands
    out by `clear` standard deviations from the correlations at all other lags, or where they still rise at the limit.
    """
    count = rows.shape[1]
    lags = first + np.arange(count) * STEP_SECONDS
    sought = (lags >= lowest) & (lags <= MAX_LAG)
    index = np.clip(np.argmax(np.where(sought, rows, -np.inf), axis=1), 1, count - 2)
    before, at, after = (np.take_along_axis(rows, (index + shift)[:, None], axis=1)[:, 0] for shift in (-1, 0, 1))
    fisher = np.arctanh(np.clip(rows, -1 + 1e-9, 1 - 1e-9))
    away = np.abs(np.arange(count) - index[:, None]) > _PEAK_SECONDS / STEP_SECONDS
    number = away.sum(axis=1)
    mean = np.where(away, fisher, 0).sum(axis=1) / number
    deviation = np.sqrt(np.where(away, np.square(fisher - mean[:, None]), 0).sum(axis=1) / number)
    stands_out = np.arctanh(np.clip(at, -1 + 1e-9, 1 - 1e-9)) > mean + clear * deviation
    peak = stands_out & (at >= before) & (at >= after) & (2 * at > before + after)
    bend = np.where(peak, before - 2 * at + after, -1.0)
    seconds = first + (index + (before - after) / (2 * bend)) * STEP_SECONDS
    return np.where(peak, seconds, np.nan), np.where(peak, at, np.nan)


def clear_peak(row: np.ndarray, first: float, clear: float, lowest: float) -> Peak | None:
    """As `clear_peaks` for one row; None for no peak."""
    (seconds,), (height,) = clear_peaks(row[None], first, clear, lowest)
    return Peak(float(seconds), float(height)) if np.isfinite(seconds) else None


def _behind_others(positions: np.ndarray) -> np.ndarray:
    """Return each position relative to the median of the others."""
    known = np.flatnonzero(np.isfinite(positions))
    behind = np.full(len(positions), np.nan)
    for index in known if len(known) > 1 else ():
        behind[index] = positions[index] - np.median(positions[known[known != index]])
    return behind


def face_lags(
    panels: Sequence[Panel], movements: Mapping[str, np.ndarray], positions: Mapping[str, float]
) -> tuple[dict[str, Peak | None], float | None]:
    """Find each rater's lag behind the movement of the face.

    Args:
        panels: The ratings.
        movements: T x F emotions of a panel's face at the panel's times, by its name; NaN for none.
        positions: Lag of each rater on a common clock, as `relative_lags` finds it.

    Returns:
        For each rater seconds and multiple correlation, None where nothing clear was found; and the lag of the origin
        of `positions`, from all raters together.
    """
    speeds = {panel.name: rates_of_change(movements[panel.name]) for panel in panels if panel.name in movements}
    usable = [panel for panel in panels if panel.name in speeds and 60 * panel.minutes >= SHORTEST]
    if not usable:
        return {}, None
    reach = min(round(30.0 / STEP_SECONDS), *(len(speeds[panel.name]) // 2 for panel in usable))
    products: dict[str, Sequence[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    for panel in usable:
        face = speeds[panel.name]
        for rater, values in zip(panel.raters, panel.values):
            found: Sequence[np.ndarray] = _products(face, rates_of_change(values), reach)
            products[rater] = [a + b for a, b in zip(products[rater], found)] if rater in products else found
            seconds[rater] = seconds.get(rater, 0.0) + len(face) * STEP_SECONDS
    curves = {rater: _explained(*found) for rater, found in products.items()}
    first = -reach * STEP_SECONDS
    lags = {rater: clear_peak(curve, first, _CLEAR_OF_FACE, _EARLIEST) for rater, curve in curves.items()}
    steps = np.arange(-reach, reach + 1) * STEP_SECONDS
    joint = sum(length * np.interp(steps + positions[rater], steps, curves[rater]) for rater, length in seconds.items())
    origin = clear_peak(joint / sum(seconds.values()), first, _CLEAR_OF_FACE, _EARLIEST)
    return lags, origin.seconds if origin else None


def _products(face: np.ndarray, rated: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return products of rates of change: of the face, F x F, of both at L lags, 2 x F x L, and of the rating, 2."""
    spectra, other = np.fft.rfft(face, axis=0), np.fft.rfft(rated, axis=0)
    lags = around_zero(np.conj(spectra.T)[None] * other.T[:, None], reach, len(face))
    return face.T @ face, lags, np.square(rated).sum(axis=0)


def _explained(face: np.ndarray, both: np.ndarray, rating: np.ndarray) -> np.ndarray:
    """Return the multiple correlation at every lag, root mean square of the dimensions that move."""
    ridge = 1e-3 * max(float(np.trace(face)), 1e-12) * np.eye(len(face))
    explained = (np.linalg.solve(face + ridge, both) * both).sum(axis=1)
    moving = rating > 0
    if not moving.any():
        return np.zeros(both.shape[-1])
    return np.sqrt(np.clip(explained[moving] / rating[moving, None], 0, 1).mean(axis=0))

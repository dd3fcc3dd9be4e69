"""How far raters lag behind the face: where its movement explains that of their ratings best.

The rates of change of the eight emotions explain those of the ratings by a multiple correlation at each lag, which is
the mutual information of Mariooryad and Busso 2015 (IEEE Transactions on Affective Computing 6) for normal variables.
Face and ratings are shifted in a circle, so that all lags rest on equally many moments and most of them show how large
the correlation of unrelated curves is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ast_net_ros.evaluation.agreement.lags import MAX_LAG, Peak, around_zero, clear_peak, rates_of_change
from ast_net_ros.evaluation.agreement.panels import STEP_SECONDS, Panel

_EARLIEST = -1.0
"""Least lag behind the face that is looked for, in seconds: raters who know the recording can be early."""
SHORTEST = 2 * MAX_LAG + 2.0
"""Recordings shorter than this, in seconds, cannot be used."""
_CLEAR = 5.5  # as in lags.py; unrelated curves reach 5.0, a smile in 20 s of real video 8.7


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
    lags = {rater: clear_peak(curve, first, _CLEAR, _EARLIEST) for rater, curve in curves.items()}
    steps = np.arange(-reach, reach + 1) * STEP_SECONDS
    joint = sum(length * np.interp(steps + positions[rater], steps, curves[rater]) for rater, length in seconds.items())
    origin = clear_peak(joint / sum(seconds.values()), first, _CLEAR, _EARLIEST)
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

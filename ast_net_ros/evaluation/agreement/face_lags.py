"""How far raters lag behind the face: where its movement explains that of their ratings best.

The rates of change of the eight emotions explain those of the ratings by a multiple correlation at each lag, which is
the mutual information of Mariooryad and Busso 2015 (IEEE Transactions on Affective Computing 6) for normal variables.
Face and ratings are shifted in a circle, so that all lags rest on equally many moments and most of them show how large
the correlation of unrelated curves is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.evaluation.agreement.lags import MAX_LAG, Peak, clear_peak, rates_of_change
from ast_net_ros.evaluation.agreement.panels import STEP_SECONDS, Panel

_EARLIEST = -1.0
"""Least lag behind the face that is looked for, in seconds: raters who know the recording can be early."""
_LONGEST_SHIFT = 30.0  # s, at most half of a recording
SHORTEST = 2 * MAX_LAG + 2.0
"""Recordings shorter than this, in seconds, cannot be used."""
_CLEAR = 5.5  # as in lags.py; unrelated curves reach 5.0, a smile in 20 s of real video 8.7
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class _Products:
    """Products of a face's and a rater's rates of change."""

    face: np.ndarray  # F x F
    both: np.ndarray  # 2 x F x L, at every lag
    rating: np.ndarray  # 2
    seconds: float

    def __add__(self, other: _Products) -> _Products:
        return _Products(
            self.face + other.face, self.both + other.both, self.rating + other.rating, self.seconds + other.seconds
        )


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
    reach = min(round(_LONGEST_SHIFT / STEP_SECONDS), *(len(speeds[panel.name]) // 2 for panel in usable))
    products: dict[str, _Products] = {}
    for panel in usable:
        for rater, values in zip(panel.raters, panel.values):
            found = _products(speeds[panel.name], rates_of_change(values), reach)
            products[rater] = products[rater] + found if rater in products else found
    curves = {rater: _explained(found) for rater, found in products.items()}
    first = -reach * STEP_SECONDS
    lags = {rater: clear_peak(curve, first, _CLEAR, _EARLIEST) for rater, curve in curves.items()}
    steps = np.arange(-reach, reach + 1) * STEP_SECONDS
    joint = sum(found.seconds * np.interp(steps + positions[r], steps, curves[r]) for r, found in products.items())
    origin = clear_peak(joint / sum(found.seconds for found in products.values()), first, _CLEAR, _EARLIEST)
    return lags, origin.seconds if origin else None


def _products(face: np.ndarray, rated: np.ndarray, reach: int) -> _Products:
    """Multiply face (n x F) and rating (n x 2) at lags from -reach to reach."""
    spectra, other = np.fft.rfft(face, axis=0), np.fft.rfft(rated, axis=0)
    circular = np.fft.irfft(np.conj(spectra.T)[None] * other.T[:, None], len(face), axis=-1)
    lags = np.concatenate([circular[..., -reach:], circular[..., : reach + 1]], axis=-1)
    return _Products(face.T @ face, lags, np.square(rated).sum(axis=0), len(face) * STEP_SECONDS)


def _explained(products: _Products) -> np.ndarray:
    """Return the multiple correlation at every lag, root mean square of the dimensions that move."""
    ridge = _RIDGE * max(float(np.trace(products.face)), 1e-12) * np.eye(len(products.face))
    explained = (np.linalg.solve(products.face + ridge, products.both) * products.both).sum(axis=1)
    moving = products.rating > 0
    if not moving.any():
        return np.zeros(products.both.shape[-1])
    return np.sqrt(np.clip(explained[moving] / products.rating[moving, None], 0, 1).mean(axis=0))

"""Estimate by how much ratings lag behind the network's output.

Raters need seconds to see, decide and move (2 to 6 s in Mariooryad and Busso 2015). The delay is the one at which the
network's output explains the ratings best by linear regression, so that neither a rater's scale nor an offset counts.
What the network itself lags behind the face is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ast_net_ros.rating_files import DataError
from ast_net_ros.training.fitting.rated_faces import Outputs, RatedFace, ratings_of

DELAY_STEP = 0.1
"""Step of the search, in seconds."""
LEAST_SHARE = 0.5
"""Delays that leave fewer rated moments than this share of the most that any delay leaves are not considered."""


class RatingDelay(NamedTuple):
    """The delay of ratings."""

    seconds: float
    explained: float  # share of the ratings' variance within recordings that the output explains, mean of dimensions
    at_limit: bool  # whether it is the largest one tried


def estimate_rating_delay(
    faces: Sequence[RatedFace], outputs: Sequence[Sequence[Outputs]], longest: float
) -> RatingDelay:
    """Find the delay from 0 to `longest` seconds of the ratings of all faces; outputs: those of each face.

    Raises:
        DataError: No face was seen while it was rated, or the ratings never change.
    """
    tried = DELAY_STEP * np.arange(round(longest / DELAY_STEP) + 1)
    found = [_explained(faces, outputs, float(delay)) for delay in tried]
    most = max(moments for _, moments in found)
    # A delay near the length of the recordings leaves a few moments, which any output explains.
    explained = [share if moments >= LEAST_SHARE * most else np.nan for share, moments in found]
    if not np.isfinite(explained).any():
        raise DataError("the ratings never change while a face is seen: there is nothing to fit")
    best = int(np.nanargmax(explained))
    return RatingDelay(round(float(tried[best]), 6), float(explained[best]), best == len(tried) - 1 > 0)


def _explained(faces: Sequence[RatedFace], outputs: Sequence[Sequence[Outputs]], delay: float) -> tuple[float, int]:
    """The share of the variance of ratings that outputs explain, both about their means of each recording.

    Also the number of rated moments; without any change in the ratings the share is NaN.
    """
    parts = []
    for face, tracks in zip(faces, outputs):
        if not tracks:
            continue
        affect = np.concatenate([track.affect for track in tracks])
        ratings = np.concatenate([ratings_of(face, track.ends, delay) for track in tracks])
        rated = np.isfinite(ratings).all(axis=1)
        if rated.sum() > 1:
            parts.append([values[rated] - values[rated].mean(axis=0) for values in (affect, ratings)])
    if not parts:
        return float("nan"), 0
    affect, ratings = (np.concatenate(side) for side in zip(*parts))
    total = np.square(ratings).sum(axis=0)
    left = np.square(ratings - affect @ np.linalg.lstsq(affect, ratings, rcond=None)[0]).sum(axis=0)
    varies = total > 1e-9 * len(ratings)
    return float((1 - left[varies] / total[varies]).mean()) if varies.any() else float("nan"), len(ratings)

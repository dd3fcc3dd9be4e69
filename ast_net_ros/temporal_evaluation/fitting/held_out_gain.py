"""The gain of one network over another on people whom it was not fitted to, with its interval over people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS, accuracy
from ast_net_ros.evaluation.metrics.intervals import Resampling, interval_of_mean
from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.fitting.rated_faces import RatedFace, outputs_of, ratings_of

LEAST_GAIN = 0.01
"""Smallest mean gain of CCC that counts: noise in the ratings alone lets a wider scale gain some thousandths."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a network puts out for one person, at the N model steps that have a rating."""

    affect: np.ndarray  # N x 2
    sigma: np.ndarray  # N x 2
    ratings: np.ndarray  # N x 2

    def ccc(self) -> dict[str, float | None]:
        """Return the CCC of each dimension; None where the ratings are constant."""
        return {
            dimension: accuracy(self.affect[:, d], self.ratings[:, d])["ccc"] if np.ptp(self.ratings[:, d]) else None
            for d, dimension in enumerate(DIMENSIONS)
        }

    def mean_ccc(self) -> float | None:
        """Return the mean CCC of the dimensions whose ratings vary; None if neither does."""
        known = [value for value in self.ccc().values() if value is not None]
        return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class Gain:
    """How much CCC (mean of valence and arousal) a network gains over another, over people."""

    mean: float
    interval: tuple[float, float]  # of 95 %
    by_person: Mapping[str, float]
    ccc_interval: tuple[float, float]  # of the CCC that the network has then, of 95 %

    @property
    def claimed(self) -> bool:
        """Whether the gain is large enough, its interval excludes zero, and so does that of the CCC itself.

        Without the last, a network whose output is unrelated to the ratings gains by hardly moving any more.
        """
        return self.mean >= LEAST_GAIN and self.interval[0] > 0 and self.ccc_interval[0] > 0


def folds_of(people: Sequence[str], largest_number: int) -> Iterator[tuple[str, ...]]:
    """Yield the people of each fold: one person at a time, or groups where that would be more than `largest_number`."""
    number = min(len(people), largest_number)
    for fold in range(number):
        yield tuple(people[fold::number])


def held_out(net: ASTNet, faces: Sequence[RatedFace], delay: float) -> dict[str, HeldOut]:
    """Run a network over the faces of people whom it was not fitted to; by person, without those never rated."""
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for face in faces:
        for track in outputs_of(net, face):
            ratings = ratings_of(face, track.ends, delay)
            rated = np.isfinite(ratings).all(axis=1)
            found = (track.affect[rated], track.sigma[rated], ratings[rated])
            parts.setdefault(face.person, []).append(found)
    joined = {person: [np.concatenate(side) for side in zip(*found)] for person, found in parts.items()}
    return {person: HeldOut(*found) for person, found in joined.items() if len(found[0]) > 1}


def gain_of(candidate: Mapping[str, HeldOut], before: Mapping[str, HeldOut]) -> Gain:
    """Compare two networks on the same people; those with constant ratings do not count."""
    now = {person: ccc for person, found in candidate.items() if (ccc := found.mean_ccc()) is not None}
    gains = {person: ccc - (before[person].mean_ccc() or 0.0) for person, ccc in now.items()}
    mean = float(np.mean(list(gains.values()))) if gains else 0.0
    return Gain(mean, interval_over_people(list(gains.values())), gains, interval_over_people(list(now.values())))


def interval_over_people(gains: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean: the wider ends of the bootstrap's and of Student's.

    Percentile intervals of few values are too narrow (Hesterberg 2015): of three people with a gain each, the
    bootstrap's always excludes zero. Without two people it is unbounded.
    """
    bootstrap = interval_of_mean(list(gains), Resampling())
    if bootstrap is None:
        return -math.inf, math.inf
    half = _t_quantile(len(gains) - 1) * float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    mean = float(np.mean(gains))
    return min(bootstrap[0], mean - half), max(bootstrap[1], mean + half)


def _t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond the table by the expansion of Abramowitz and Stegun, 26.7.5."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
    if freedom <= len(table):
        return table[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)

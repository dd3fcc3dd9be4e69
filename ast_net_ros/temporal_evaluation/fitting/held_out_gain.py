"""The gain of one network over another on held-out people, with its interval over people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

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


def folds_of(people: Sequence[str], largest_number: int) -> list[tuple[str, ...]]:
    """List the people of each fold: one person each, or groups where that would be more than `largest_number` folds."""
    number = min(len(people), largest_number)
    return [tuple(people[fold::number]) for fold in range(number)]


def held_out(net: ASTNet, faces: Sequence[RatedFace], delay: float) -> dict[str, HeldOut]:
    """Run a network over the faces of held-out people; the results by person, without those never rated."""
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for face in faces:
        for track in outputs_of(net, face):
            ratings = ratings_of(face, track.ends, delay)
            rated = np.isfinite(ratings).all(axis=1)
            parts.setdefault(face.person, []).append((track.affect[rated], track.sigma[rated], ratings[rated]))
    joined = {person: [np.concatenate(side) for side in zip(*found)] for person, found in parts.items()}
    return {person: HeldOut(*found) for person, found in joined.items() if len(found[0]) > 1}


def gain_of(candidate: Mapping[str, HeldOut], before: Mapping[str, HeldOut]) -> Gain:
    """Compare two networks on the same people; those with constant ratings do not count."""
    now = {person: ccc for person, found in candidate.items() if (ccc := found.mean_ccc()) is not None}
    by_person = {person: ccc - (before[person].mean_ccc() or 0.0) for person, ccc in now.items()}
    gains = list(by_person.values())
    mean = float(np.mean(gains)) if gains else 0.0
    return Gain(mean, interval_over_people(gains), by_person, interval_over_people(list(now.values())))


def interval_over_people(gains: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean: the wider ends of the bootstrap's and of Student's.

    Percentile intervals of few values are too narrow (Hesterberg 2015): of three people with a gain each, the
    bootstrap's always excludes zero. Without two people it is unbounded.
    """
    bootstrap = interval_of_mean(list(gains), Resampling())
    if bootstrap is None:
        return -math.inf, math.inf
    mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    half = float(stdtrit(len(gains) - 1, 0.975)) * error
    return min(bootstrap[0], mean - half), max(bootstrap[1], mean + half)

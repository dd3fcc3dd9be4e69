"""Tracking faces from image to image of one camera.

In: the detections of one image with their appearance, and the image's stamp. Out: a track for every detection.

The association follows ByteTrack (Zhang et al. 2022) and OC-SORT (Cao et al. 2023): each track is moved on by its
velocity as observed, likely detections are assigned to all tracks at once, and unlikely ones may only continue a
track that was there in the image before. What decides differs with the case, as people turn their heads at 5 images
a second and faces differ less than pedestrians' clothes:

- A box that continues a track within a few tenths of a second, without a rival: position alone. A head that turns
  looks different from image to image and keeps its track.
- Two people near each other: position and appearance together.
- After a gap: appearance, which must be more similar the longer the gap. Whoever takes another one's place gets a
  track of their own.

A track keeps several templates of its appearance, so that a head that turns back is known again. A number is given
once and never again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ast_net_ros.face_affect import Box, shared_area
from ast_net_ros.vision.appearance import Appearance
from ast_net_ros.vision.detection import Detection

CONTINUING_SCORE = 0.43
"""Share of `sure_score` from which on a detection can continue a track: 0.3 at the default of 0.7."""

_FORBIDDEN = 1e6  # cost of a pair that cannot be


@dataclass(frozen=True)
class AssociationSettings:
    """What decides whether a detection continues a track. The defaults are those of `tools/tracking`.

    Similarity below is that of shapes less the distance of hair colours, at most 1. Chosen on one half of the people
    of `tools/tracking`; docs/tracking.md has the metrics of the other half.

    Attributes:
        continued_seconds: Longest time since the last observation for which position alone may decide. Seconds.
        bridged_seconds: Likewise where an image in between did not show the face.
        continued_overlap: Minimum overlap with the predicted box, or the last one, for which it does.
        similarity_near: Minimum similarity otherwise, right after the last observation.
        similarity_regained: Likewise `gap_seconds` after it and later; linear in between.
        gap_seconds: See `similarity_regained`.
        hair_weight: What one CIELAB unit between two hair colours takes off the similarity.
        position_weight: What an offset by one face size costs, beside 1 for the similarity, between rivals.
        reach, reach_per_second, largest_reach: How far a face may be from its predicted place, in face sizes.
        largest_size_ratio: Between two observations.
    """

    continued_seconds: float = 0.65
    bridged_seconds: float = 0.28
    continued_overlap: float = 0.5
    similarity_near: float = 0.3
    similarity_regained: float = 0.75
    gap_seconds: float = 0.4
    hair_weight: float = 0.0075
    position_weight: float = 1.0
    reach: float = 0.7
    reach_per_second: float = 3.0
    largest_reach: float = 2.0
    largest_size_ratio: float = 1.8


_VELOCITY_SECONDS = 0.2  # time constant of a track's velocity
_LONGEST_PREDICTION = 1 / 3  # seconds for which a velocity is trusted
_TEMPLATE_SECONDS, _HAIR_SECONDS = 0.3, 0.5  # time constants with which templates and hair colour follow the face
_NEW_TEMPLATE = 0.85  # a shape less similar than this to every template becomes one
_MAX_TEMPLATES = 6


@dataclass
class Track:
    """One face tracked through the images of a camera.

    Attributes:
        number: Unique in the tracker's life.
        detection: The last observation.
        last_seen: Its stamp, seconds.
        templates: Unit vectors, the shapes that this face has shown (see Appearance); the latest one last.
        hair: Its colour, a running mean (see Appearance).
        velocity: Of the box's centre, pixels per second.
        missed: Whether the newest image did not show it.
        described: Stamp of the last appearance that was learned, seconds.
    """

    number: int
    detection: Detection
    last_seen: float
    templates: list[np.ndarray]
    hair: np.ndarray
    velocity: np.ndarray
    missed: bool = False
    described: float = -math.inf

    def box_at(self, stamp: float) -> Box:
        """Return the box where it should be at `stamp`."""
        x, y, width, height = self.detection.box
        dx, dy = (self.velocity * min(stamp - self.last_seen, _LONGEST_PREDICTION)).tolist()
        return (x + dx, y + dy, width, height)

    def follow(self, detection: Detection, appearance: Appearance | None, stamp: float) -> None:
        """Take over a new observation; its appearance is None where it was not needed."""
        elapsed = stamp - self.last_seen
        if elapsed > 0:
            moved = (_centre(detection.box) - _centre(self.detection.box)) / elapsed
            self.velocity = self.velocity + (moved - self.velocity) * _gain(elapsed, _VELOCITY_SECONDS)
        if appearance is not None and stamp > self.described:
            since = stamp - self.described
            self.hair = self.hair + (appearance.hair - self.hair) * _gain(since, _HAIR_SECONDS)
            self._learn(appearance.shape, since)
            self.described = stamp
        self.detection, self.last_seen = detection, stamp

    def _learn(self, shape: np.ndarray, elapsed: float) -> None:
        """Blend the shape into the template most like it, or keep it as a further one."""
        similarities = [float(shape @ template) for template in self.templates]
        nearest = int(np.argmax(similarities))
        if similarities[nearest] < _NEW_TEMPLATE:
            self.templates = [*self.templates, shape][-_MAX_TEMPLATES:]
            return
        template = self.templates.pop(nearest)
        template = template + (shape - template) * _gain(elapsed, _TEMPLATE_SECONDS)
        self.templates.append(template / max(float(np.linalg.norm(template)), 1e-6))


class _Pair(NamedTuple):
    """A detection that may continue a track."""

    offset: float  # from the predicted place, in face sizes
    similarity: float  # see AssociationSettings
    overlap: float  # with the predicted or the last box, the larger


class FaceTracker:
    """Keeps the tracks of one camera.

    Attributes:
        timeout: A track ends when its face has not been seen for longer than this. Seconds.
        sure_score: Detections from this score on begin tracks; those below only continue them. In [0, 1].
        tracks: Those that have not ended.
    """

    def __init__(self, timeout: float = 1.0, sure_score: float = 0.7):
        self.timeout, self.sure_score = timeout, sure_score
        self.settings = AssociationSettings()
        self.tracks: list[Track] = []
        self._given = 0

    def update(
        self, detections: Sequence[Detection], appearances: Sequence[Appearance], stamp: float
    ) -> list[Track | None]:
        """Assign one image's detections to the tracks.

        Args:
            detections: All faces of the image.
            appearances: One for each detection.
            stamp: Of the image, seconds; not before the last one.

        Returns:
            The track of each detection, in their order; None for an unlikely one that continues nothing.

        Raises:
            ValueError: The stamp went backward. The caller resets first.
        """
        if any(stamp < track.last_seen for track in self.tracks):
            raise ValueError(f"stamp {stamp} lies before the last image's; reset the tracker first")
        self.tracks = [track for track in self.tracks if stamp - track.last_seen <= self.timeout]
        sure = [i for i, detection in enumerate(detections) if detection.score >= self.sure_score]
        unlikely = [i for i in range(len(detections)) if i not in sure]
        assigned = self._assign(sure, self.tracks, detections, appearances, stamp)
        continued = {track.number for track in assigned.values()}
        waiting = [track for track in self.tracks if track.number not in continued and not track.missed]
        assigned |= self._assign(unlikely, waiting, detections, appearances, stamp)
        for index, track in assigned.items():
            track.follow(detections[index], appearances[index], stamp)
        for index in sure:
            if index not in assigned:
                self._given += 1
                seen, appearance = detections[index], appearances[index]
                track = Track(
                    self._given, seen, stamp, [appearance.shape], appearance.hair, np.zeros(2), described=stamp
                )
                self.tracks.append(track)
                assigned[index] = track
        for track in self.tracks:
            track.missed = track.last_seen < stamp
        return [assigned.get(index) for index in range(len(detections))]

    def follow(self, tracks: Sequence[Track | None], detections: Sequence[Detection], stamp: float) -> bool:
        """Move the tracks of faces that optical flow has followed, whose appearance need not be compared.

        Args:
            tracks: Of the faces in `detections`, in their order: what `update` returned for them.
            detections: All faces of the image.
            stamp: Of the image, seconds.

        Returns:
            False, with nothing done, where a track has ended: call `update` then.
        """
        alive = {track.number for track in self.tracks if 0 <= stamp - track.last_seen <= self.timeout}
        if any(track is not None and track.number not in alive for track in tracks):
            return False
        self.tracks = [track for track in self.tracks if track.number in alive]
        for track, detection in zip(tracks, detections):
            if track is not None:
                track.follow(detection, None, stamp)
        for track in self.tracks:
            track.missed = track.last_seen < stamp
        return True

    def reset(self) -> None:
        """Forget every track. Numbers go on."""
        self.tracks = []

    def _assign(
        self,
        indices: Sequence[int],
        tracks: Sequence[Track],
        detections: Sequence[Detection],
        appearances: Sequence[Appearance],
        stamp: float,
    ) -> dict[int, Track]:
        """The best assignment of the detections at `indices` to `tracks`: index -> track."""
        if not indices or not tracks:
            return {}
        pairs = {
            (row, column): pair
            for row, index in enumerate(indices)
            for column, track in enumerate(tracks)
            if (pair := self._pair(track, detections[index], appearances[index], stamp)) is not None
        }
        similarity = np.full((len(indices), len(tracks)), -np.inf)
        for place, pair in pairs.items():
            similarity[place] = pair.similarity
        best_track, best_detection = similarity.argmax(axis=1), similarity.argmax(axis=0)
        cost = np.full(similarity.shape, _FORBIDDEN)
        for (row, column), pair in pairs.items():
            # A rival: the track or the detection has another partner, and these two are most similar to each other.
            rivals = column != best_track[row] and best_detection[best_track[row]] == row
            rivals = rivals or (row != best_detection[column] and best_track[best_detection[column]] == column)
            if self._continues(pair, tracks[column], bool(rivals), stamp):
                cost[row, column] = self.settings.position_weight * pair.offset - pair.similarity
        return {indices[row]: tracks[column] for row, column in assign(cost, _FORBIDDEN)}

    def _pair(self, track: Track, detection: Detection, appearance: Appearance, stamp: float) -> _Pair | None:
        """How a detection compares with a track; None where it is out of reach or of another size."""
        settings, predicted = self.settings, track.box_at(stamp)
        size, before = _size(detection.box), _size(track.detection.box)
        if not 1 / settings.largest_size_ratio < size / before < settings.largest_size_ratio:
            return None
        reach = settings.reach + settings.reach_per_second * (stamp - track.last_seen)
        offset = float(np.linalg.norm(_centre(detection.box) - _centre(predicted))) / max(size, before)
        if offset > min(reach, settings.largest_reach):
            return None
        similarity = max(float(template @ appearance.shape) for template in track.templates)
        similarity -= settings.hair_weight * float(np.linalg.norm(track.hair - appearance.hair))
        places = (predicted, track.detection.box)
        return _Pair(offset, similarity, max(intersection_over_union(detection.box, place) for place in places))

    def _continues(self, pair: _Pair, track: Track, rivals: bool, stamp: float) -> bool:
        """Whether the detection may be the track's face."""
        settings = self.settings
        elapsed = stamp - track.last_seen
        longest = settings.bridged_seconds if track.missed else settings.continued_seconds
        if elapsed <= longest and pair.overlap >= settings.continued_overlap and not rivals:
            return True
        gap = min(elapsed / settings.gap_seconds, 1.0)
        wanted = settings.similarity_near + (settings.similarity_regained - settings.similarity_near) * gap
        return pair.similarity >= wanted


def assign(cost: np.ndarray, forbidden: float) -> list[tuple[int, int]]:
    """Find the one-to-one assignment of rows to columns with the least total cost.

    The Hungarian method with row and column potentials, one shortest augmenting path for each row
    (Kuhn 1955; Jonker and Volgenant 1987). Some tens of faces at most: SciPy would be a dependency for this alone.

    Args:
        cost: R x C, finite. As many rows or columns are assigned as the shorter side has.
        forbidden: Pairs at this cost or above are left out of the result. Choose it far above the sum of all others.

    Returns:
        Row and column of each pair, by row.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T, forbidden))
    # Index 0 stands for "none yet": rows and columns count from 1 below.
    of_row, of_column = np.zeros(rows + 1), np.zeros(columns + 1)  # potentials
    row_of = np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        slack, came_from = np.full(columns + 1, np.inf), np.zeros(columns + 1, int)
        visited = np.zeros(columns + 1, bool)
        while True:  # grow the path by the column with the least slack until one is free
            visited[column] = True
            present = row_of[column]
            reduced = np.concatenate([[np.inf], cost[present - 1] - of_row[present] - of_column[1:]])
            better = ~visited & (reduced < slack)
            slack[better], came_from[better] = reduced[better], column
            following = int(np.argmin(np.where(visited, np.inf, slack)))
            step = slack[following]
            of_row[row_of[visited]] += step
            of_column[visited] -= step
            slack[~visited] -= step
            column = following
            if row_of[column] == 0:
                break
        while column:  # switch the pairs along the path
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    pairs = [(int(row_of[column]) - 1, column - 1) for column in range(1, columns + 1) if row_of[column]]
    return sorted(pair for pair in pairs if cost[pair] < forbidden)


def intersection_over_union(a: Box, b: Box) -> float:
    """Overlap of two boxes, in [0, 1]."""
    shared = shared_area(a, b)
    return shared / max(a[2] * a[3] + b[2] * b[3] - shared, 1e-9)


def _centre(box: Box) -> np.ndarray:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def _size(box: Box) -> float:
    return math.sqrt(max(box[2], 1.0) * max(box[3], 1.0))


def _gain(elapsed: float, time_constant: float) -> float:
    """Gain of an exponential filter after `elapsed` seconds."""
    return 1 - math.exp(-elapsed / time_constant)

"""Following faces from image to image of one camera.

In: the detections of one image, their chips, and the image's stamp. Out: a track for every detection.

A detection continues a track when it lies where the track would be by now, has about its size, and looks like it.
Looks are compared on the aligned chip (orientations of its edges), so that two people who pass
each other, or one who takes the other's place, do not inherit an id. A number is given once and never again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ast_net_ros.vision.detection import Detection

# On the Face Research Lab London Set (51 people) one person's neutral and smiling chips have a likeness of 0.72 or
# more; two people's have a median of 0.65. Between neighbouring video frames one face stays above 0.79.
LIKENESS_CONTINUED = 0.62  # wanted where the face was seen in the image before and overlaps its place there
LIKENESS_REGAINED = 0.72  # wanted after a miss or a leap
_OVERLAP_CONTINUED = 0.5  # intersection over union
_LOOKS_SECONDS = 0.3  # time constant with which a track's looks follow the face
_VELOCITY_SECONDS = 0.2  # time constant of a track's velocity
_REACH, _REACH_PER_SECOND, _LARGEST_REACH = 0.5, 2.0, 1.5  # how far a face may be off, in face sizes
_LARGEST_SIZE_RATIO = 1.8


@dataclass
class Track:
    """One face followed through the images of a camera.

    number: unique in the tracker's life. detection: where it was last seen. last_seen: stamp, seconds.
    """

    number: int
    detection: Detection
    last_seen: float
    looks: np.ndarray
    velocity: np.ndarray  # of the box's centre, pixels per second
    missed: bool = False  # whether the newest image did not show it

    def centre_at(self, stamp: float) -> np.ndarray:
        """Where the box's centre should be at `stamp`; trusted for a third of a second at most."""
        return _centre(self.detection.box) + self.velocity * min(stamp - self.last_seen, 1 / 3)


class FaceTracker:
    """Keeps the tracks of one camera. timeout: seconds without a sight until a track has ended."""

    def __init__(self, timeout: float = 1.0):
        self.timeout = timeout
        self.tracks: list[Track] = []
        self._given = 0

    def update(self, detections: Sequence[Detection], chips: Sequence[np.ndarray], stamp: float) -> list[Track]:
        """Match one image's detections (with one chip each) to the tracks; the track of each, in their order.

        Stamps must not go backward (ValueError): the caller resets first.
        """
        if any(stamp < track.last_seen for track in self.tracks):
            raise ValueError(f"stamp {stamp} lies before the last image's; reset the tracker first")
        self.tracks = [track for track in self.tracks if stamp - track.last_seen <= self.timeout]
        looks = [appearance(chip) for chip in chips]
        assigned = self._assign(detections, looks, stamp)
        followed = []
        for index, detection in enumerate(detections):
            track = assigned.get(index)
            if track is None:
                track = self._begin(detection, looks[index], stamp)
            else:
                _follow(track, detection, looks[index], stamp)
            followed.append(track)
        for track in self.tracks:
            track.missed = track.last_seen < stamp
        return followed

    def reset(self) -> None:
        """Forget every track. Numbers go on."""
        self.tracks = []

    def _begin(self, detection: Detection, looks: np.ndarray, stamp: float) -> Track:
        self._given += 1
        track = Track(self._given, detection, stamp, looks, np.zeros(2))
        self.tracks.append(track)
        return track

    def _assign(self, detections: Sequence[Detection], looks: list[np.ndarray], stamp: float) -> dict[int, Track]:
        """Best pairs first, every track and every detection once."""
        pairs = []
        for index, detection in enumerate(detections):
            for track in self.tracks:
                score = _match_score(track, detection, looks[index], stamp)
                if score is not None:
                    pairs.append((score, index, track))
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2].number))
        assigned: dict[int, Track] = {}
        taken: set[int] = set()
        for _, index, track in pairs:
            if index not in assigned and track.number not in taken:
                assigned[index] = track
                taken.add(track.number)
        return assigned


def appearance(chip: np.ndarray) -> np.ndarray:
    """What a face looks like, as a unit vector: edge orientations in a 6 x 6 grid of the chip (S x S uint8).

    A histogram of oriented gradients (Dalal and Triggs 2005) with the mean over the grid taken out of each
    orientation. The dot product of two is their likeness in [-1, 1].
    """
    grey = chip.astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0).ravel(), cv2.Sobel(grey, cv2.CV_32F, 0, 1).ravel()
    strength = np.sqrt(dx * dx + dy * dy)
    angle = np.arctan2(dy, dx) * np.float32(8 / np.pi)  # orientations, eight in half a turn; a full turn is the same
    # Each pixel votes for the two orientations beside its own.
    lower = np.floor(angle)
    for_upper = (angle - lower) * strength
    orientation = lower.astype(np.int32)
    votes = np.zeros(8 * strength.size, np.float32)
    first = _first_votes(strength.size)
    votes[first + (orientation & 7)] = strength - for_upper
    votes[first + (orientation + 1 & 7)] = for_upper
    # As cv2.resize does by area, which takes no eight channels at every size.
    height, width = chip.shape
    rows = (_averages(height) @ votes.reshape(height, -1)).reshape(6, width, 8)
    cells = _averages(width) @ rows
    cells = np.sqrt(cells / (np.linalg.norm(cells, axis=2, keepdims=True) + 20))
    cells = (cells - cells.mean(axis=(0, 1))).ravel()
    return cells / max(math.sqrt(cells @ cells), 1e-6)


@lru_cache(maxsize=4)
def _first_votes(pixels: int) -> np.ndarray:
    """Where each pixel's eight votes begin."""
    return np.arange(0, 8 * pixels, 8, dtype=np.int32)


@lru_cache(maxsize=4)
def _averages(side: int) -> np.ndarray:
    """6 x side: each row averages its sixth of the pixels."""
    return cv2.resize(np.eye(side, dtype=np.float32), (side, 6), interpolation=cv2.INTER_AREA)


def _match_score(track: Track, detection: Detection, looks: np.ndarray, stamp: float) -> float | None:
    """How well a detection continues a track (larger is better), or None where it cannot be that face."""
    size, before = _size(detection.box), _size(track.detection.box)
    if not 1 / _LARGEST_SIZE_RATIO < size / before < _LARGEST_SIZE_RATIO:
        return None
    elapsed = stamp - track.last_seen
    off = float(np.linalg.norm(_centre(detection.box) - track.centre_at(stamp))) / max(size, before)
    if off > min(_REACH + _REACH_PER_SECOND * elapsed, _LARGEST_REACH):
        return None
    likeness = float(looks @ track.looks) / float(np.linalg.norm(track.looks))
    continued = not track.missed and intersection_over_union(detection.box, track.detection.box) > _OVERLAP_CONTINUED
    if likeness < (LIKENESS_CONTINUED if continued else LIKENESS_REGAINED):
        return None
    return likeness - off


def _follow(track: Track, detection: Detection, looks: np.ndarray, stamp: float) -> None:
    elapsed = stamp - track.last_seen
    if elapsed > 0:
        moved = (_centre(detection.box) - _centre(track.detection.box)) / elapsed
        track.velocity += (moved - track.velocity) * (1 - np.exp(-elapsed / _VELOCITY_SECONDS))
        track.looks = track.looks + (looks - track.looks) * float(1 - np.exp(-elapsed / _LOOKS_SECONDS))
    track.detection, track.last_seen = detection, stamp


def intersection_over_union(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Overlap of two boxes (x, y, width, height), in [0, 1]."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / max(a[2] * a[3] + b[2] * b[3] - shared, 1e-9)


def _centre(box: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def _size(box: tuple[float, float, float, float]) -> float:
    return max(float(np.sqrt(max(box[2], 1.0) * max(box[3], 1.0))), 1.0)

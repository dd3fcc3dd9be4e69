"""The ratings that one rater gives to one recording: kept in memory, saved whenever some arrive, resumed later.

A later rating of a moment replaces an earlier one. Two processes cannot rate as the same person at once.
"""

from __future__ import annotations

import fcntl
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from ast_net_ros.rating import RatingError
from ast_net_ros.rating.playback import Playback
from ast_net_ros.ratings import (
    RATING_RATE,
    RatingInfo,
    check_rated_recording,
    checked_name,
    rating_rows,
    ratings_path,
    read_ratings,
    write_ratings,
)

DIMENSIONS = ("valence", "arousal")
DEVICES = ("mouse", "touch", "pen", "keyboard", "gamepad")
LONGEST_BATCH = 60 * RATING_RATE
_GRID_TOLERANCE = 1e-3  # s; the CSV has milliseconds


@dataclass
class _FaceRatings:
    """The ratings of one face, by moment: number k is at k / RATING_RATE seconds."""

    path: Path
    info: RatingInfo
    values: np.ndarray  # N x 2, NaN for none
    rows: list[str] = field(default_factory=list)  # of the CSV, to the last rating
    saved: bool = True

    def update_rows(self, first: int, end: int) -> None:
        """Format the moments from `first` to `end` again, and those between the last rating and them."""
        first = min(first, len(self.rows))
        moments = np.arange(first, max(end, first))
        self.rows[first:end] = rating_rows(moments / RATING_RATE, self.values[first:end])


class RatingSession:
    """The ratings of one rater, of all faces of a recording. Use as a context manager, which releases the name.

    Args:
        folder: Where the files of ratings are; created if it is missing.
        playback: The recording.
        rater: Name of the rater.
        software: Name and version of what writes the files.

    Raises:
        DataError: The name cannot be part of a file name, or files of that name are of another recording or damaged.
        RatingError: Another process rates this recording by this name, or the files are not from `ast_net rate`.
    """

    def __init__(self, folder: Path, playback: Playback, rater: str, software: str = ""):
        self.playback, self.rater = playback, checked_name(rater, "rater")
        self.moments = math.floor(playback.duration * RATING_RATE + 1e-6) + 1
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder / f".{playback.name}.{rater}.lock", rater)
        self._faces: dict[str, _FaceRatings] = {}
        try:
            for face in playback.faces:
                info = RatingInfo(
                    recording=playback.name,
                    recording_sha256=playback.sha256,
                    rater=rater,
                    face=face.face,
                    duration_seconds=round(playback.duration, 6),
                    first_stamp_ns=playback.first_stamp_ns,
                    topic=playback.topic,
                    face_box=tuple(face.boxes[0]) if face.boxes else None,
                    protocol="",
                    software=software,
                )
                self._faces[face.face] = self._resumed(ratings_path(folder, playback.name, rater, face.face), info)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> RatingSession:
        return self

    def __exit__(self, *_: object) -> None:
        """Save what could not be saved before, and let another process rate by this name."""
        try:
            self.save()
        finally:
            self._lock.close()

    def values(self, face: str) -> np.ndarray:
        """Return N x 2 ratings of a face (valence, arousal), NaN for none; number k is at k / RATING_RATE seconds."""
        return self._faces[face].values

    def path(self, face: str) -> Path:
        """Return the CSV of a face, which exists once it has a rating."""
        return self._faces[face].path

    def add(self, face: str, first: int, given: dict[str, list[float]], device: str) -> None:
        """Store the ratings of successive moments and save all ratings of the face.

        Args:
            face: Id of the face.
            first: Number of the first moment.
            given: One or both of DIMENSIONS, with a value in [-1, 1] for each moment.
            device: One of DEVICES.

        Raises:
            RatingError: They do not fit the recording; none is stored.
            OSError: They cannot be saved. They are kept, and saved with the next or at the end.
        """
        values = self._checked(face, first, given, device)
        rated = self._faces[face]
        end = first + values.shape[0]
        part = rated.values[first:end]
        part[:] = np.where(np.isnan(values), part, values)
        rated.update_rows(first, end)
        protocol = "both" if len(given) == 2 else next(iter(given))
        rated.info = replace(
            rated.info, protocol=_joined(rated.info.protocol, protocol), device=_joined(rated.info.device, device)
        )
        rated.saved = False
        self.save()

    def save(self) -> None:
        """Write the files of all faces that have unsaved ratings. OSError: they cannot be written."""
        for rated in self._faces.values():
            if not rated.saved:
                write_ratings(rated.path, rated.info, rated.rows)
                rated.saved = True

    def _checked(self, face: str, first: int, given: dict[str, list[float]], device: str) -> np.ndarray:
        """Return M x 2 values, NaN for what is not given."""
        if face not in self._faces:
            raise RatingError(f"face '{face[:40]}': not one of {', '.join(self._faces)}")
        if not given or not set(given) <= set(DIMENSIONS) or device not in DEVICES:
            raise RatingError(f"ratings of {sorted(given)} by '{device[:40]}': expected {DIMENSIONS} by {DEVICES}")
        count = len(next(iter(given.values())))
        values = np.full((count, 2), np.nan)
        for dimension, column in given.items():
            if len(column) != count or not all(type(value) in (int, float) and -1 <= value <= 1 for value in column):
                raise RatingError(f"ratings of {dimension}: expected {count} numbers in [-1, 1]")
            values[:, DIMENSIONS.index(dimension)] = column
        if type(first) is not int or not (0 < count <= LONGEST_BATCH and 0 <= first <= self.moments - count):
            raise RatingError(f"{count} ratings from moment {first}: the recording has {self.moments} moments")
        return values

    def _resumed(self, path: Path, info: RatingInfo) -> _FaceRatings:
        """Return the earlier ratings of a face, or none."""
        rated = _FaceRatings(path, info, np.full((self.moments, 2), np.nan))
        if not path.exists():
            return rated
        earlier = read_ratings(path)
        check_rated_recording(earlier.info, info.recording_sha256, Path(self.playback.name))
        number = np.rint(earlier.times * RATING_RATE).astype(int)
        if len(number) and (np.abs(earlier.times - number / RATING_RATE) > _GRID_TOLERANCE).any():
            raise RatingError(
                f"ratings {path}: their times are not multiples of {1 / RATING_RATE:g} s, so they are not from this "
                "program; choose another rater's name or another folder"
            )
        inside = (number >= 0) & (number < self.moments)
        rated.values[number[inside]] = earlier.values[inside]
        rated.info = replace(info, protocol=earlier.info.protocol, device=earlier.info.device)
        last = np.flatnonzero(np.isfinite(rated.values).any(axis=1))
        rated.update_rows(0, int(last[-1]) + 1 if len(last) else 0)
        return rated


def _joined(known: str, added: str) -> str:
    return "+".join(sorted({*filter(None, known.split("+")), added}))


def _lock(path: Path, rater: str) -> IO[str]:
    """Lock a file until it is closed or the process ends, however it ends."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise RatingError(
            f"rater '{rater}': is already rating this recording in another process; end it or choose another name"
        ) from error
    return file

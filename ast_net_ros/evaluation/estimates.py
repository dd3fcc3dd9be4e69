"""Write and read estimates.csv: one row for every face of every frame.

Everything that writes or reads such a file does so here. Frames without a face have no row.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ast_net_ros.face_affect import FaceAffect, HeadPose
from ast_net_ros.model.config import EMOTIONS

# Columns that are attributes of FaceAffect. Files of former versions lack the last ones, which keep their defaults.
_FIRST = ("valence", "arousal", "confidence", "state_age")
_LATER = ("valence_sigma", "arousal_sigma", "detection_score", "quality", "baseline")
_ANGLES = ("head_roll", "head_pitch", "head_yaw")
_ANGLE_SIGMAS = ("head_roll_sigma", "head_pitch_sigma", "head_yaw_sigma")
ESTIMATE_COLUMNS = (
    *("frame", "time", "face_id", "box_x", "box_y", "box_width", "box_height"),
    *(*_FIRST, *EMOTIONS, *_LATER, *_ANGLES, *_ANGLE_SIGMAS, "engagement"),
)
"""The header. frame: from 0; time: seconds since the first frame; box: pixels; the rest as in FaceAffect."""

_FORMER_COLUMNS = tuple(ESTIMATE_COLUMNS[:-count] for count in (7, 10, 12))  # without head; trust; sigma


class EstimatesError(ValueError):
    """An estimates file that cannot be read; the message names file, line and reason."""


@dataclass(frozen=True)
class EstimateRow:
    """One row of an estimates file: a face in a frame.

    Attributes:
        frame: Number of the frame, from 0.
        time: Seconds since the first frame.
        face: The face.
    """

    frame: int
    time: float
    face: FaceAffect


def format_row(frame: int, time: float, face: FaceAffect) -> list[str]:
    """Format one row, in the order of ESTIMATE_COLUMNS."""
    pose = face.head_pose
    numbers = (
        *(getattr(face, name) for name in _FIRST),
        *face.emotions,
        *(getattr(face, name) for name in _LATER),
        *((pose.roll, pose.pitch, pose.yaw, *pose.sigma) if pose else (0.0,) * 6),
        face.engagement,
    )
    box = (f"{value:.2f}" for value in face.box)
    return [str(frame), f"{time:.6f}", face.face_id, *box, *(f"{value:.6f}" for value in numbers)]


class EstimatesWriter:
    """Writes an estimates file row by row; a context manager. Memory use does not grow with the recording."""

    def __init__(self, path: Path):
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(ESTIMATE_COLUMNS)

    def __enter__(self) -> EstimatesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, frame: int, time: float, faces: Iterable[FaceAffect]) -> None:
        """Add the faces of one frame, `time` seconds after the first."""
        self._rows.writerows(format_row(frame, time, face) for face in faces)


def read_estimates(path: Path) -> list[EstimateRow]:
    """Read all rows in order. EstimatesError: the header differs, a field is missing or a value is not finite."""
    return list(iterate_estimates(path))


def iterate_estimates(path: Path) -> Iterator[EstimateRow]:
    """Yield the rows of an estimates file one by one; see `read_estimates`."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            header = tuple(next(rows, ()))
            if header not in (ESTIMATE_COLUMNS, *_FORMER_COLUMNS):
                raise EstimatesError(
                    f"estimates {path}: the header is {','.join(header)[:200]!r}; "
                    f"it must be {','.join(ESTIMATE_COLUMNS)}"
                )
            for row in rows:
                yield _parse_row(path, rows.line_num, row, header)
        except (csv.Error, UnicodeDecodeError) as error:
            raise EstimatesError(f"estimates {path}, line {rows.line_num + 1}: not a CSV file ({error})") from error


def _parse_row(path: Path, line: int, row: Sequence[str], header: Sequence[str]) -> EstimateRow:
    if len(row) != len(header):
        raise EstimatesError(
            f"estimates {path}, line {line}: {len(row)} fields instead of {len(header)}; is the file complete?"
        )
    try:
        frame = int(row[0])
        time, *numbers = (float(field) for field in (row[1], *row[3:]))
        if not all(map(math.isfinite, (time, *numbers))):
            raise ValueError("a value is not finite")
    except ValueError as error:
        raise EstimatesError(f"estimates {path}, line {line}: {error}") from error
    x, y, width, height, *others = numbers
    values = dict(zip(header[7:], others))
    emotions = tuple(values[name] for name in EMOTIONS)
    roll, pitch, yaw, *sigmas = (values.get(name, 0.0) for name in (*_ANGLES, *_ANGLE_SIGMAS))
    pose = HeadPose(roll, pitch, yaw, (sigmas[0], sigmas[1], sigmas[2])) if any(sigmas) else None
    plain: dict[str, Any] = {name: values[name] for name in (*_FIRST, *_LATER, "engagement") if name in values}
    face = FaceAffect(face_id=row[2], box=(x, y, width, height), emotions=emotions, head_pose=pose, **plain)
    return EstimateRow(frame, time, face)

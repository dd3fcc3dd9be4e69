"""The estimates file: a CSV with one row for every face of every frame.

In: estimates as the pipeline or the node gives them. Out: `estimates.csv`, and its rows read back. Everything that
writes or reads this file does so here, so that a row is the same whoever wrote it. Frames without a face have no row.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.vision.drawing import Box, DrawableFace

_BOX_COLUMNS = ("box_x", "box_y", "box_width", "box_height")
_AFFECT_COLUMNS = ("valence", "arousal", "confidence", "state_age")
ESTIMATE_COLUMNS = ("frame", "time", "face_id", *_BOX_COLUMNS, *_AFFECT_COLUMNS, *EMOTIONS)
"""The header. frame: 0-based; time: seconds from the first frame; box: pixels; state_age: seconds; then the
emotions' probabilities."""


class EstimatesError(ValueError):
    """An estimates file that cannot be read; the text names file, line and reason."""


class EstimatedFace(DrawableFace, Protocol):
    """The fields of a face that are written: those that are drawn and two more. pipeline.FaceAffect has them."""

    @property
    def state_age(self) -> float: ...
    @property
    def emotions(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class FaceEstimate:
    """One row: a face in a frame, with the units and ranges of pipeline.FaceAffect."""

    frame: int
    time: float
    face_id: str
    box: Box
    valence: float
    arousal: float
    confidence: float
    state_age: float
    emotions: tuple[float, ...]


def estimate_row(frame: int, time: float, face: EstimatedFace) -> list[str]:
    """The fields of one row as text, in the order of ESTIMATE_COLUMNS."""
    return [
        str(frame),
        f"{time:.6f}",
        face.face_id,
        *(f"{value:.2f}" for value in face.box),
        *(f"{value:.6f}" for value in (face.valence, face.arousal, face.confidence, face.state_age)),
        *(f"{value:.6f}" for value in face.emotions),
    ]


class EstimatesWriter:
    """Writes an estimates file row by row, so that memory does not grow with the recording. A context manager."""

    def __init__(self, path: Path):
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(ESTIMATE_COLUMNS)

    def __enter__(self) -> EstimatesWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, frame: int, time: float, faces: Iterable[EstimatedFace]) -> None:
        """Adds the faces of one frame."""
        self._rows.writerows(estimate_row(frame, time, face) for face in faces)


def read_estimates(path: Path) -> list[FaceEstimate]:
    """All rows of an estimates file in their order.

    Raises EstimatesError for another header, a missing field or a value that is no finite number.
    """
    return list(iterate_estimates(path))


def iterate_estimates(path: Path) -> Iterator[FaceEstimate]:
    """As read_estimates, row by row, for files of which a few rows are wanted."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        try:
            header = tuple(next(rows, ()))
            if header != ESTIMATE_COLUMNS:
                raise EstimatesError(
                    f"estimates {path}: the header is {','.join(header)[:200]!r}; "
                    f"it must be {','.join(ESTIMATE_COLUMNS)}"
                )
            for row in rows:
                yield _parse_row(path, rows.line_num, row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise EstimatesError(f"estimates {path}, line {rows.line_num + 1}: not a CSV file ({error})") from error


def _parse_row(path: Path, line: int, row: Sequence[str]) -> FaceEstimate:
    if len(row) != len(ESTIMATE_COLUMNS):
        raise EstimatesError(
            f"estimates {path}, line {line}: {len(row)} fields where {len(ESTIMATE_COLUMNS)} belong; is the file whole?"
        )
    try:
        frame = int(row[0])
        time, *numbers = (float(field) for field in (row[1], *row[3:]))
        if not all(map(math.isfinite, (time, *numbers))):
            raise ValueError("a value is not finite")
    except ValueError as error:
        raise EstimatesError(f"estimates {path}, line {line}: {error}") from error
    x, y, width, height, valence, arousal, confidence, state_age, *emotions = numbers
    return FaceEstimate(
        frame, time, row[2], (x, y, width, height), valence, arousal, confidence, state_age, tuple(emotions)
    )

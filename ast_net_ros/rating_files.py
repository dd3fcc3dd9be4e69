"""Files of continuous valence and arousal labels and of labelled faces, as raters and data sets give them.

In: a CSV (time, valence, arousal), the .dat files of AVEC 2012, the JSON of an AFEW-VA clip. Out: arrays of times and
of values in [-1, 1], NaN where a label is missing. Training and evaluation read labels here, so that both mean the
same, except for the tables of a training manifest, which are stricter (training/data/datasets/manifest.py).

The ratings that `ast_net rate` writes are such a CSV with a JSON file beside it: see ratings.py.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

AVEC_LABEL_SECONDS = 0.02
"""Seconds from one value of an AVEC 2012 label file to the next."""
AFEW_VA_FRAME_RATE = 25.0
"""Frames per second of the films that AFEW-VA's clips come from."""
_LARGEST_PLAUSIBLE = 1.5  # beyond it, values are of another scale rather than a little out of range


STAMP_TOLERANCE = 1e-4
"""Seconds by which rounding may move a stamp."""


class DataError(ValueError):
    """A data file that cannot be used; the text names the file, what is wrong and the fix."""


@dataclass(frozen=True, eq=False)
class LabelRows:
    """The rows of a label file that belong to one face."""

    face_id: str  # "" where the file does not name faces
    times: np.ndarray  # M seconds as in the file, rising
    values: np.ndarray  # M x 2 (valence, arousal) in [-1, 1], NaN for none
    remarks: tuple[str, ...] = ()  # what was noticed while reading


def bounded_labels(values: np.ndarray, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Clip labels to [-1, 1], with a remark where any was clipped; infinite values become NaN.

    Raises:
        DataError: The values are clearly of another scale.
    """
    values = np.where(np.isinf(values), np.nan, values)
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest > _LARGEST_PLAUSIBLE:
        raise DataError(f"{what}: contains {largest:g}; expected valence and arousal in [-1, 1]")
    outside = int((np.abs(values) > 1).sum())
    return np.clip(values, -1, 1), (f"{what}: {outside} values outside [-1, 1] clipped",) if outside else ()


def _read_avec2012_values(path: Path) -> np.ndarray:
    """Read a .dat file of AVEC 2012: one value per line, NaN for none."""
    values = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            values.append(float(line))
        except ValueError:
            text = line.strip()[:40]
            raise DataError(f"{path}, line {number}: '{text}' is not a number; is the file complete?") from None
    if not values:
        raise DataError(f"{path}: contains no value")
    return np.array(values)


def read_avec2012_pair(valence: Path, arousal: Path, name: str) -> LabelRows:
    """Read the two .dat files of one session; where one is longer, its surplus is left out with a remark."""
    columns = [_read_avec2012_values(path) for path in (valence, arousal)]
    counts = [len(column) for column in columns]
    length = min(counts)
    values, remarks = bounded_labels(np.stack([column[:length] for column in columns], axis=1), name)
    if length < max(counts):
        remarks = (f"{name}: {counts[0]} valence and {counts[1]} arousal labels; the first {length} are used", *remarks)
    return LabelRows("", np.arange(length) * AVEC_LABEL_SECONDS, values, remarks)


def read_afew_va_frames(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read an AFEW-VA clip's JSON: M rising frame numbers, M x 2 values divided by 10 but not bounded, all content."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        frames = {int(name): (one["valence"], one["arousal"]) for name, one in stored["frames"].items()}
        numbers = np.array(sorted(frames), int)
        values = np.array([frames[n] for n in numbers], np.float64).reshape(-1, 2) / 10
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a label file of AFEW-VA ({type(error).__name__}: {error})") from error
    return numbers, values, stored


def read_afew_va(path: Path) -> LabelRows:
    """Read the JSON file of an AFEW-VA clip; the time of frame k is k / 25 seconds."""
    numbers, values, _ = read_afew_va_frames(path)
    if len(numbers) == 0:
        raise DataError(f"{path}: contains no labelled frame")
    bounded, remarks = bounded_labels(values, str(path))
    return LabelRows("", numbers / AFEW_VA_FRAME_RATE, bounded, remarks)


def read_label_csv(path: Path) -> tuple[LabelRows, ...]:
    """Read a table with the columns time, valence, arousal and, where several people are labelled, face_id.

    The time column may be named timestamp, stamp or t as well; other columns are ignored; fields are separated by
    commas, semicolons or tabs. An empty or NaN value is a missing label. Rows are sorted by time; of two rows of one
    face with the same time the first counts.

    Raises:
        DataError: The header is another one, a number is expected where there is text, or values are of another scale.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
        delimiter = next((mark for mark in ("\t", ";", ",") if mark in first), ",")
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter)
        try:
            columns = _label_columns(path, next(rows, []))
            faces: dict[str, list[tuple[float, float, float]]] = {}
            for row in rows:
                if any(field.strip() for field in row):
                    face_id, numbers = _label_row(path, rows.line_num, row, columns)
                    faces.setdefault(face_id, []).append(numbers)
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: not a CSV file ({error})") from error
    if not faces:
        raise DataError(f"{path}: contains no label")
    return tuple(_ordered(face_id, np.array(numbers), path) for face_id, numbers in faces.items())


def _label_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Column of time, valence, arousal and, if there is one, face_id."""
    names = [name.strip().lower() for name in header]
    found = {name: names.index(name) for name in ("valence", "arousal", "face_id") if name in names}
    time = next((name for name in ("time", "timestamp", "stamp", "t") if name in names), None)
    if time is None or not {"valence", "arousal"} <= set(found):
        raise DataError(
            f"{path}: begins with '{','.join(header)[:60]}'; expected a header time,valence,arousal[,face_id]"
        )
    return found | {"time": names.index(time)}


def _label_row(
    path: Path, line: int, row: Sequence[str], columns: dict[str, int]
) -> tuple[str, tuple[float, float, float]]:
    if len(row) <= max(columns.values()):
        raise DataError(f"{path}, line {line}: {len(row)} fields, fewer than its header has; is the file complete?")
    time, valence, arousal = (row[columns[name]].strip() for name in ("time", "valence", "arousal"))
    try:
        numbers = float(time), float(valence or "nan"), float(arousal or "nan")
    except ValueError:
        raise DataError(f"{path}, line {line}: '{','.join(row)[:60]}' has text where a number is expected") from None
    if not math.isfinite(numbers[0]):
        raise DataError(f"{path}, line {line}: the time is '{time}'; expected seconds")
    return (row[columns["face_id"]].strip() if "face_id" in columns else ""), numbers


def _ordered(face_id: str, table: np.ndarray, path: Path) -> LabelRows:
    """M x 3 (time, valence, arousal) as LabelRows."""
    times, first = np.unique(table[:, 0], return_index=True)
    what = f"{path.name}, face '{face_id}'" if face_id else path.name
    remarks: tuple[str, ...] = ()
    if (np.diff(table[:, 0]) < 0).any():
        remarks += (f"{what}: its times are not increasing; sorted",)
    if len(times) < len(table):
        remarks += (f"{what}: {len(table) - len(times)} rows repeat a time; the first of each counts",)
    values, clipped = bounded_labels(table[first, 1:], what)
    return LabelRows(face_id, times, values, remarks + clipped)


def read_faces(path: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named arrays of an .npz archive of faces, one of which is `images`, N x height x width uint8.

    Raises:
        DataError: It is no such archive, or a required array is missing.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*required, *optional) if name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path}: not a readable .npz archive ({error})") from error
    missing = [name for name in required if name not in arrays]
    if missing:
        raise DataError(f"{path}: no array {', '.join(missing)}; it must have {', '.join(required)}")
    images = arrays["images"]
    if images.ndim != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise DataError(f"{path}: 'images' is {images.dtype} {images.shape}; expected uint8 N x height x width")
    return arrays


def interpolate(moments: np.ndarray, times: np.ndarray, values: np.ndarray, max_gap: float = math.inf) -> np.ndarray:
    """Interpolate M x D labels at rising `times` to N moments, all in seconds.

    Linear between consecutive labels at most `max_gap` apart; a moment within STAMP_TOLERANCE of a label takes that
    label. There is no extrapolation, and no interpolation across a label of which a dimension is missing.

    Returns:
        N x D, NaN where there is none.
    """
    found = np.full((len(moments), values.shape[1]), np.nan)
    after = np.searchsorted(times, moments - STAMP_TOLERANCE, side="left")
    before = np.searchsorted(times, moments + STAMP_TOLERANCE, side="right") - 1
    exact = before >= after
    found[exact] = values[after[exact]]
    between = np.flatnonzero(~exact & (before >= 0) & (after < len(times)))
    left, right = before[between], np.minimum(after[between], len(times) - 1)
    width = times[right] - times[left]
    between, left, right, width = (part[width <= max_gap + STAMP_TOLERANCE] for part in (between, left, right, width))
    share = ((moments[between] - times[left]) / width)[:, None]
    found[between] = values[left] + share * (values[right] - values[left])
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)

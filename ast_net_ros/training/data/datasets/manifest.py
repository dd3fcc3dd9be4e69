"""Your own recordings, listed in a CSV file.

In: a CSV file with a header and one recording per row; paths are relative to it:

    frames,labels,split,person[,name][,rate]
    session1.mp4,session1.csv,train,anna
    frames/session2,session2.csv,valid,ben,second,25

frames: a video, or a folder of images, which needs `rate` (per second; the first image is at 0 s). labels: a CSV file
with the columns time (seconds from the first frame), valence, arousal in [-1, 1]; an empty value or `nan` is no label;
those that `ast_net rate` wrote must be of this video.
split: train, valid or test. Out: a RecordingSet.
"""

from __future__ import annotations

import csv
import os
from functools import partial
from pathlib import Path

import numpy as np

from ast_net_ros.rating_files import DataError, bounded_labels
from ast_net_ros.ratings import check_rated_recording, file_sha256, is_ratings, read_rating_info
from ast_net_ros.training.data.recordings import Recording, RecordingSet, image_frames, images_in, video_frames

_COLUMNS = {"frames", "labels", "split", "person"}
_SPLIT_NAMES = {"dev": "valid", "devel": "valid", "val": "valid", "validation": "valid", "tests": "test"}


def read_manifest(path: Path) -> RecordingSet:
    """Read the recordings listed in `path`; those that cannot be used are left out with line and reason.

    Raises:
        DataError: The file is not such a list, or a name occurs twice.
    """
    opened = RecordingSet.read(partial(_recording, path, line, row) for line, row in _read_table(path, _COLUMNS))
    names = [recording.name for recording in opened.recordings]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise DataError(f"{path}: two recordings are named '{double}'; give them different `name`s")
    return opened


def _recording(manifest: Path, line: int, row: dict[str, str]) -> Recording:
    try:
        return _parse(manifest, row)
    except DataError as error:
        raise DataError(f"{manifest}, line {line}: {error}") from error


def _parse(manifest: Path, row: dict[str, str]) -> Recording:
    frames, labels = (manifest.parent / row[column] for column in ("frames", "labels"))
    if not os.path.exists(frames):  # noqa: PTH110 -- Path.exists raises where a name is too long for a file
        raise DataError(f"frames '{row['frames']}': no such file or folder beside {manifest.name}")
    name = row.get("name") or Path(row["frames"]).stem
    stamps, values, remarks = read_labels(labels)
    if frames.is_file() and is_ratings(labels):
        check_rated_recording(read_rating_info(labels.with_suffix(".json")), file_sha256(frames), frames)
    if frames.is_dir():
        images = images_in(frames)
        if not images:
            raise DataError(f"frames '{row['frames']}': the folder contains no image")
        rate = _rate(row)
        opened, source = image_frames(images, [i / rate for i in range(len(images))])
    else:
        opened, source = video_frames(frames)
    split = row["split"].lower()
    split, person = _SPLIT_NAMES.get(split, split), row["person"] or name
    return Recording(name, split, person, opened, source, stamps, values, remarks=remarks)


def _rate(row: dict[str, str]) -> float:
    text = row.get("rate", "")
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 100_000:  # beyond them stamps are meaningless
        raise DataError(f"frames '{row['frames']}' is a folder, and its rate is '{text}'; give images per second")
    return rate


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read times (M seconds), labels (M x 2, NaN for none) and remarks from a CSV file with time, valence, arousal.

    Raises:
        DataError: The file is missing or not such a table, or its values are of another scale.
    """
    if not os.path.isfile(path):  # noqa: PTH113 -- as above
        raise DataError(f"labels '{path}': no such file")
    rows = _read_table(path, {"time", "valence", "arousal"})
    if not rows:
        raise DataError(f"labels '{path}': contains no label")
    try:
        table = np.array([[float(row[c] or "nan") for c in ("time", "valence", "arousal")] for _, row in rows])
    except ValueError as error:
        raise DataError(f"labels '{path}': {error}") from error
    if not np.isfinite(table[:, 0]).all():
        line = rows[int((~np.isfinite(table[:, 0])).argmax())][0]
        raise DataError(f"labels '{path}', line {line}: a row has no time")
    values, remarks = bounded_labels(table[:, 1:], str(path))
    return table[:, 0], values, remarks


def _read_table(path: Path, required: set[str]) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: value}) of each row; a missing value is ''."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            missing = required - set(reader.fieldnames)
            if missing:
                columns = sorted(set(reader.fieldnames))
                raise DataError(f"{path}: lacks the columns {', '.join(sorted(missing))}; it has {columns}")
            return [(reader.line_num, {k: v.strip() for k, v in row.items() if k is not None}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV file ({error})") from error

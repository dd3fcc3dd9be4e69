"""Write and read the results of one recording, offline or live: a folder that appears complete or not at all.

estimates.csv   every face of every frame (estimates.py)
frames.csv      one row per frame: the face that the labels describe, and its labels; empty for missing values
recording.json  source, settings and problems
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.atomic_files import PARTIAL_SUFFIX, atomic_dir
from ast_net_ros.evaluation.estimates import EstimatesWriter
from ast_net_ros.face_affect import FaceAffect, primary_face

ESTIMATES, FRAMES, ABOUT = "estimates.csv", "frames.csv", "recording.json"
NOT_PROCESSED = -1
"""Value of `faces` for a frame that the node did not process (live runs only); 0 is a processed frame without faces."""

_AFFECT = ("valence", "arousal", "confidence", "state_age")
FRAME_COLUMNS = ("frame", "stamp_ns", "faces", "face_id", *_AFFECT, "truth_valence", "truth_arousal")
"""The header of frames.csv. `faces` is empty for NOT_PROCESSED. Six decimals, as in estimates.csv."""


class RecordingResultError(ValueError):
    """Results of a recording that cannot be read; the message names file, line and reason."""


@dataclass(frozen=True, eq=False)
class RecordingResult:
    """Results of one recording of N frames, in recorded order.

    Attributes:
        name: Unique within a run and mode.
        path: Path of the bag or video.
        topic: Image topic; empty for a video.
        mode: "offline" or "live".
        stamps_ns: N int64.
        face_ids: N face ids, empty where there is no face.
        predicted: N x 2 (valence, arousal), NaN where there is no estimate.
        truth: N x 2 labels, NaN where there is none.
        confidence: N, in [0, 1], NaN where there is no estimate.
        state_age: N seconds, NaN where there is no estimate.
        faces: N numbers of faces; NOT_PROCESSED if a live node did not process the frame.
        about: The content of recording.json.
    """

    name: str
    path: str
    topic: str
    mode: str
    stamps_ns: np.ndarray
    face_ids: list[str]
    predicted: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray
    state_age: np.ndarray
    faces: np.ndarray
    about: dict


class _Frames:
    """Frames of a recording, collected one by one."""

    def __init__(self) -> None:
        self.stamps, self.counts, self.numbers = array("q"), array("q"), array("d")
        self.face_ids: list[str] = []

    def append(self, stamp_ns: int, count: int, face_id: str, numbers: Sequence[float]) -> None:
        """Add a frame; `numbers` are those of FRAME_COLUMNS after the face."""
        self.stamps.append(stamp_ns)
        self.counts.append(count)
        self.face_ids.append(face_id)
        self.numbers.extend(numbers)

    def result(self, about: dict) -> RecordingResult:
        table = np.array(self.numbers, np.float64).reshape(-1, len(_AFFECT) + 2)
        return RecordingResult(
            about["name"], about["path"], about["topic"], about["mode"], np.array(self.stamps, np.int64),
            self.face_ids, table[:, :2], table[:, 4:], table[:, 2], table[:, 3], np.array(self.counts, np.int64), about,
        )  # fmt: skip


class RecordingWriter:
    """Writes the results of a recording frame by frame; the folder appears when the block succeeds.

        with RecordingWriter(folder, name, path, topic, "offline") as writer:
            for each frame: writer.add(stamp_ns, faces)
            writer.about.update(settings=..., key=..., problems=...)

    frames.csv gets the largest face of each frame; labels may choose another (labelling.py).

    Attributes:
        about: Content of recording.json; the writer sets name, path, topic, mode, frames and stamps.
    """

    def __init__(self, folder: Path, name: str, path: str, topic: str, mode: str):
        self.about: dict = {
            "name": name,
            "path": path,
            "topic": topic,
            "mode": mode,
            "partial": False,
            "problems": [],
            "processing_seconds": 0.0,
            "settings": {},
            "key": "",
        }
        self._folder = folder
        self._frames = _Frames()

    def __enter__(self) -> RecordingWriter:
        with ExitStack() as stack:
            folder = stack.enter_context(atomic_dir(self._folder))
            stack.push(lambda kind, *_: self._write(folder) if kind is None else None)
            self._estimates = stack.enter_context(EstimatesWriter(folder / ESTIMATES))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _write(self, folder: Path) -> None:
        stamps = self._frames.stamps
        first, last = (stamps[0], stamps[-1]) if stamps else (None, None)
        self.about |= {"frames": len(stamps), "first_stamp_ns": first, "last_stamp_ns": last}
        write_recording(folder, self._frames.result(self.about))

    def add(self, stamp_ns: int, faces: Sequence[FaceAffect] | None) -> None:
        """Add the next frame and its faces; None for a frame that a live node did not process."""
        stamps = self._frames.stamps
        if faces:
            self._estimates.write(len(stamps), seconds_since(stamp_ns, (stamps or [stamp_ns])[0]), faces)
        chosen = primary_face(faces or ())
        affect = [getattr(chosen, field) for field in _AFFECT] if chosen else [math.nan] * len(_AFFECT)
        count = NOT_PROCESSED if faces is None else len(faces)
        self._frames.append(stamp_ns, count, chosen.face_id if chosen else "", [*affect, math.nan, math.nan])


def seconds_since(stamp_ns: int, first_ns: int) -> float:
    """Return the seconds since the first frame, as used by the pipeline and in estimates.csv."""
    return (stamp_ns - first_ns) / 1e9


def write_recording(folder: Path, result: RecordingResult) -> None:
    """Write frames.csv and recording.json into a temporary folder that holds estimates.csv already."""
    with (folder / FRAMES).open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(FRAME_COLUMNS)
        rows.writerows(_frame_rows(result))
    text = json.dumps(result.about, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def replace_recording(folder: Path, result: RecordingResult) -> None:
    """Replace frames.csv and recording.json of a results folder; the old ones stay until the new ones are complete."""
    with atomic_dir(folder) as temporary:
        shutil.copyfile(folder / ESTIMATES, temporary / ESTIMATES)
        write_recording(temporary, result)


def read_recording(folder: Path) -> RecordingResult:
    """Read the results of a recording. RecordingResultError: the folder is unfinished, damaged or something else."""
    if folder.name.endswith(PARTIAL_SUFFIX):
        raise RecordingResultError(f"results {folder}: unfinished; run `ast_net evaluate` again to complete them")
    about = read_about(folder)
    path = folder / FRAMES
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != FRAME_COLUMNS:
                raise RecordingResultError(f"results {path}: the header must be {','.join(FRAME_COLUMNS)}")
            return _read_frames(path, rows, about)
    except OSError as error:
        raise RecordingResultError(f"results {path}: cannot be read ({error.strerror})") from error


def read_about(folder: Path) -> dict:
    """Read recording.json of a results folder. RecordingResultError: it is missing or damaged."""
    path = folder / ABOUT
    about: dict = read_json(path, RecordingResultError)
    missing = {"name", "path", "topic", "mode", "frames", "key"} - set(about if isinstance(about, dict) else ())
    if missing:
        raise RecordingResultError(f"results {path}: not a recording.json (no {', '.join(sorted(missing))})")
    return about


def read_json(path: Path, refusal: type[ValueError]) -> Any:
    """Read a JSON file of results; raise `refusal` if that fails."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal(f"results {path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"results {path}: not JSON ({error}); is the file complete?") from error


def _frame_rows(result: RecordingResult) -> Iterator[list[str]]:
    numbers = np.column_stack([result.predicted, result.confidence, result.state_age, result.truth]).tolist()
    frames = zip(result.stamps_ns.tolist(), result.faces.tolist(), result.face_ids, numbers)
    for index, (stamp, faces, face_id, values) in enumerate(frames):
        count = "" if faces == NOT_PROCESSED else str(faces)
        yield [str(index), str(stamp), count, face_id, *("" if v != v else f"{v:.6f}" for v in values)]


def _read_frames(path: Path, rows: Iterator[list[str]], about: dict) -> RecordingResult:
    frames = _Frames()
    for line, row in enumerate(rows, 2):
        try:
            if len(row) != len(FRAME_COLUMNS):
                raise ValueError(f"{len(row)} fields instead of {len(FRAME_COLUMNS)}")
            _, stamp, count, face_id, *values = row
            numbers = [float(value) if value else math.nan for value in values]
            frames.append(int(stamp), int(count) if count else NOT_PROCESSED, face_id, numbers)
        except (ValueError, OverflowError) as error:
            raise RecordingResultError(f"results {path}, line {line}: {error}; is the file complete?") from error
    found = len(frames.stamps)
    if found != about["frames"]:
        raise RecordingResultError(f"results {path}: {found} frames, but recording.json states {about['frames']}")
    return frames.result(about)

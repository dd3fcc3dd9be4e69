"""The ratings of one rater of one face of one recording, as `ast_net rate` writes them.

Two files of one name in a folder: RECORDING.RATER.FACE.csv with exactly the columns time, valence, arousal, which any
command reads as labels; and RECORDING.RATER.FACE.json with what was rated, by whom and how (:class:`RatingInfo`).
Times are seconds from the recording's first image. A moment without a rating has a row with an empty value, so that
nothing is interpolated across it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.rating_files import DataError, read_label_csv

RATING_RATE = 25
"""Ratings per second of media time."""
FORMAT, VERSION = "ast_net ratings", 1
HEADER = "time,valence,arousal"


@dataclass(frozen=True)
class RatingInfo:
    """What was rated, by whom and how: the content of the JSON file."""

    recording: str  # name, as bags.names.recording_name derives it
    recording_sha256: str  # of its images: of a video's file, or of the messages of a bag's image topic
    rater: str
    face: str  # id, as `ast_net evaluate` gives it
    duration_seconds: float  # from the first image to the last
    first_stamp_ns: int = 0  # stamp of the first image, where the times begin; 0 for a video
    topic: str = ""  # image topic of a bag
    face_box: tuple[float, ...] | None = None  # left, top, width, height as shares of the image, where first seen
    protocol: str = "both"  # both at once; valence or arousal: one at a time; joined by + if several were used
    device: str = ""  # mouse, touch, pen, keyboard, gamepad; joined by + if several were used
    clock: str = "media time: seconds from the first image"
    samples_per_second: float = float(RATING_RATE)
    software: str = ""  # and its version


@dataclass(frozen=True, eq=False)
class Ratings:
    """The ratings of one rater of one face."""

    info: RatingInfo
    times: np.ndarray  # M seconds from the recording's first image, rising
    values: np.ndarray  # M x 2 (valence, arousal) in [-1, 1], NaN for none
    remarks: tuple[str, ...] = ()  # what was noticed or repaired while reading


def checked_name(name: str, what: str) -> str:
    """Return a rater's or face's name; it becomes part of file and topic names.

    Raises:
        DataError: It is not a letter followed by up to 39 letters, digits and _.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise DataError(f"{what} '{name[:60]}': use a letter and up to 39 letters, digits and _ (a-z, A-Z)")
    return name


def ratings_path(folder: Path, recording: str, rater: str, face: str) -> Path:
    """Return the path of the CSV; the JSON file has the same name with the suffix .json."""
    return folder / f"{recording}.{checked_name(rater, 'rater')}.{checked_name(face, 'face')}.csv"


def rating_rows(times: np.ndarray, values: np.ndarray) -> list[str]:
    """Format M times and M x 2 values as lines of the CSV; NaN becomes an empty field."""
    return [
        ",".join([f"{time:.3f}", *("" if math.isnan(value) else f"{value:.4f}" for value in pair)])
        for time, pair in zip(times.tolist(), values.tolist())
    ]


def write_ratings(path: Path, info: RatingInfo, rows: Iterable[str]) -> None:
    """Write both files, each complete or not at all; `rows` are those of `rating_rows`."""
    atomic_write(path.with_suffix(".json"), info_text(info) + "\n")
    atomic_write(path, "\n".join((HEADER, *rows)) + "\n")


def find_ratings(places: Iterable[Path]) -> list[Path]:
    """Return the CSVs of ratings among files and in folders, each once, sorted by name.

    In a folder, a CSV counts that has its JSON file beside it; other files are ignored.

    Raises:
        DataError: A place does not exist or holds none.
    """
    found: list[Path] = []
    for place in places:
        here = sorted(path for path in place.glob("*.csv") if is_ratings(path)) if place.is_dir() else [place]
        if not here or not here[0].is_file():
            raise DataError(f"ratings {place}: {'no ratings in this folder' if place.is_dir() else 'no such file'}")
        found += here
    return list({path.resolve(): path for path in found}.values())


def is_ratings(path: Path) -> bool:
    """Return whether a CSV has the JSON file of `ast_net rate` beside it."""
    try:
        return f'"{FORMAT}"' in path.with_suffix(".json").read_text(encoding="utf-8", errors="replace")[:1000]
    except OSError:
        return False


def read_ratings(path: Path) -> Ratings:
    """Read a CSV of ratings and its JSON file. Times outside the recording are left out, with a remark.

    Raises:
        DataError: One of the files is missing, damaged, or of another kind.
    """
    try:
        info = read_rating_info(path.with_suffix(".json"))
        rows = read_label_csv(path)
    except OSError as error:
        raise DataError(f"ratings {path}: cannot be read ({error.strerror})") from error
    if len(rows) != 1:
        raise DataError(f"ratings {path}: of {len(rows)} faces; expected a file for each face")
    times, values, remarks = rows[0].times, rows[0].values, list(rows[0].remarks)
    tolerance = 0.5 / RATING_RATE
    inside = (times >= -tolerance) & (times <= info.duration_seconds + tolerance)
    if not inside.all():
        outside = f"{int((~inside).sum())} ratings outside the recording (0 to {info.duration_seconds:.2f} s) left out"
        remarks.append(f"{path.name}: {outside}")
    times, values = times[inside], values[inside]
    lacking = ~np.isfinite(values).all(axis=1)
    if lacking.any():
        gaps = int((np.diff(lacking.astype(int), prepend=0) == 1).sum())
        share = f"{100 * lacking.mean():.0f} % of its {len(times)} moments"
        remarks.append(f"{path.name}: {gaps} gaps without valence or arousal, {share}")
    return Ratings(info, times, values, tuple(remarks))


def read_rating_info(path: Path) -> RatingInfo:
    """Read the JSON file of ratings. DataError: it is missing, damaged, or written by a newer version."""
    try:
        return parse_info(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; ratings are a CSV and a JSON file of one name") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: does not describe ratings ({error})") from error


def info_text(info: RatingInfo) -> str:
    """Return the content of the JSON file."""
    return json.dumps({"format": FORMAT, "version": VERSION} | asdict(info), indent=2, ensure_ascii=False)


def parse_info(text: str, what: str) -> RatingInfo:
    """Return what `info_text` describes. DataError, which begins with `what`: it is something else or too new."""
    try:
        stored = json.loads(text)
        if stored["format"] != FORMAT:
            raise ValueError(f"its format is {stored['format']!r}")
        if stored["version"] <= VERSION:
            return _info(stored)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{what}: does not describe ratings ({type(error).__name__}: {error})") from error
    raise DataError(f"{what}: version {stored['version']}, newer than {VERSION}; update ast_net_ros")


def _info(stored: dict[str, Any]) -> RatingInfo:
    given = {field.name: stored[field.name] for field in fields(RatingInfo) if field.name in stored}
    for name in given.keys() & {"duration_seconds", "samples_per_second"}:
        given[name] = float(given[name])
        if not (math.isfinite(given[name]) and given[name] >= 0):
            raise ValueError(f"{name} is {given[name]}")
    texts = {"recording", "recording_sha256", "rater", "face", "topic", "protocol", "device", "clock", "software"}
    wrong = next((name for name in given.keys() & texts if not isinstance(given[name], str)), None)
    if wrong or not isinstance(given.get("first_stamp_ns", 0), int):
        raise TypeError(f"{wrong or 'first_stamp_ns'} is {given[wrong or 'first_stamp_ns']!r}")
    if given.get("face_box") is not None:
        given["face_box"] = tuple(map(float, given["face_box"]))
    return RatingInfo(**given)


def check_rated_recording(info: RatingInfo, sha256: str, recording: Path) -> None:
    """Raise DataError if ratings belong to another recording than the one whose images have this hash."""
    if info.recording_sha256 != sha256:
        raise DataError(
            f"ratings of '{info.recording}' by {info.rater}: they are of other images than {recording} has (SHA-256 "
            f"{info.recording_sha256[:12]}..., not {sha256[:12]}...); use the recording that was rated"
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits; that of a video is its `recording_sha256`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()

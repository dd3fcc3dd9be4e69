"""Open recordings (bags, videos) with their ratings, and check that they belong together.

Ratings are found and read as `ast_net evaluate` reads labels. Its features are cached, as for `train-temporal`.
"""

from __future__ import annotations

import glob
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.names import recording_name, unique_names
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.evaluation.labels.ground_truth import (
    LabelOptions,
    filled_in,
    ground_truth_of,
    label_moments,
    labels_in,
)
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.model.network import ASTNet
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.rating_files import DataError, LabelRows
from ast_net_ros.ratings import check_rated_recording, is_ratings, read_rating_info
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.training.data.features import cached_face_sequence, sequence_remarks
from ast_net_ros.training.data.recordings import Frames, Recording, source_identity, step_clips
from ast_net_ros.training.fitting.rated_faces import RatedFace
from ast_net_ros.vision.alignment import align_face

Log = Callable[[str], None]


@dataclass(frozen=True)
class ReadingOptions:
    """Which recordings, ratings and people are meant."""

    cache: Path  # folder of cached features
    labels: LabelOptions = field(default_factory=LabelOptions)
    topic: str | None = None  # image topic; None takes each bag's only one
    person: str = "recording"  # "recording", "folder" (that it lies in), or a regular expression on its name
    image_rotation: int = 0  # degrees by which images must be turned clockwise to stand upright


@dataclass(frozen=True, eq=False)
class RatedRecording:
    """A recording with its ratings, and what identifies both."""

    name: str
    sha256: str  # of its images
    ratings: str  # where they come from
    ratings_sha256: str  # of times and values
    face: RatedFace


def open_rated_recordings(
    paths: Sequence[Path], net: ASTNet, options: ReadingOptions, log: Log = lambda _: None
) -> tuple[list[RatedRecording], dict[str, str]]:
    """Open recordings one after another; what is noticed is logged.

    Returns:
        The usable ones, and for each other one the reason why it was left out, by its name.

    Raises:
        DataError: A person's name cannot be told, or two people have the same images.
    """
    found: list[RatedRecording] = []
    left_out: dict[str, str] = {}
    for path, name in zip(paths, unique_names(paths)):
        person = person_of(path, name, options.person)
        try:
            found.append(_open(path, name, person, net, options, len(paths) == 1, log))
        except (DataError, RecordingError) as error:
            left_out[name] = str(error)
            log(f"left out: {name}: {error}")
    _check_copies(found)
    return found, left_out


def person_of(path: Path, name: str, rule: str) -> str:
    """Name the person that a recording shows, by `ReadingOptions.person`.

    A regular expression gives what its first group matches in the recording's name, or all that it matches.
    """
    if rule == "recording":
        return name
    if rule == "folder":
        return path.resolve().parent.name
    try:
        match = re.search(rule, name)
    except re.error as error:
        raise DataError(
            f"--person '{rule}': neither recording nor folder nor a regular expression ({error})"
        ) from error
    if not match:
        raise DataError(f"--person '{rule}': does not match the recording '{name}'; it must match every name")
    return match[1] if match.re.groups else match[0]


def _open(
    path: Path, name: str, person: str, net: ASTNet, options: ReadingOptions, alone: bool, log: Log
) -> RatedRecording:
    sha256 = recording_sha256(path, options.topic)
    source, rows, first_ns = _ratings(path, name, sha256, options, alone)
    face_id = ""
    if is_ratings(Path(source)):
        info = read_rating_info(Path(source).with_suffix(".json"))
        check_rated_recording(info, sha256, path)
        face_id = info.face
    stamps, values = with_gaps(rows.times, rows.values, options.labels.max_gap)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    identity = (*source_identity(files), options.topic or "", str(options.image_rotation), face_id)
    chips = partial(rated_chips, path, options.topic, options.image_rotation, first_ns, face_id, net.config.chip_side)
    recording = Recording(name, "train", person, chips, identity, stamps, values, aligned=True, remarks=rows.remarks)
    sequence = cached_face_sequence(recording, net.cnn, net.config, options.cache)
    clips = step_clips(recording, sequence, net.config.step_seconds)
    if not clips:
        raise DataError("no face is visible while it is rated")
    remarks = (*recording.remarks, *rating_remarks(name, rows, options.labels.max_gap))
    for remark in (*remarks, *sequence_remarks(recording, sequence, clips)):
        log(remark)
    if not (np.nanmax(values, axis=0) - np.nanmin(values, axis=0)).any():
        raise DataError("its ratings never change: nothing can be learned from them")
    opened = partial(cached_face_sequence, recording, None, net.config, options.cache)
    digest = hashlib.sha256(rows.times.astype("<f8").tobytes() + rows.values.astype("<f8").tobytes()).hexdigest()
    return RatedRecording(name, sha256, source, digest, RatedFace(recording, sequence, opened))


def _ratings(path: Path, name: str, sha256: str, options: ReadingOptions, alone: bool) -> tuple[str, LabelRows, int]:
    """Return where the ratings come from, their rows in seconds from the first frame, and that frame's stamp in ns."""
    one_file = _file_of_one_rater(path, name, sha256, options.labels)
    labels = replace(options.labels, labels=str(one_file)) if one_file else options.labels
    truth = ground_truth_of(path, name, labels, alone or one_file is not None)
    if truth is None:
        raise DataError("no ratings beside it; name them with --labels")
    if len(truth.faces) != 1:
        names = ", ".join(rows.face_id or "(no name)" for rows in truth.faces[:8])
        raise DataError(f"{truth.source}: ratings of {len(truth.faces)} faces ({names}); give those of one face")
    (rows,) = truth.faces
    with open_recording(path, options.topic) as recording:
        first_ns = next(recording.frames()).stamp_ns
    return truth.source, replace(rows, times=label_moments(first_ns, truth, rows, labels)), first_ns


def _file_of_one_rater(path: Path, name: str, sha256: str, labels: LabelOptions) -> Path | None:
    """Find RECORDING.RATER.FACE.csv, as `ast_net rate` writes it, where a folder has no labels by the name alone.

    Without --labels it may also lie in `ratings` beside the recording, where `rate` puts it.

    Raises:
        DataError: There are several.
    """
    beside = path.absolute().parent
    folders = [filled_in(labels.labels, path, name)] if labels.labels else [beside, beside / "ratings"]
    if any(labels_in(folder, name) for folder in folders):
        return None
    stem = recording_name(path)
    found = [file for folder in folders for file in sorted(folder.glob(f"{glob.escape(stem)}.*.csv"))]
    rated = {file: read_rating_info(file.with_suffix(".json")) for file in found if is_ratings(file)}
    named = [file for file, info in rated.items() if info.recording == stem]
    files = [file for file in named if rated[file].recording_sha256 == sha256] or named
    if len(files) > 1:
        raise DataError(
            f"{len(files)} ratings of it ({', '.join(file.name for file in files[:4])}): merge them with "
            "`ast_net agree`, or choose with --labels, such as 'ratings/{name}.anna.face_1.csv'"
        )
    return files[0] if files else None


class _SeenFace(NamedTuple):
    face_id: str
    area: float  # of its box, square pixels
    chip: np.ndarray  # S x S uint8


def rated_chips(path: Path, topic: str | None, image_rotation: int, first_ns: int, face_id: str, side: int) -> Frames:
    """Yield the chip of the rated face in each frame that shows it, in seconds from the first frame.

    Where the recording never shows two faces at once, that is the only face, whatever its id: who is lost and found
    again may have another one. Otherwise it is the face `face_id`, or the largest where the ratings do not name one.
    Frames of a restarted camera, whose stamps jump back, are left out.

    Raises:
        DataError: Several faces are seen, and none has the id.
    """
    seen = _faces(path, topic, image_rotation, first_ns, side)
    alone = all(len(faces) == 1 for _, _, faces in seen)
    ids = {face.face_id for _, _, faces in seen for face in faces}
    if face_id and not alone and face_id not in ids:
        raise DataError(f"the rated face {face_id} is not visible; the recording has {', '.join(sorted(ids))}")
    for stamp, name, faces in seen:
        rated = [face for face in faces if alone or not face_id or face.face_id == face_id]
        if rated:
            yield stamp, name, max(rated, key=lambda face: face.area).chip


def _faces(
    path: Path, topic: str | None, image_rotation: int, first_ns: int, side: int
) -> list[tuple[float, str, list[_SeenFace]]]:
    """Track the faces of a recording: stamp, name and faces of each frame that shows any."""
    pipeline = AffectPipeline(settings=PipelineSettings(image_rotation=image_rotation))
    found, last = [], -math.inf
    with open_recording(path, topic) as recording:
        for frame in tqdm(recording.frames(), recording.name, recording.frame_count, unit="frame", leave=False):
            stamp = (frame.stamp_ns - first_ns) / 1e9
            if stamp <= last:
                continue
            last = stamp
            faces = [
                _SeenFace(f.face_id, f.box[2] * f.box[3], align_face(frame.image, np.array(f.landmarks), side))
                for f in pipeline.process(frame.image, stamp)
            ]
            if faces:
                found.append((stamp, f"frame {frame.index}", faces))
    return found


def with_gaps(times: np.ndarray, values: np.ndarray, max_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Put a row of NaN into each gap longer than `max_gap` seconds, so that nothing is interpolated across it."""
    wide = np.flatnonzero(np.diff(times) > max_gap)
    middle = (times[wide] + times[wide + 1]) / 2
    return np.insert(times, wide + 1, middle), np.insert(values, wide + 1, np.nan, axis=0)


def rating_remarks(name: str, rows: LabelRows, max_gap: float) -> list[str]:
    """Name gaps and constant ratings."""
    remarks = []
    wide = int((np.diff(rows.times) > max_gap).sum())
    missing = int((~np.isfinite(rows.values)).any(axis=1).sum())
    if wide:
        remarks.append(f"{name}: {wide} gaps between ratings are longer than {max_gap:g} s and are not interpolated")
    if missing:
        remarks.append(f"{name}: {missing} of {len(rows.times)} moments are without a rating")
    for index, dimension in enumerate(DIMENSIONS):
        known = rows.values[np.isfinite(rows.values[:, index]), index]
        if len(known) and np.ptp(known) == 0:
            remarks.append(f"{name}: {dimension} is rated {known[0]:g} throughout; it does not count in the comparison")
    return remarks


def _check_copies(found: Sequence[RatedRecording]) -> None:
    """Raise DataError if two people have the same images: one of them would not be held out."""
    first: dict[str, RatedRecording] = {}
    for one in found:
        other = first.setdefault(one.sha256, one)
        if other.face.person != one.face.person:
            raise DataError(
                f"recordings {other.name} and {one.name} have the same images, but show '{other.face.person}' and "
                f"'{one.face.person}'; leave one out"
            )

"""Find and read the labels of a recording, and interpolate them at the stamps of its frames.

By default labels are searched beside the recording NAME (a bag's folder or file, a video), the first kind found:

    NAME.csv                                  time,valence,arousal[,face_id]
    NAME_valence.dat and NAME_arousal.dat     AVEC 2012: one value per line, 0.02 s apart, the first at the first frame
    NAME.json                                 AFEW-VA: frame k of 25 per second

then in the bag itself: the only topic of ValenceArousal or ValenceArousalArray that is not the output of a node named
ast_net, since estimates are not ground truth.

Clocks: the times of a CSV are seconds from the first frame if all are below 1e8; otherwise they are epoch times on the
clock of the image stamps, in a unit that follows from their size (seconds below 1e11, then ms, us, ns). A label at time
t applies to t + clock offset - annotation delay.

Labels at the stamps of frames are those of `rating_files.interpolate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ast_net_ros.bags.affect_messages import affect_topics, read_affect_labels
from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.names import STORAGE_SUFFIXES
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.bags.reader import METADATA
from ast_net_ros.evaluation.labels.matching import mean_ccc
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.rating_files import (
    STAMP_TOLERANCE,
    DataError,
    LabelRows,
    interpolate,
    read_afew_va,
    read_avec2012_pair,
    read_label_csv,
)
from ast_net_ros.ratings import check_rated_recording, is_ratings, read_rating_info

DELAY_STEP = 0.1
"""Step of the search for the annotation delay, in seconds."""

_EPOCH_MIN = 1e8  # s; no recording is three years long, and no camera stamps the year 1973


class LabelsError(DataError):
    """Labels that are missing or do not fit; the message names the recording or file, the reason and the fix."""


@dataclass(frozen=True)
class LabelOptions:
    """Where labels are and how they are aligned."""

    # None (search beside the recording), "none", "topic:NAME", or a file, a folder or a template with {name}, {number}
    # (the last number in the name), {folder} (of the recording) and {dimension} (for .dat files)
    labels: str | None = None
    match: str = "largest"  # which face the labels describe; see matching.py
    clock_offset: float = 0.0  # seconds added to the labels' times
    annotation_delay: float = 0.0  # seconds by which raters lag behind; subtracted from the labels' times
    max_gap: float = 1.0  # longest gap between labels that is interpolated, in seconds
    time: str = "auto"  # origin of the times of a CSV: "relative" (the first frame), "epoch", or "auto" (by their size)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The labels of a recording."""

    source: str  # where they come from
    faces: tuple[LabelRows, ...]
    epoch: bool = False  # whether times are on the clock of the image stamps; otherwise from the first frame

    @property
    def remarks(self) -> list[str]:
        """What was repaired while reading the labels."""
        return [remark for face in self.faces for remark in face.remarks]


def ground_truth_of(recording: Path, name: str, options: LabelOptions, alone: bool = True) -> GroundTruth | None:
    """Read the labels of a recording; None if there are none and none were requested.

    `alone` means that it is the only recording of the run, so that a single label file applies to it. LabelsError: the
    requested labels are missing or ambiguous; DataError: a file is missing or damaged.
    """
    if options.labels == "none":
        return None
    if options.labels is None:
        files = labels_in(recording.absolute().parent, name)
        return _read_files(files, options.time, recording) if files else _labels_inside(recording)
    if options.labels.startswith("topic:"):
        return _read_topic(recording, options.labels.removeprefix("topic:"))
    path = filled_in(options.labels, recording, name)
    if path.is_dir() and not (path / METADATA).exists():
        files = labels_in(path, name)
        if not files:
            raise LabelsError(f"labels of {name}: {path} holds no {name}.csv, {name}_valence.dat or {name}.json")
        return _read_files(files, options.time, recording)
    if path.is_dir() or path.name.endswith(STORAGE_SUFFIXES):
        return _read_topic(path, None)
    if "{" not in options.labels and not alone:
        raise LabelsError(f"labels '{options.labels}': one file for several recordings; name a folder or use {{name}}")
    return _read_files(_with_partner(path), options.time, recording)


def labels_in(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the label files of the recording `name` in a folder; none if there are none."""
    for files in (f"{name}.csv",), tuple(f"{name}_{d}.dat" for d in DIMENSIONS), (f"{name}.json",):
        if all((folder / file).is_file() for file in files):
            return tuple(folder / file for file in files)
    return ()


def filled_in(template: str, recording: Path, name: str) -> Path:
    """Fill in a template of `LabelOptions.labels` for the recording `name`. LabelsError: it has other fields."""
    numbers = re.findall(r"\d+", name)
    known = {"name": name, "folder": str(recording.absolute().parent), "dimension": "{dimension}"}
    if numbers:
        known["number"] = numbers[-1]
    try:
        return Path(template.format_map(known)).expanduser()
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise LabelsError(
            f"labels '{template}' for {name}: cannot be filled in ({error!r}); available are {{name}}, {{folder}}, "
            "{dimension}, and {number} if the name has one"
        ) from error


def _with_partner(path: Path) -> tuple[Path, ...]:
    """Return a .dat file with that of the other dimension; any other file alone."""
    text = str(path)
    if "{dimension}" in text:
        return tuple(Path(text.replace("{dimension}", dimension)) for dimension in DIMENSIONS)
    if path.suffix.lower() != ".dat":
        return (path,)
    here = next((dimension for dimension in DIMENSIONS if dimension in path.name), None)
    if here is None:
        raise LabelsError(f"labels {path}: neither 'valence' nor 'arousal' in the name; rename it by its dimension")
    return tuple(path.with_name(path.name.replace(here, dimension)) for dimension in DIMENSIONS)


def _read_files(files: Sequence[Path], time: str, recording: Path) -> GroundTruth:
    for path in files:
        if not path.is_file():
            raise LabelsError(f"labels {path}: no such file")
    suffix = files[0].suffix.lower()
    source = " and ".join(map(str, files))
    if suffix == ".dat":
        return GroundTruth(source, (read_avec2012_pair(files[0], files[-1], files[0].name),))
    if suffix == ".json":
        return GroundTruth(source, (read_afew_va(files[0]),))
    if suffix in (".csv", ".tsv", ".txt"):
        _check_ratings(files[0], recording)
        return _on_a_clock(source, read_label_csv(files[0]), time)
    raise LabelsError(
        f"labels {files[0]}: unknown format '{suffix}'; expected .csv, .dat (AVEC 2012) or .json (AFEW-VA)"
    )


def _check_ratings(path: Path, recording: Path) -> None:
    """Raise DataError if `ast_net rate` wrote the file for another recording."""
    if is_ratings(path):
        info = read_rating_info(path.with_suffix(".json"))
        try:
            check_rated_recording(info, recording_sha256(recording, info.topic or None), recording)
        except RecordingError:
            return  # reported when its images are read


def _on_a_clock(source: str, faces: tuple[LabelRows, ...], time: str) -> GroundTruth:
    """Determine the origin of the times of a CSV and convert them to seconds."""
    largest = max(float(face.times[-1]) for face in faces)
    epoch = largest >= _EPOCH_MIN if time == "auto" else time == "epoch"
    if not epoch:
        return GroundTruth(source, faces)
    unit = next((unit for limit, unit in ((1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6)) if largest < limit), 1e-9)
    return GroundTruth(source, tuple(replace(face, times=face.times * unit) for face in faces), epoch=True)


def _labels_inside(recording: Path) -> GroundTruth | None:
    """Read the bag's only label topic that is not the output of the node."""
    try:
        of_node = ("/ast_net/faces", "/ast_net/valence_arousal")
        topics = [topic for topic in affect_topics(recording) if not topic.endswith(of_node)]
    except RecordingError:
        return None  # reported when its images are read
    if len(topics) > 1:
        raise LabelsError(f"labels in {recording}: topics {', '.join(topics)}; choose with --labels topic:NAME")
    return _read_topic(recording, topics[0]) if topics else None


def _read_topic(bag: Path, topic: str | None) -> GroundTruth:
    labels = read_affect_labels(bag, topic)
    faces: list[LabelRows] = []
    for face_id in dict.fromkeys(labels.face_ids):
        of_face = np.array([name == face_id for name in labels.face_ids])
        times, first = np.unique(labels.stamps_ns[of_face], return_index=True)
        remarks = () if faces else tuple(labels.problems)
        faces.append(LabelRows(face_id, times / 1e9, labels.values[of_face][first], remarks))
    if not faces:
        raise LabelsError(f"labels {bag}, topic {topic or 'of ValenceArousal'}: contains no label")
    return GroundTruth(f"{bag}, topic {labels.topic}", tuple(faces), epoch=True)


def truth_at(stamps_ns: np.ndarray, truth: GroundTruth, face: LabelRows, options: LabelOptions) -> np.ndarray:
    """Interpolate the labels of one person at N stamps: N x 2, NaN where there is none."""
    if len(stamps_ns) == 0:
        return np.empty((0, 2))
    moments = (stamps_ns - stamps_ns[0]) / 1e9
    return interpolate(moments, label_moments(int(stamps_ns[0]), truth, face, options), face.values, options.max_gap)


def label_moments(first_ns: int, truth: GroundTruth, face: LabelRows, options: LabelOptions) -> np.ndarray:
    """Return the M times, in seconds from the first frame, to which the labels apply."""
    from_first = face.times - first_ns / 1e9 if truth.epoch else face.times
    return from_first + options.clock_offset - options.annotation_delay


def fit_problems(
    stamps_ns: np.ndarray, truth: GroundTruth, face: LabelRows, options: LabelOptions, found: np.ndarray
) -> list[str]:
    """Describe how the labels of the chosen person, `found` (N x 2) once aligned, do not fit the recording."""
    times = label_moments(int(stamps_ns[0]), truth, face, options)
    length = float(stamps_ns.max() - stamps_ns[0]) / 1e9
    span = f"labels run from {times[0]:.2f} s to {times[-1]:.2f} s, the recording from 0 to {length:.2f} s"
    missing = int((~np.isfinite(face.values)).any(axis=1).sum())
    if times[0] > length + STAMP_TOLERANCE or times[-1] < -STAMP_TOLERANCE:
        return [f"{span}: they do not overlap; check --label-time and --clock-offset"]
    if missing == len(times):
        return [f"all {missing} labels are missing values (NaN)"]
    problems = [f"{missing} of {len(times)} labels are missing values (NaN)"] if missing else []
    if not np.isfinite(found).any():
        apart = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        return [
            *problems,
            f"no frame lies between two labels at most {options.max_gap:g} s apart (they are {apart:g} s)",
        ]
    slack = max(1.0, 0.05 * length)
    if times[0] > slack or abs(times[-1] - length) > slack:
        problems.append(f"{span}; only the overlap is used")
    wide = int((np.diff(times) > options.max_gap + STAMP_TOLERANCE).sum())
    if wide:
        problems.append(f"{wide} gaps between labels are longer than {options.max_gap:g} s and are not interpolated")
    return problems


@dataclass(frozen=True, eq=False)
class DelayTrajectory:
    """N x 2 estimates of a recording at N times, and its M x 2 labels at M times without delay, in seconds."""

    moments: np.ndarray
    predicted: np.ndarray
    label_moments: np.ndarray
    labels: np.ndarray


def estimate_delay(trajectories: Sequence[DelayTrajectory], lowest: float, highest: float, max_gap: float) -> dict:
    """Find the annotation delay with the highest CCC, mean of valence and arousal and of the recordings.

    Delays from `lowest` to `highest` are tried in steps of DELAY_STEP. Returns the delay (the smallest of equally good
    ones), its mean CCC, and whether it lies at the limit of the search. LabelsError: no recording has both estimates
    and labels.
    """
    tried = lowest + DELAY_STEP * np.arange(round((highest - lowest) / DELAY_STEP) + 1)
    scores = []
    for delay in tried:
        at_delay = []
        for trajectory in trajectories:
            truth = interpolate(trajectory.moments, trajectory.label_moments - delay, trajectory.labels, max_gap)
            at_delay.append(mean_ccc(trajectory.predicted, truth))
        scores.append(float(np.mean(at_delay)) if at_delay else 0.0)
    if not any(scores):
        raise LabelsError("the delay cannot be estimated: no recording of the development set has estimates and labels")
    best = int(np.argmax(np.round(scores, 12)))
    return {
        "seconds": round(float(tried[best]), 6),
        "mean_ccc": scores[best],
        "mean_ccc_at_lowest": scores[0],
        "searched": [lowest, highest, DELAY_STEP],
        "at_search_limit": best == len(tried) - 1 > 0 or (best == 0 and lowest > 0),
    }

"""The labels of a recording: found, read, and put onto its frames' stamps.

In: a recording's path and what the user said of its labels. Out: :class:`GroundTruth`, and from it N x 2 (valence,
arousal) at the frames' stamps, NaN where there is no label.

Where labels are looked for without being told: beside the recording NAME (a bag's folder or file, a video),

    NAME.csv                                  time,valence,arousal[,face_id]
    NAME_valence.dat and NAME_arousal.dat     AVEC 2012: one value a line, 0.02 s apart, the first at the first frame
    NAME.json                                 AFEW-VA: frame k of 25 a second

the first kind that is there; then in the bag itself, the only topic of ValenceArousal or ValenceArousalArray that is
none of the node's own (those of a node named ast_net), whose estimates are no truth.

Clocks: times of a CSV that are all below 1e8 are seconds from the first frame; greater ones are epoch times, whose unit
follows from their size (seconds below 1e11, then ms, us, ns), on the clock of the image stamps. A label given at t
holds for t + clock offset - annotation delay.

Interpolation: linear between two neighbouring labels at most `max_gap` apart; a frame within 0.1 ms of a label has
that label; nowhere else. Nothing is extrapolated, and nothing is drawn across a missing label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.bags.affect_messages import affect_topics, read_affect_labels
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.bags.reader import METADATA, STORAGE_SUFFIXES
from ast_net_ros.evaluation.labels.matching import mean_ccc
from ast_net_ros.evaluation.metrics.agreement import DIMENSIONS
from ast_net_ros.rating_files import DataError, LabelRows, read_afew_va, read_avec2012_pair, read_label_csv

NO_LABELS, TOPIC = "none", "topic:"
DELAY_STEP = 0.1
"""Seconds between two delays that the search tries."""

_EPOCH_BEGINS = 1e8  # s; no recording is three years long, and no camera stamps 1973
_TOLERANCE = 1e-4  # s, as in pipeline.py
_NODE_TOPICS = ("/ast_net/faces", "/ast_net/valence_arousal")


class LabelsError(DataError):
    """Labels that are missing or do not fit; the text names the recording or file, the reason and the mend."""


@dataclass(frozen=True)
class LabelOptions:
    """What the user says of the labels.

    labels: None (look beside the recording), "none", "topic:NAME", or a file, a folder or a template with {name},
    {number} (the last number in the name), {folder} (of the recording) and {dimension} (for .dat files).
    match: see matching.py. clock_offset, annotation_delay, max_gap: seconds, see above. time: what the times of a CSV
    count from: relative (the first frame), epoch, or auto (as their size says).
    """

    labels: str | None = None
    match: str = "largest"
    clock_offset: float = 0.0
    annotation_delay: float = 0.0
    max_gap: float = 1.0
    time: str = "auto"


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A recording's labels. source: where they come from. faces: the labels of each labelled person.

    epoch: whether their times are seconds on the clock of the image stamps, rather than from the first frame.
    """

    source: str
    faces: tuple[LabelRows, ...]
    epoch: bool = False

    @property
    def remarks(self) -> list[str]:
        return [remark for face in self.faces for remark in face.remarks]


def ground_truth_of(recording: Path, name: str, options: LabelOptions, alone: bool = True) -> GroundTruth | None:
    """The labels of `recording`, or None where there are none and none were asked for.

    alone: whether it is the only recording of the run, so that one file can be meant for it.
    Raises LabelsError and DataError (a file that is missing or damaged).
    """
    if options.labels == NO_LABELS:
        return None
    if options.labels is None:
        files = labels_in(recording.absolute().parent, name)
        return _read_files(files, options.time) if files else _labels_inside(recording)
    if options.labels.startswith(TOPIC):
        return _read_topic(recording, options.labels.removeprefix(TOPIC))
    path = _filled_in(options.labels, recording, name)
    if path.is_dir() and not (path / METADATA).exists():
        files = labels_in(path, name)
        if not files:
            raise LabelsError(f"labels of {name}: {path} holds no {name}.csv, {name}_valence.dat or {name}.json")
        return _read_files(files, options.time)
    if path.is_dir() or path.name.endswith(STORAGE_SUFFIXES):
        return _read_topic(path, None)
    if "{" not in options.labels and not alone:
        raise LabelsError(f"labels '{options.labels}': one file for several recordings; name a folder or use {{name}}")
    return _read_files(_with_partner(path), options.time)


def labels_in(folder: Path, name: str) -> tuple[Path, ...]:
    """The label files of the recording `name` in a folder, by the names above; none where there are none."""
    for files in (f"{name}.csv",), tuple(f"{name}_{d}.dat" for d in DIMENSIONS), (f"{name}.json",):
        if all((folder / file).is_file() for file in files):
            return tuple(folder / file for file in files)
    return ()


def _filled_in(template: str, recording: Path, name: str) -> Path:
    numbers = re.findall(r"\d+", name)
    known = {"name": name, "folder": str(recording.absolute().parent), "dimension": "{dimension}"}
    if numbers:
        known["number"] = numbers[-1]
    try:
        return Path(template.format_map(known)).expanduser()
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise LabelsError(
            f"labels '{template}' for {name}: cannot be filled in ({error!r}); known are {{name}}, {{folder}}, "
            "{dimension}, and {number} where the name has one"
        ) from error


def _with_partner(path: Path) -> tuple[Path, ...]:
    """A .dat file and that of the other dimension; any other file alone."""
    text = str(path)
    if "{dimension}" in text:
        return tuple(Path(text.replace("{dimension}", dimension)) for dimension in DIMENSIONS)
    if path.suffix.lower() != ".dat":
        return (path,)
    here = next((dimension for dimension in DIMENSIONS if dimension in path.name), None)
    if here is None:
        raise LabelsError(f"labels {path}: neither 'valence' nor 'arousal' in the name; which dimension is it?")
    return tuple(path.with_name(path.name.replace(here, dimension)) for dimension in DIMENSIONS)


def _read_files(files: Sequence[Path], time: str) -> GroundTruth:
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
        return _on_a_clock(source, read_label_csv(files[0]), time)
    raise LabelsError(f"labels {files[0]}: unknown kind '{suffix}'; wanted .csv, .dat (AVEC 2012) or .json (AFEW-VA)")


def _on_a_clock(source: str, faces: tuple[LabelRows, ...], time: str) -> GroundTruth:
    """Decides what the times of a CSV count from, and turns them into seconds."""
    largest = max(float(face.times[-1]) for face in faces)
    epoch = largest >= _EPOCH_BEGINS if time == "auto" else time == "epoch"
    if not epoch:
        return GroundTruth(source, faces)
    unit = next((unit for limit, unit in ((1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6)) if largest < limit), 1e-9)
    scaled = tuple(LabelRows(face.face_id, face.times * unit, face.values, face.remarks) for face in faces)
    return GroundTruth(source, scaled, epoch=True)


def _labels_inside(recording: Path) -> GroundTruth | None:
    """Of the bag's only label topic that is not the node's own."""
    try:
        topics = [topic for topic in affect_topics(recording) if not topic.endswith(_NODE_TOPICS)]
    except RecordingError:
        return None  # told when its pictures are read
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
        raise LabelsError(f"labels {bag}, topic {topic or 'of ValenceArousal'}: holds no label")
    return GroundTruth(f"{bag}, topic {labels.topic}", tuple(faces), epoch=True)


def truth_at(stamps_ns: np.ndarray, truth: GroundTruth, face: LabelRows, options: LabelOptions) -> np.ndarray:
    """N x 2 labels at N stamps by the rules above; NaN where there is no label."""
    if len(stamps_ns) == 0:
        return np.empty((0, 2))
    moments = (stamps_ns - stamps_ns[0]) / 1e9
    return interpolate(moments, label_moments(int(stamps_ns[0]), truth, face, options), face.values, options.max_gap)


def label_moments(first_ns: int, truth: GroundTruth, face: LabelRows, options: LabelOptions) -> np.ndarray:
    """M seconds from the first frame that the labels hold for."""
    from_first = face.times - first_ns / 1e9 if truth.epoch else face.times
    return from_first + options.clock_offset - options.annotation_delay


def interpolate(moments: np.ndarray, times: np.ndarray, values: np.ndarray, max_gap: float) -> np.ndarray:
    """M x 2 `values` at rising `times`, taken at N `moments`: N x 2, NaN where the rules above give none."""
    found = np.full((len(moments), 2), np.nan)
    after = np.searchsorted(times, moments - _TOLERANCE, side="left")
    before = np.searchsorted(times, moments + _TOLERANCE, side="right") - 1
    exact = before >= after
    found[exact] = values[after[exact]]
    between = np.flatnonzero(~exact & (before >= 0) & (after < len(times)))
    left, right = before[between], np.minimum(after[between], len(times) - 1)
    width = times[right] - times[left]
    between, left, right, width = (part[width <= max_gap + _TOLERANCE] for part in (between, left, right, width))
    share = ((moments[between] - times[left]) / width)[:, None]
    found[between] = values[left] + share * (values[right] - values[left])
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)


def fit_problems(
    stamps_ns: np.ndarray, truth: GroundTruth, face: LabelRows, options: LabelOptions, found: np.ndarray
) -> list[str]:
    """What is odd about labels put onto a recording: none hits a frame, or they cover another time than it."""
    times = label_moments(int(stamps_ns[0]), truth, face, options)
    length = float(stamps_ns.max() - stamps_ns[0]) / 1e9
    span = f"labels run from {times[0]:.2f} s to {times[-1]:.2f} s, the recording from 0 to {length:.2f} s"
    missing = int((~np.isfinite(face.values)).any(axis=1).sum())
    if times[0] > length + _TOLERANCE or times[-1] < -_TOLERANCE:
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
        problems.append(f"{span}; only what overlaps counts")
    wide = int((np.diff(times) > options.max_gap + _TOLERANCE).sum())
    if wide:
        problems.append(f"{wide} gaps between labels are longer than {options.max_gap:g} s and stay without truth")
    return problems


@dataclass(frozen=True, eq=False)
class DelayCourse:
    """What the search for a delay looks at: a recording's N moments and estimates (N x 2), and its labels."""

    moments: np.ndarray
    predicted: np.ndarray
    label_moments: np.ndarray
    labels: np.ndarray


def estimate_delay(courses: Sequence[DelayCourse], lowest: float, highest: float, max_gap: float) -> dict:
    """The delay in [lowest, highest] at which estimates and labels agree best, and how well.

    Agreement is the mean CCC of valence and arousal, averaged over the recordings; tried every DELAY_STEP; of equals
    the smallest delay. Raises LabelsError where no recording has both estimates and labels.
    """
    tried = lowest + DELAY_STEP * np.arange(round((highest - lowest) / DELAY_STEP) + 1)
    scores = []
    for delay in tried:
        at_delay = []
        for course in courses:
            truth = interpolate(course.moments, course.label_moments - delay, course.labels, max_gap)
            at_delay.append(mean_ccc(course.predicted, truth))
        scores.append(float(np.mean(at_delay)) if at_delay else 0.0)
    if not courses or not any(scores):
        raise LabelsError("the delay cannot be estimated: no recording of the development set has estimates and labels")
    best = int(np.argmax(np.round(scores, 12)))
    return {
        "seconds": round(float(tried[best]), 6),
        "mean_ccc": scores[best],
        "mean_ccc_at_lowest": scores[0],
        "searched": [lowest, highest, DELAY_STEP],
        "at_the_edge": best == len(tried) - 1 > 0 or (best == 0 and lowest > 0),
    }

"""A labelled recording: frames with stamps, labels with stamps, whose face it is and what it is for.

In: video files or folders of pictures. Out: :class:`Recording`, which every data set is read into, and from it clips of
model steps: features averaged inside a step and the label at the step's end, as the running node will meet them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.training.data.faces import DataError, read_picture
from ast_net_ros.vision.video import open_video

SPLITS = ("train", "valid", "test")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
TRACK_TIMEOUT = 1.0
"""Seconds without a sight of the face after which the node drops its state; a clip ends there too."""

_STAMP_TOLERANCE = 1e-4  # s, as in model/temporal.py
_VALID_SHARE = 0.2  # of the people of a data set without official parts

Frames = Iterator[tuple[float, str, np.ndarray | None]]
"""(stamp in seconds, the frame's name, H x W x 3 uint8 BGR or None where it cannot be decoded), stamps rising."""


@dataclass(frozen=True)
class Recording:
    """One person's recording.

    name: unique in its data set. split: one of SPLITS. person: who it shows, for keeping people apart.
    frames: opens the frames anew at each call. source: what identifies their content (paths, sizes, times of change).
    label_stamps: M seconds on the frames' clock, rising. labels: M x 2 (valence, arousal) in [-1, 1], NaN for none.
    cropped: the frames are cut-outs that a face fills. remarks: what was found odd while reading.
    """

    name: str
    split: str
    person: str
    frames: Callable[[], Frames]
    source: tuple[str, ...]
    label_stamps: np.ndarray
    labels: np.ndarray
    cropped: bool = False
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise DataError(f"recording '{self.name}': split is '{self.split}'; wanted one of {', '.join(SPLITS)}")
        if self.labels.shape != (len(self.label_stamps), 2):
            raise DataError(
                f"recording '{self.name}': labels are {self.labels.shape}; wanted {(len(self.label_stamps), 2)}"
            )
        if not (np.diff(self.label_stamps) > 0).all():
            raise DataError(f"recording '{self.name}': the times of its labels do not rise; sort them, drop duplicates")


@dataclass(frozen=True)
class RecordingSet:
    """What a data set holds: usable recordings, and for each part that is not, its name and the reason."""

    recordings: tuple[Recording, ...]
    left_out: tuple[str, ...] = ()


def video_frames(path: Path) -> Callable[[], Frames]:
    """Opens a video by its own times. Iterating raises VideoError for a file that is no video."""

    def frames() -> Frames:
        with open_video(path) as video:
            for index, (stamp, frame) in enumerate(video):
                yield stamp, f"{path.name} frame {index}", frame

    return frames


def picture_frames(paths: Sequence[Path], stamps: Sequence[float]) -> Callable[[], Frames]:
    """Opens pictures taken at `stamps`; a picture that cannot be decoded comes as None."""

    def frames() -> Frames:
        for path, stamp in zip(paths, stamps):
            yield stamp, path.name, read_picture(path)

    return frames


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)


def source_identity(paths: Sequence[Path]) -> tuple[str, ...]:
    """What changes when one of the files does: place, number, sizes and newest change."""
    states = [path.stat() for path in paths]
    sizes = zlib.crc32(repr([(path.name, state.st_size) for path, state in zip(paths, states)]).encode())
    newest = max((state.st_mtime_ns for state in states), default=0)
    place = str(paths[0].resolve() if len(paths) == 1 else paths[0].resolve().parent) if paths else ""
    return (place, str(len(paths)), f"{sizes:08x}", str(newest))


def split_by_person(person: str) -> str:
    """'train' or 'valid' for a data set without official parts: always the same for one person."""
    return "valid" if zlib.crc32(person.encode()) % 1000 < _VALID_SHARE * 1000 else "train"


@dataclass(frozen=True)
class FaceSequence:
    """What AST-Net's CNN saw of a recording's face: stamps K (seconds, rising), features K x F float32.

    Where the CNN is still to be trained, what it is to see: chips K x S x S uint8 in place of features.
    frames: how many there were. undecodable: names of those that could not be decoded, at most a few, then a count.
    """

    stamps: np.ndarray
    features: np.ndarray
    frames: int = 0
    undecodable: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepClip:
    """An unbroken sight of a face in model steps.

    features: T x F, or chips T x S x S. labels: T x 2, NaN where there is none.
    """

    recording: str
    person: str
    start: float
    features: np.ndarray
    labels: np.ndarray


def step_clips(
    recording: Recording, seen: FaceSequence, step_seconds: float, label_delay: float = 0.0
) -> tuple[StepClip, ...]:
    """Cut a recording where the node would have lost its face, and put each part onto model steps.

    label_delay: seconds by which raters lag behind the face: the label of time t is the one given at t + label_delay.
    Parts without any label are left out.
    """
    if len(seen.stamps) == 0:
        return ()
    borders = np.flatnonzero(np.diff(seen.stamps) > TRACK_TIMEOUT) + 1
    clips = []
    for stamps, features in zip(np.split(seen.stamps, borders), np.split(seen.features, borders)):
        by_step = (features_by_step if features.ndim == 2 else chips_by_step)(stamps, features, step_seconds)
        ends = stamps[0] + step_seconds * np.arange(1, len(by_step) + 1)
        labels = labels_at(ends + label_delay, recording.label_stamps, recording.labels)
        if np.isfinite(labels).any():
            clips.append(StepClip(recording.name, recording.person, float(stamps[0]), by_step, labels))
    return tuple(clips)


def features_by_step(stamps: np.ndarray, features: np.ndarray, step_seconds: float) -> np.ndarray:
    """K x F features at rising stamps -> T x F: the mean inside each model step; an empty step repeats the one before.

    The same rule by which model/temporal.py advances a face's state.
    """
    step, first, counts = _steps_of(stamps, step_seconds)
    means = np.add.reduceat(features.astype(np.float64), first, axis=0) / counts[:, None]
    return means[_filled(step, first)].astype(np.float32)


def chips_by_step(stamps: np.ndarray, chips: np.ndarray, step_seconds: float) -> np.ndarray:
    """K x S x S chips -> T x S x S: the middle one of each model step; an empty step repeats the one before."""
    step, first, counts = _steps_of(stamps, step_seconds)
    return chips[(first + counts // 2)[_filled(step, first)]]


def _steps_of(stamps: np.ndarray, step_seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The model step of each stamp; of each step that has any, the first one's index and how many there are."""
    step = np.floor((stamps - stamps[0] + _STAMP_TOLERANCE) / step_seconds).astype(int)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    return step, first, np.diff(np.append(first, len(step)))


def _filled(step: np.ndarray, first: np.ndarray) -> np.ndarray:
    """For every model step the last one with a sight, as an index into `first`."""
    return np.searchsorted(step[first], np.arange(step[-1] + 1), side="right") - 1


def labels_at(times: np.ndarray, label_stamps: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """T x 2 labels, interpolated linearly; NaN beside NaN and outside the labels' time (the last holds one period)."""
    found = np.full((len(times), 2), np.nan)
    if len(label_stamps) == 0:
        return found
    period = float(np.median(np.diff(label_stamps))) if len(label_stamps) > 1 else 0.0
    inside = (times >= label_stamps[0] - _STAMP_TOLERANCE) & (times <= label_stamps[-1] + period + _STAMP_TOLERANCE)
    after = np.clip(np.searchsorted(label_stamps, times), 1, max(1, len(label_stamps) - 1))
    before = after - 1
    after = np.minimum(after, len(label_stamps) - 1)
    width = np.maximum(label_stamps[after] - label_stamps[before], 1e-9)
    weight = np.clip((times - label_stamps[before]) / width, 0, 1)[:, None]
    # A weight of exactly 0 or 1 must not let a neighbour's NaN in.
    left, right = labels[before], labels[after]
    mixed = np.where(weight == 0, left, np.where(weight == 1, right, left + weight * (right - left)))
    found[inside] = mixed[inside]
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)

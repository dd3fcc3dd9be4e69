"""A labelled recording: frames with stamps, labels with stamps, the person it shows and the split it belongs to.

In: video files or folders of images. Out: :class:`Recording`, into which every data set is read, and clips of model
steps made from it: features averaged within a step, the label at its end, as in the running node.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.rating_files import STAMP_TOLERANCE, DataError, interpolate
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.video import open_video

SPLITS = ("train", "valid", "test")
VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

FrameSource = tuple[Callable[[], "Frames"], tuple[str, ...]]
Frames = Iterator[tuple[float, str, np.ndarray | None]]
"""(stamp in seconds, name, H x W x 3 uint8 BGR or None where the frame cannot be decoded), stamps rising."""


@dataclass(frozen=True)
class Recording:
    """A recording of one person.

    Raises:
        DataError: The split is unknown, or the labels and their stamps do not fit.
    """

    name: str  # unique in its data set
    split: str  # one of SPLITS
    person: str
    frames: Callable[[], Frames]  # opens the frames, from the first one at each call
    source: tuple[str, ...]  # identifies their content: paths, sizes, times of change
    label_stamps: np.ndarray  # M seconds on the frames' clock, rising
    labels: np.ndarray  # M x 2 (valence, arousal) in [-1, 1], NaN for none
    cropped: bool = False  # the frames are crops that a face fills
    remarks: tuple[str, ...] = ()  # what was noticed while reading
    aligned: bool = False  # the frames are chips (S x S uint8)

    def __post_init__(self) -> None:
        """Check split and labels."""
        what, shape = f"recording '{self.name}'", (len(self.label_stamps), 2)
        if self.split not in SPLITS:
            raise DataError(f"{what}: split is '{self.split}'; expected one of {', '.join(SPLITS)}")
        if self.labels.shape != shape:
            raise DataError(f"{what}: labels are {self.labels.shape}; expected {shape}")
        if not (np.diff(self.label_stamps) > 0).all():
            raise DataError(f"{what}: the times of its labels are not increasing; sort them, drop duplicates")


@dataclass(frozen=True)
class RecordingSet:
    """The usable recordings of a data set, and for each unusable one its name and the reason."""

    recordings: tuple[Recording, ...]
    left_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, readers: Iterable[Callable[[], Recording]]) -> RecordingSet:
        """Read recordings one by one; those that raise DataError are left out with its text."""
        recordings, left_out = [], []
        for reader in readers:
            try:
                recordings.append(reader())
            except DataError as error:
                left_out.append(str(error))
        return cls(tuple(recordings), tuple(left_out))


@dataclass(frozen=True)
class FaceSequence:
    """The face of one recording, in the frames where it was found."""

    stamps: np.ndarray  # K seconds, rising
    inputs: np.ndarray  # K x F float32 features of a frozen CNN, or K x S x S uint8 chips for one that is trained too
    frames: int = 0  # with or without a face
    undecodable: tuple[str, ...] = ()  # names of frames; a few, then a count


@dataclass(frozen=True)
class StepClip:
    """One uninterrupted sequence of a recorded face, in model steps."""

    recording: str
    person: str
    start: float  # stamp of the first frame, in seconds
    inputs: np.ndarray  # T x F float32 features, or T x S x S uint8 chips
    labels: np.ndarray  # T x 2 (valence, arousal), NaN where there is none


def read_image(path: Path) -> np.ndarray | None:
    """Read an image file: H x W x 3 uint8 BGR, or None where it is missing or cannot be decoded."""
    data = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def video_frames(path: Path) -> FrameSource:
    """Make `Recording.frames` and `.source` of a video, with its own stamps; iterating may raise VideoError."""

    def frames() -> Frames:
        with open_video(path) as video:
            for index, (stamp, frame) in enumerate(video):
                yield stamp, f"{path.name} frame {index}", frame

    return frames, source_identity([path])


def image_frames(paths: Sequence[Path], stamps: Sequence[float]) -> FrameSource:
    """Make `Recording.frames` and `.source` of image files taken at `stamps` (seconds)."""

    def frames() -> Frames:
        return ((stamp, path.name, read_image(path)) for path, stamp in zip(paths, stamps))

    return frames, source_identity(paths)


def source_identity(paths: Sequence[Path]) -> tuple[str, ...]:
    """Identify files by what changes with any of them: place, number, checksum of the sizes and newest change."""
    states = [path.stat() for path in paths]
    sizes = zlib.crc32(repr([(path.name, state.st_size) for path, state in zip(paths, states)]).encode())
    newest = max(state.st_mtime_ns for state in states)
    place = paths[0].resolve() if len(paths) == 1 else paths[0].resolve().parent
    return (str(place), str(len(paths)), f"{sizes:08x}", str(newest))


def split_by_person(person: str) -> str:
    """Assign a person to 'train' or, one in five, to 'valid' by name, for data sets without official splits."""
    return "valid" if zlib.crc32(person.encode()) % 1000 < 200 else "train"


def step_clips(
    recording: Recording, sequence: FaceSequence, step_seconds: float, label_delay: float = 0.0
) -> tuple[StepClip, ...]:
    """Split a recording where the node would have dropped the face's state, and resample each part to model steps.

    label_delay: seconds by which raters lag: the label of time t is the one given at t + label_delay.
    """
    if len(sequence.stamps) == 0:
        return ()
    resample = chips_by_step if sequence.inputs.ndim == 3 else features_by_step
    borders = np.flatnonzero(np.diff(sequence.stamps) > PipelineSettings.track_timeout) + 1
    clips = []
    for stamps, inputs in zip(np.split(sequence.stamps, borders), np.split(sequence.inputs, borders)):
        by_step = resample(stamps, inputs, step_seconds)
        ends = stamps[0] + step_seconds * np.arange(1, len(by_step) + 1)
        labels = labels_at(ends + label_delay, recording.label_stamps, recording.labels)
        if np.isfinite(labels).any():
            clips.append(StepClip(recording.name, recording.person, float(stamps[0]), by_step, labels))
    return tuple(clips)


def features_by_step(stamps: np.ndarray, features: np.ndarray, step_seconds: float) -> np.ndarray:
    """Average K x F features at rising stamps (seconds) within each model step; an empty step repeats the one before.

    This is how model/recurrent_state.py advances the state of a face.
    """
    first, counts, latest = _steps_of(stamps, step_seconds)
    means = np.add.reduceat(features.astype(np.float64), first, axis=0) / counts[:, None]
    return means[latest].astype(np.float32)


def chips_by_step(stamps: np.ndarray, chips: np.ndarray, step_seconds: float) -> np.ndarray:
    """As `features_by_step` for K x S x S chips: the middle chip of each model step, T x S x S."""
    first, counts, latest = _steps_of(stamps, step_seconds)
    return chips[(first + counts // 2)[latest]]


def _steps_of(stamps: np.ndarray, step_seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group stamps by model step: first index and size of each group, and for every step the latest group up to it."""
    step = np.floor((stamps - stamps[0] + STAMP_TOLERANCE) / step_seconds).astype(int)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    latest = np.searchsorted(step[first], np.arange(step[-1] + 1), side="right") - 1
    return first, np.diff(first, append=len(step)), latest


def labels_at(times: np.ndarray, label_stamps: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Interpolate M x 2 labels (NaN for none) at rising `label_stamps` to `times`, both in seconds.

    Returns:
        T x 2; NaN next to NaN and outside the time of the labels, of which the last one holds for one period.
    """
    if len(label_stamps) == 0:
        return np.full((len(times), 2), np.nan)
    period, last = float(np.median(np.diff(label_stamps))) if len(label_stamps) > 1 else 0.0, label_stamps[-1]
    held = (times > last) & (times <= last + period + STAMP_TOLERANCE)
    return interpolate(np.where(held, last, times), label_stamps, labels)

"""What `replay` plays: a rosbag2 recording, a video file, or a photograph that is repeated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ast_net_ros.ros.conversions import NANOSECONDS
from ast_net_ros.vision.video import VideoError, open_video

if TYPE_CHECKING:
    from ast_net_ros.bags.recordings import RecordedFrame

TimedImages = Iterator[tuple[float, np.ndarray]]

MAX_PAUSE = 10.0
"""Seconds; a longer pause in a recording is shortened to this."""
_OUT_OF_ORDER = 1.0  # seconds a frame may lie before its predecessor without the clock having been set back
_PERIOD_FRAMES = 11


class ReplaySourceError(ValueError):
    """A bag that cannot be played; the message names it and the reason."""


@dataclass(frozen=True)
class ReplaySource:
    """A recording."""

    name: str  # its path
    period: float  # seconds between the last frame and the first one of the next loop
    play: Callable[[], TimedImages]  # (seconds since the start, H x W x 3 uint8 BGR) of every frame; for each loop


def open_source(path: str, photo_rate: float, recorded_topic: str | None = None) -> ReplaySource:
    """Open a recording.

    Args:
        path: A bag, a video file or a photograph.
        photo_rate: Images per second made of a photograph.
        recorded_topic: Image topic in a bag; None for the only one.

    Raises:
        ReplaySourceError: The bag cannot be read.
        VideoError: The file is not a bag, a video or a photograph.
    """
    if Path(path).is_dir() or {".db3", ".mcap"} & set(Path(path.lower()).suffixes):  # .mcap.zstd too
        return _bag_source(path, recorded_topic)
    if Path(path).is_file() and Path(path).suffix.lower() != ".gif" and cv2.haveImageReader(path):
        return _photo_source(path, photo_rate)
    return _video_source(path)


def with_due_times(frames: Iterable[RecordedFrame]) -> Iterator[tuple[float, RecordedFrame]]:
    """Yield each frame with the seconds after the start at which it is due, which never decrease.

    These follow the stamps, with three exceptions: a frame out of order is due at once; a pause longer than MAX_PAUSE
    is shortened; where the camera's clock was set back, playback continues from there.
    """
    due, origin_ns = 0.0, None
    for frame in frames:
        if origin_ns is None:
            origin_ns = frame.stamp_ns
        seconds = (frame.stamp_ns - origin_ns) / NANOSECONDS
        if not -_OUT_OF_ORDER <= seconds - due <= MAX_PAUSE:
            seconds = due + (MAX_PAUSE if seconds > due else 0.0)
            origin_ns = frame.stamp_ns - round(seconds * NANOSECONDS)
        due = max(due, seconds)
        yield due, frame


def frame_period(times: list[float]) -> float:
    """Return the seconds between two frames, given the times of the first ones; 1/30 if they do not tell."""
    steps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    return median(steps) if steps else 1 / 30


def _photo_source(path: str, rate: float) -> ReplaySource:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(f"image {path}: cannot be decoded; is the file complete?")
    return ReplaySource(path, 1 / rate, lambda: ((index / rate, image) for index in itertools.count()))


def _video_source(path: str) -> ReplaySource:
    with open_video(path) as video:
        period = 1 / video.fps

    def play() -> TimedImages:
        with open_video(path) as video:
            yield from video

    return ReplaySource(path, period, play)


def _bag_source(path: str, topic: str | None) -> ReplaySource:
    try:
        from ast_net_ros.bags.recordings import RecordingError, open_recording
    except ModuleNotFoundError as error:  # optional for a robot that plays only videos
        raise ReplaySourceError(
            f"bag {path}: {error}; pip install the packages in tools/setup/requirements/evaluate.txt"
        ) from error

    def frames() -> Iterator[tuple[float, RecordedFrame]]:
        try:
            with open_recording(Path(path), topic) as recording:
                yield from with_due_times(recording.frames())
        except RecordingError as error:
            raise ReplaySourceError(str(error)) from error

    first = list(itertools.islice(frames(), _PERIOD_FRAMES))
    if not first:
        raise ReplaySourceError(f"bag {path}: contains no image that can be decoded")
    period = frame_period([seconds for seconds, _ in first])
    return ReplaySource(path, period, lambda: ((seconds, frame.image) for seconds, frame in frames()))

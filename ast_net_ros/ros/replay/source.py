"""What `replay` plays: a rosbag2 recording, a video file, or a photograph that is repeated.

In: a path. Out: a :class:`ReplaySource`, whose `play` yields (seconds since its start, H x W x 3 uint8 BGR)
and may be called again for the next loop. Another kind of recording needs one more function like `_video_source`.
"""

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

BAG_SUFFIXES = (".db3", ".mcap")  # others may follow, as in .mcap.zstd
LONGEST_PAUSE = 10.0
"""Seconds; where a recording's stamps leap further ahead, playing waits only so long."""
_OUT_OF_ORDER = 1.0  # seconds that a frame may lie behind the one before it without the clock having been set back
_PERIOD_FRAMES = 11


class ReplaySourceError(ValueError):
    """A bag that cannot be played; the text names it and the reason."""


@dataclass(frozen=True)
class ReplaySource:
    """A recording. period: seconds that its last picture stands before a loop begins anew."""

    name: str
    size: tuple[int, int]
    period: float
    play: Callable[[], TimedImages]


def open_source(path: str, photo_rate: float, recorded_topic: str | None = None) -> ReplaySource:
    """The recording at `path`; photo_rate: pictures per second made of a photograph. recorded_topic: of a bag, None
    takes its only one.

    Raises ReplaySourceError for a bag that cannot be read, VideoError for what is neither bag nor video nor picture.
    """
    if Path(path).is_dir() or not set(BAG_SUFFIXES).isdisjoint(Path(path.lower()).suffixes):
        return _bag_source(path, recorded_topic)
    if Path(path).is_file() and Path(path).suffix.lower() != ".gif" and cv2.haveImageReader(path):
        return _photo_source(path, photo_rate)
    return _video_source(path)


def in_playing_time(frames: Iterable[RecordedFrame]) -> Iterator[tuple[float, RecordedFrame]]:
    """Each frame with the seconds after the start at which it is due, which never go back.

    They are those of the stamps, with three exceptions: a frame out of order is due at once; a pause of more than
    LONGEST_PAUSE is cut to that; where the camera's clock was set back, time goes on from there.
    """
    due, origin_ns = 0.0, None
    for frame in frames:
        if origin_ns is None:
            origin_ns = frame.stamp_ns
        seconds = (frame.stamp_ns - origin_ns) / NANOSECONDS
        if not -_OUT_OF_ORDER <= seconds - due <= LONGEST_PAUSE:
            seconds = due + (LONGEST_PAUSE if seconds > due else 0.0)
            origin_ns = frame.stamp_ns - round(seconds * NANOSECONDS)
        due = max(due, seconds)
        yield due, frame


def _photo_source(path: str, rate: float) -> ReplaySource:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise VideoError(f"picture {path}: cannot be decoded; is it whole?")
    size = (image.shape[1], image.shape[0])
    return ReplaySource(path, size, 1 / rate, lambda: ((index / rate, image) for index in itertools.count()))


def _video_source(path: str) -> ReplaySource:
    with open_video(path) as video:
        size, period = video.size, 1 / video.fps

    def play() -> TimedImages:
        with open_video(path) as video:
            yield from video

    return ReplaySource(path, size, period, play)


def _bag_source(path: str, topic: str | None) -> ReplaySource:
    try:
        from ast_net_ros.bags.recordings import RecordingError, open_recording
    except ModuleNotFoundError as error:  # a robot that plays videos only need not have them
        raise ReplaySourceError(
            f"bag {path}: {error}; pip install what tools/setup/requirements/evaluate.txt lists"
        ) from error

    def frames() -> Iterator[tuple[float, RecordedFrame]]:
        try:
            with open_recording(Path(path), topic) as recording:
                yield from in_playing_time(recording.frames())
        except RecordingError as error:
            raise ReplaySourceError(str(error)) from error

    first = list(itertools.islice(frames(), _PERIOD_FRAMES))
    if not first:
        raise ReplaySourceError(f"bag {path}: holds no picture that can be decoded")
    height, width = first[0][1].image.shape[:2]
    period = frame_period([seconds for seconds, _ in first])
    return ReplaySource(path, (width, height), period, lambda: ((seconds, frame.image) for seconds, frame in frames()))


def frame_period(moments: list[float]) -> float:
    """Seconds between two frames, from the moments of the first ones; a 30th where they do not tell."""
    steps = [later - earlier for earlier, later in itertools.pairwise(moments) if later > earlier]
    return median(steps) if steps else 1 / 30

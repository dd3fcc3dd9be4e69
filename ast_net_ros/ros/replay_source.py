"""What `replay` plays: a video file, or a photograph that is repeated.

In: a path. Out: a :class:`ReplaySource`, whose `play` yields (seconds since its start, H x W x 3 uint8 BGR)
and may be called again for the next loop. Another kind of recording needs one more function like `_video_source`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.vision.video import VideoError, open_video

TimedImages = Iterator[tuple[float, np.ndarray]]


@dataclass(frozen=True)
class ReplaySource:
    """A recording. period: seconds that its last picture stands before a loop begins anew."""

    name: str
    size: tuple[int, int]
    period: float
    play: Callable[[], TimedImages]


def open_source(path: str, photo_rate: float) -> ReplaySource:
    """The recording at `path`; photo_rate: pictures per second made of a photograph.

    Raises VideoError when it is neither a video nor a picture.
    """
    if Path(path).is_file() and Path(path).suffix.lower() != ".gif" and cv2.haveImageReader(path):
        return _photo_source(path, photo_rate)
    return _video_source(path)


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

"""Reads frames with their times from a video file or a webcam."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_TEXT_CONTROLS = b"\t\n\r\f\b\x1b"  # occur in text; every video container has others in its first kilobytes


class VideoError(ValueError):
    """A video that cannot be opened or read. The message names the file, the problem and the fix."""


class Video:
    """An opened video, read once from start to end: `for seconds, frame in video`.

    Times start at 0 and increase strictly. They are those of the container, so that a variable frame rate is kept;
    where these stand still or run backward, a frame comes one frame period after the one before. A webcam's frames
    carry the time at which they were read.

    Attributes:
        source: The path or webcam number it was opened with, as text.
        fps: Frames per second as the container states them; 30 where it states nothing plausible.
        frame_count: Frames as the container states them, which can be a few off; None for a webcam or where unknown.
        size: Width and height of the first frame in pixels, upright.
        live: Whether it is a webcam, which has no end.

    Raises:
        VideoError: No frame can be decoded.
    """

    def __init__(self, source: str, capture: Any, live: bool):
        self.source, self.live = source, live
        self._capture = capture  # a cv2.VideoCapture
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(rate) if 0.1 <= rate <= 1000 else 30.0
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if not live and math.isfinite(count) and count >= 1 else None
        # Whether a file is a video shows only when a frame has been decoded.
        self._first = self._read()
        if self._first is None:
            capture.release()
            raise VideoError(f"video {source}: contains no frame that can be decoded; check that the file is complete")
        self.size = (self._first[1].shape[1], self._first[1].shape[0])

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (seconds, frame H x W x 3 uint8 BGR). The caller may change the frames."""
        first, self._first = self._first, None
        if first is None:
            return
        start, frame = first
        seconds = 0.0
        yield seconds, frame
        while (following := self._read()) is not None:
            stated, frame = following
            seconds = stated - start if stated - start > seconds else seconds + 1 / self.fps
            yield seconds, frame

    def close(self) -> None:
        """Release the file or webcam. May be called twice."""
        self._capture.release()

    def _read(self) -> tuple[float, np.ndarray] | None:
        """Read the stated time in seconds and the frame; None at the end."""
        try:
            read, frame = self._capture.read()
        except cv2.error as error:
            raise VideoError(f"video {self.source}: decoding failed ({error.err}); is it complete?") from error
        if not read:
            return None
        if frame.ndim == 2:
            frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        stated = time.monotonic() if self.live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return (stated if math.isfinite(stated) else 0.0), frame


def open_video(source: str | os.PathLike[str] | int) -> Video:
    """Open a video file or a webcam.

    Args:
        source: A path, or the number of a webcam; up to three digits as text are a number. 0 is the first webcam.

    Raises:
        VideoError: There is no such file or webcam, or it holds no video.
    """
    if isinstance(source, int) or (isinstance(source, str) and source.isdecimal() and len(source) < 4):
        source = int(source)
        capture = cv2.VideoCapture(source)
        if not capture.isOpened():
            raise VideoError(f"webcam {source}: cannot be opened; is it connected, free and readable by this user?")
        # One frame of buffer where the driver supports it: an estimate of an old frame is of no use.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return Video(f"webcam {source}", capture, live=True)
    path = Path(source)
    _check_file(path)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise VideoError(f"video {path}: not a video, or a format that this OpenCV cannot read; convert it to MP4")
    return Video(str(path), capture, live=False)


def _check_file(path: Path) -> None:
    """Refuse what OpenCV would refuse without a reason, and what it would mistake for a video.

    FFmpeg renders text files as terminal screens and follows playlists to other files and addresses; OpenCV
    reads a numbered image together with its neighbours.
    """
    if path.is_dir():
        raise VideoError(f"video {path}: is a folder; give the path of a video file")
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except FileNotFoundError:
        raise VideoError(f"video {path}: no such file") from None
    except OSError as error:
        raise VideoError(f"video {path}: cannot be read ({error.strerror})") from error
    if not start:
        raise VideoError(f"video {path}: the file is empty")
    if not any(byte < 32 and byte not in _TEXT_CONTROLS for byte in start):
        raise VideoError(f"video {path}: is a text file, not a video")
    if path.suffix.lower() != ".gif" and cv2.haveImageReader(str(path)):
        raise VideoError(f"video {path}: is a still image; estimation needs a video")

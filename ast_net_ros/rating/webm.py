"""Write a video that every browser plays, with the frames' own times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

LONGEST_SIDE = 1280
"""Pixels of the longer side, to which larger frames are scaled down."""

_CLOCK = 1000  # WebM counts milliseconds
_LAST_FRAME = 100  # ms for which the last frame is shown, so that the video does not end before its time
_BITS = 5.2  # a second and pixel: no loss that shows in a face
# One thread in the encoder's fast mode takes a fifth of the time of its defaults; frequent key frames keep jumps fast.
_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "threads": "1", "g": "60"}


@contextmanager
def webm_writer(path: Path, width: int, height: int) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Yield a function that adds a frame, H x W x 3 uint8 BGR, at a time in seconds, to a WebM file in VP8.

    Args:
        path: The file; it is replaced.
        width: Of the frames. All are scaled to one size of even numbers, as VP8 stores colour at half the resolution.
        height: Of the frames.
    """
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx", options=_OPTIONS)
        stream.width, stream.height = (max(int(side * scale) // 2 * 2, 2) for side in (width, height))
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = round(_BITS * stream.width * stream.height)
        stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
        last: tuple[np.ndarray, int] | None = None

        def encode(image: np.ndarray, time: int) -> None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame = frame.reformat(width=stream.width, height=stream.height, format=stream.pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, _CLOCK)
            container.mux(stream.encode(frame))

        def write(image: np.ndarray, seconds: float) -> None:
            nonlocal last
            time = round(seconds * _CLOCK)
            if last is None or time > last[1]:  # two frames within a millisecond: nobody sees the second
                encode(image, time)
                last = image, time

        yield write
        if last is not None:
            encode(last[0], last[1] + _LAST_FRAME)
        container.mux(stream.encode(None))

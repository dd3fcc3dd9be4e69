"""Play a recording to a node in real time: assign stamps, publish on time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.ros.conversions import NANOSECONDS, image_message, time_message
from ast_net_ros.ros.replay.live_metrics import SentImage
from ast_net_ros.ros.replay.source import frame_period, with_due_times
from ast_net_ros.ros.runtime.signals import StopSignal

MAX_STAMP_STEP = 4000 * NANOSECONDS
"""Nanoseconds; larger than any `max_time_gap`, so that the node treats a larger step in the same way."""
_PERIOD_FRAMES = 100  # the first frames, from which the frame period is taken


@dataclass(frozen=True)
class PlaybackImage:
    """One image to publish."""

    loop: int  # which repetition of the recording, from 0
    frame: int  # number in the recording, from 0
    due: float  # seconds after the start of the playback
    recorded_ns: int  # its stamp in the recording
    stamp_ns: int  # the stamp it carries
    message: Image


class RunStamps:
    """The stamps of a run: unique, from `base_ns` on, with the intervals of the recording.

    Equal stamps (in a recording, or in its next loop) are separated by single nanoseconds, which do not affect the
    model. Time starts again with each loop, as with `ros2 bag play --loop`, so that the node resets its states. Steps
    are limited to MAX_STAMP_STEP, so that a clock that was set during the recording cannot exceed the range of a stamp.
    """

    def __init__(self, base_ns: int):
        self._base_ns = base_ns
        self._used: set[int] = set()
        self.begin_loop()

    def begin_loop(self) -> None:
        """Start again at the first stamp."""
        self._now_ns = self._base_ns
        self._recorded_ns: int | None = None

    def next(self, recorded_ns: int) -> int:
        """Return the stamp of the next image, given its stamp in the recording."""
        step = 0 if self._recorded_ns is None else recorded_ns - self._recorded_ns
        self._recorded_ns = recorded_ns
        self._now_ns += min(max(step, -MAX_STAMP_STEP), MAX_STAMP_STEP)
        stamp = self._now_ns
        while stamp in self._used:
            stamp += 1
        self._used.add(stamp)
        return stamp


class Playback:
    """A recording that is played `loops` times, with stamps from `base_ns` on.

    Attributes:
        period: Seconds between two frames; known once the recording has been read.
        problems, partial: As those of the recording, likewise.
    """

    def __init__(self, path: Path, topic: str, loops: int, base_ns: int):
        self.period, self.problems, self.partial = 1 / 30, list[str](), False
        self._path, self._topic, self._loops = path, topic, loops
        self._stamps = RunStamps(base_ns)

    def images(self) -> Iterator[PlaybackImage]:
        """Read and decode the images."""
        due, first_due = 0.0, list[float]()
        for loop in range(self._loops):
            start = due + self.period if loop else 0.0
            self._stamps.begin_loop()
            with open_recording(self._path, self._topic) as recording:
                for seconds, frame in with_due_times(recording.frames()):
                    due = start + seconds
                    if len(first_due) < _PERIOD_FRAMES and loop == 0:
                        first_due.append(seconds)
                    stamp_ns = self._stamps.next(frame.stamp_ns)
                    header = Header(stamp=time_message(stamp_ns), frame_id=frame.frame_id or "camera")
                    message = image_message(header, frame.image)
                    yield PlaybackImage(loop, frame.index, due, frame.stamp_ns, stamp_ns, message)
                if loop == 0:
                    self.period = frame_period(first_due)
                    self.problems, self.partial = list(recording.problems), recording.partial


def play(
    images: Iterable[PlaybackImage],
    playback: Playback,
    publish: Callable[[Image], None],
    rate: float,
    stop: StopSignal,
) -> Iterator[tuple[PlaybackImage, SentImage]]:
    """Publish every image when it is due and yield it; end early when `stop` is set.

    Args:
        images: Those of `playback`, read ahead.
        playback: Knows the frame period.
        publish: Publishes a message.
        rate: Speed; 2 plays twice as fast, with the same stamps.
        stop: Ends the playback.
    """
    start = time.monotonic()
    for image in images:
        due = start + image.due / rate
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        late = time.monotonic() - due > playback.period / rate
        sent_ns = time.monotonic_ns()
        publish(image.message)
        yield image, SentImage(image.loop, image.frame, image.stamp_ns, sent_ns, late)

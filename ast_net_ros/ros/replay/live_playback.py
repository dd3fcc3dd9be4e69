"""Play a recording to a node in real time: read ahead, assign stamps, publish on time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.bags.recordings import RecordedFrame, open_recording
from ast_net_ros.ros.conversions import NANOSECONDS, image_message, time_message
from ast_net_ros.ros.replay.live_metrics import SentImage
from ast_net_ros.ros.replay.source import frame_period, with_due_times
from ast_net_ros.ros.runtime.signals import StopSignal

READ_AHEAD_BYTES = 400_000_000
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


class ImageReader:
    """Reads a recording ahead of its playback, in a thread, so that decoding does not delay publishing.

    A context manager; iterate over it once. Errors of the reading are raised by the iteration.

    Args:
        path: The recording.
        topic: Image topic in the recording.
        loops: How many times it is played.
        base_ns: The first stamp.
    """

    def __init__(self, path: Path, topic: str, loops: int, base_ns: int):
        self.problems: list[str] = []  # in the recording; complete when the iteration has ended
        self.partial = False  # whether the recording could not be read to its end
        self.period = 1 / 30  # seconds between two frames
        self.first: RecordedFrame | None = None  # the first frame, once it is read
        self._path, self._topic, self._loops = path, topic, loops
        self._stamps = RunStamps(base_ns)
        self._images: queue.Queue[PlaybackImage | BaseException | None] = queue.Queue()
        self._capacity = 2
        self._filled, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> ImageReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def wait_filled(self, stop: StopSignal) -> None:
        """Wait until the queue is full or the recording is read to its end."""
        while not self._filled.wait(0.05) and not stop.is_set():
            pass

    def __iter__(self) -> Iterator[PlaybackImage]:
        while (image := self._images.get()) is not None:
            if isinstance(image, BaseException):
                raise image
            yield image

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            start = 0.0
            for loop in range(self._loops):
                start = self._read_loop(loop, start)
        except BaseException as caught:
            error = caught
        self._put(error)  # ends the iteration
        self._filled.set()

    def _read_loop(self, loop: int, start: float) -> float:
        """Read the recording once, whose first frame is due at `start` seconds; return when the next loop is due."""
        due = start
        first_due: list[float] = []
        self._stamps.begin_loop()
        with open_recording(self._path, self._topic) as recording:
            for seconds, frame in with_due_times(recording.frames()):
                if self._closed.is_set():
                    break
                due = start + seconds
                if self.first is None:
                    self.first = frame
                    self._capacity = max(2, READ_AHEAD_BYTES // frame.image.nbytes)
                if len(first_due) < _PERIOD_FRAMES and loop == 0:
                    first_due.append(seconds)
                stamp_ns = self._stamps.next(frame.stamp_ns)
                header = Header(stamp=time_message(stamp_ns), frame_id=frame.frame_id or "camera")
                message = image_message(header, frame.image)
                self._put(PlaybackImage(loop, frame.index, due, frame.stamp_ns, stamp_ns, message))
            if loop == 0:
                self.period = frame_period(first_due)
                self.problems, self.partial = list(recording.problems), recording.partial
        return due + self.period

    def _put(self, image: PlaybackImage | BaseException | None) -> None:
        while self._images.qsize() >= self._capacity and not self._closed.is_set():
            self._filled.set()
            self._closed.wait(0.005)
        self._images.put(image)


def play(
    reader: ImageReader, publish: Callable[[Image], None], rate: float, stop: StopSignal
) -> Iterator[tuple[PlaybackImage, SentImage]]:
    """Publish every image when it is due and yield it; end early when `stop` is set.

    Args:
        reader: The images.
        publish: Publishes a message.
        rate: Speed; 2 plays twice as fast, with the same stamps.
        stop: Ends the playback.
    """
    start = time.monotonic()
    for image in reader:
        due = start + image.due / rate
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        late = time.monotonic() - due > reader.period / rate
        sent_ns = time.monotonic_ns()
        publish(image.message)
        yield image, SentImage(image.loop, image.frame, image.stamp_ns, sent_ns, late)

"""Plays a recording to a node in real time and keeps account of it.

In: a recording. Out: its images as messages, read ahead by a thread so that decoding does not hold up the sending, and
for each one when it was sent under which stamp.
"""

from __future__ import annotations

import itertools
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
from ast_net_ros.ros.replay.source import frame_period, in_playing_time
from ast_net_ros.ros.runtime.spinning import StopSignal

READ_AHEAD_BYTES = 400_000_000
LARGEST_LEAP = 4000 * NANOSECONDS
"""Nanoseconds; more than any `max_time_gap`, so that a longer leap of stamps says no more to the node than this one."""


@dataclass(frozen=True)
class Picture:
    """One image on its way. due: seconds of playing time after the start. recorded_ns: its stamp in the recording.
    stamp_ns: the stamp it carries now."""

    loop: int
    frame: int
    due: float
    recorded_ns: int
    stamp_ns: int
    message: Image


class RunStamps:
    """The stamps of a run: spaced as the recording's are from `base_ns` on, and no two alike.

    Equal ones (a camera that stamps two images alike, the next loop of the recording) are told apart by single
    nanoseconds, which change nothing for the model. So each loop's time begins again, as that of `ros2 bag play
    --loop`, and the node begins its states anew. Leaps are cut to LARGEST_LEAP, so that no clock that was set between
    1970 and today leaves the range of a stamp.
    """

    def __init__(self, base_ns: int):
        self._base_ns = base_ns
        self._given: set[int] = set()
        self.begin_loop()

    def begin_loop(self) -> None:
        self._now_ns = self._base_ns
        self._recorded_ns: int | None = None

    def next(self, recorded_ns: int) -> int:
        """The stamp of the next image."""
        step = 0 if self._recorded_ns is None else recorded_ns - self._recorded_ns
        self._recorded_ns = recorded_ns
        self._now_ns += min(max(step, -LARGEST_LEAP), LARGEST_LEAP)
        stamp = self._now_ns
        while stamp in self._given:
            stamp += 1
        self._given.add(stamp)
        return stamp


class PictureReader:
    """Reads a recording `loops` times, ahead of its playing, in a thread. A context manager; iterate over it.

    problems, partial: of the recording, complete once the iteration has ended. What the reading raises, the iteration
    raises.
    """

    def __init__(self, path: Path, topic: str, loops: int, base_ns: int):
        self.problems: list[str] = []
        self.partial = False
        self.period = 1 / 30
        self.first: RecordedFrame | None = None
        self._path, self._topic, self._loops = path, topic, loops
        self._stamps = RunStamps(base_ns)
        self._pictures: queue.Queue[Picture | BaseException | None] = queue.Queue()
        self._room = 2
        self._filled, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> PictureReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def wait_filled(self, stop: StopSignal) -> None:
        """Until it has read ahead as far as it may, or to the end."""
        while not self._filled.wait(0.05) and not stop.is_set():
            pass

    def __iter__(self) -> Iterator[Picture]:
        while (picture := self._pictures.get()) is not None:
            if isinstance(picture, BaseException):
                raise picture
            yield picture

    def _run(self) -> None:
        last: BaseException | None = None
        try:
            start = 0.0
            for loop in range(self._loops):
                start = self._read_loop(loop, start)
        except BaseException as error:
            last = error
        self._put(last)
        if last is not None:
            self._put(None)
        self._filled.set()

    def _read_loop(self, loop: int, start: float) -> float:
        """Read the recording once, from playing time `start` on; returns when the next loop is due."""
        due = start
        moments: list[float] = []
        self._stamps.begin_loop()
        with open_recording(self._path, self._topic) as recording:
            for seconds, frame in in_playing_time(recording.frames()):
                if self._closed.is_set():
                    break
                due = start + seconds
                if self.first is None:
                    self.first = frame
                    self._room = max(2, READ_AHEAD_BYTES // frame.image.nbytes)
                if len(moments) < 100 and loop == 0:
                    moments.append(seconds)
                self._put(self._picture(loop, frame, due))
            if loop == 0:
                self.period = frame_period(moments)
                self.problems, self.partial = list(recording.problems), recording.partial
        return due + self.period

    def _picture(self, loop: int, frame: RecordedFrame, due: float) -> Picture:
        stamp_ns = self._stamps.next(frame.stamp_ns)
        header = Header(stamp=time_message(stamp_ns), frame_id=frame.frame_id or "camera")
        return Picture(loop, frame.index, due, frame.stamp_ns, stamp_ns, image_message(header, frame.image))

    def _put(self, picture: Picture | BaseException | None) -> None:
        while self._pictures.qsize() >= self._room and not self._closed.is_set():
            self._filled.set()
            self._closed.wait(0.005)
        self._pictures.put(picture)


def play(
    reader: PictureReader, publish: Callable[[Image], None], rate: float, stop: StopSignal, watch: Callable[[int], None]
) -> Iterator[tuple[Picture, SentImage]]:
    """Publishes every picture when it is due; yields what was sent. Ends early when `stop` is set.

    rate: 2 plays twice as fast, with the same stamps. watch: called before each picture with how many were sent.
    """
    began = time.monotonic()
    for count, picture in zip(itertools.count(), reader):
        watch(count)
        due = began + picture.due / rate
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        late = time.monotonic() - due > reader.period / rate
        sent_ns = time.monotonic_ns()
        publish(picture.message)
        yield picture, SentImage(picture.loop, picture.frame, picture.stamp_ns, sent_ns, late)

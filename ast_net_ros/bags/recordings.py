"""Read recordings as frames with stamps: rosbag2 (sqlite3, MCAP, compressed, split, damaged) and videos, without ROS.

Order of frames: bags are read in receive order. A frame that arrived up to `REORDER_WINDOW` places late by its header
stamp is put back in order; later ones are dropped, as is the second of two frames with the same stamp. Stamps that jump
back by more than `RESTART_NS` come from a restarted camera or a looped bag: these frames are yielded as they are, and
the pipeline resets its face states there, as it does in the node.
"""

from __future__ import annotations

import functools
import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ast_net_ros.bags.message_types import IMAGE_TYPES, MessageError, parse_message
from ast_net_ros.bags.names import recording_name
from ast_net_ros.bags.paths import RecordingError, is_recorded_bag
from ast_net_ros.bags.reader import Bag
from ast_net_ros.bags.storage import ReadingProblems, StoredTopic
from ast_net_ros.bags.topics import NANOSECONDS, open_topic, seconds_text, stamp_of
from ast_net_ros.vision.image_decoding import ImageError, decode_image
from ast_net_ros.vision.video import Video, VideoError, open_video

REORDER_WINDOW = 4
"""Frames held back to be put in order; more would take much memory with raw 8K images."""
RESTART_NS = 500_000_000
_COMPLETE_SHARE = 0.9  # a container's own frame count can be slightly off


Item = TypeVar("Item")


@dataclass(frozen=True)
class RecordedFrame:
    """One frame of a recording."""

    index: int  # number of the frame in this pass over the recording, from 0
    stamp_ns: int  # stamp of its header in nanoseconds
    image: np.ndarray  # H x W x 3 uint8 BGR, read-only where it is the bag's own memory
    frame_id: str = ""  # frame_id of its header; empty for a video


@dataclass(frozen=True)
class _EncodedFrame:
    """A frame that has not been decoded yet."""

    stamp_ns: int
    frame_id: str
    decode: Callable[[], np.ndarray]


class Recording:
    """A bag, or a video with an empty `topic`; `frame_count` is as the file states it, None if unknown."""

    def __init__(
        self,
        path: Path,
        topic: str,
        frame_count: int | None,
        read: Callable[[ReadingProblems], Iterator[_EncodedFrame]],
        opening_problems: ReadingProblems,
    ):
        self.path, self.topic, self.frame_count = path, topic, frame_count
        self.name = recording_name(path)
        self._read, self._opening_problems, self._reading_problems = read, opening_problems, ReadingProblems()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: files are open only while `frames` is read."""

    @property
    def problems(self) -> list[str]:
        """What could not be read as expected; grows while `frames` is read."""
        return list(dict.fromkeys(self._opening_problems.texts() + self._reading_problems.texts()))

    @property
    def partial(self) -> bool:
        """Whether part of the recording is missing, as far as it has been read."""
        return self._opening_problems.partial or self._reading_problems.partial

    def frames(self, stop_ns: int | None = None, stamps: Collection[int] | None = None) -> Iterator[RecordedFrame]:
        """Yield the frames in order; may be called again. Memory use does not grow with the recording's length.

        `stop_ns` stops at the first frame with this stamp or a later one; `stamps` selects the frames to decode. Raises
        RecordingError at the end, if the whole recording was requested and no frame could be read.
        """
        self._reading_problems = problems = ReadingProblems()
        index = 0
        for frame in _in_order(self._read(problems), problems):
            if stop_ns is not None and frame.stamp_ns >= stop_ns:
                return
            if stamps is not None and frame.stamp_ns not in stamps:
                continue
            try:
                image = frame.decode()
            except ImageError as error:
                text = f"an image cannot be decoded, at stamp {seconds_text(frame.stamp_ns)}: {error}"
                problems.note(text, kind="image")
                continue
            yield RecordedFrame(index, frame.stamp_ns, image, frame.frame_id)
            index += 1
        if index == 0 and stop_ns is None and stamps is None:
            raise RecordingError(
                f"recording {self.path}: no image in it can be read: {'; '.join(self.problems) or 'it has none'}"
            )


def open_recording(path: Path, topic: str | None = None) -> Recording:
    """Open a bag (its folder or one of its files) or a video, for which `topic` is ignored.

    Args:
        path: The bag or video.
        topic: Image topic of the bag; None takes the only one that has images.

    Raises:
        RecordingError: `path` is neither, nothing in it can be read, or the topic is missing or ambiguous.
    """
    problems = ReadingProblems()
    if not is_recorded_bag(path):
        with _open_video(path) as video:
            count = video.frame_count
        return Recording(path, "", count, functools.partial(_video_frames, path), problems)
    bag, chosen = open_topic(path, topic, IMAGE_TYPES, problems)
    return Recording(path, chosen.name, chosen.count, functools.partial(_bag_frames, bag, chosen), problems)


def _in_order(frames: Iterator[_EncodedFrame], problems: ReadingProblems) -> Iterator[_EncodedFrame]:
    """Put frames in stamp order as the module's docstring states."""
    held: list[tuple[int, int, _EncodedFrame]] = []
    last_yielded: int | None = None
    newest: int | None = None
    for number, frame in enumerate(frames):
        stamp = frame.stamp_ns
        if newest is not None and stamp < newest - RESTART_NS:
            problems.note(
                f"stamps jump back by {(newest - stamp) / NANOSECONDS:.3f} s to {seconds_text(stamp)}: "
                "a restarted camera or a looped bag; face states are reset there",
                lost=False,
                kind="restart",
            )
            yield from (first for *_, first in sorted(held))
            held.clear()
            last_yielded = newest = None
        if stamp == last_yielded or any(stamp == other for other, *_ in held):
            problems.note(f"a second image with the stamp {seconds_text(stamp)}; dropped", lost=False, kind="duplicate")
            continue
        if last_yielded is not None and stamp < last_yielded:
            text = f"an image with the stamp {seconds_text(stamp)} arrives too late to be reordered; dropped"
            problems.note(text, kind="late")
            continue
        if newest is not None and stamp < newest:
            text = f"an image with the stamp {seconds_text(stamp)} arrives after later ones; reordered"
            problems.note(text, lost=False, kind="reordered")
        newest = stamp if newest is None else max(newest, stamp)
        heapq.heappush(held, (stamp, number, frame))
        if len(held) > REORDER_WINDOW:
            last_yielded, _, first = heapq.heappop(held)
            yield first
    yield from (first for *_, first in sorted(held))


def _bag_frames(bag: Bag, topic: StoredTopic, problems: ReadingProblems) -> Iterator[_EncodedFrame]:
    for received_ns, data in bag.messages(topic.name, problems):
        try:
            message = parse_message(data, topic.type)
        except MessageError as error:
            problems.note(f"topic {topic.name}: a message cannot be read: {error}", kind="message")
            continue
        stamp_ns = stamp_of(message.header)
        if stamp_ns is None:
            problems.note(f"topic {topic.name}: images without a header stamp get their receive time", lost=False)
            stamp_ns = received_ns
        yield _EncodedFrame(stamp_ns, message.header.frame_id, functools.partial(decode_image, message))


def _video_frames(path: Path, problems: ReadingProblems) -> Iterator[_EncodedFrame]:
    with _open_video(path) as video:
        frames, declared = 0, video.frame_count
        try:
            for seconds, image in video:
                frames += 1
                stamp_ns = round(seconds * NANOSECONDS)
                yield _EncodedFrame(stamp_ns, "", functools.partial(np.asarray, image))
        except VideoError as error:
            problems.note(str(error))
        if declared is not None and frames < _COMPLETE_SHARE * declared:
            problems.note(f"video {path.name}: declares {declared} frames, of which {frames} could be read")


def _open_video(path: Path) -> Video:
    try:
        return open_video(path)
    except VideoError as error:
        raise RecordingError(f"recording {path}: {error}") from error


class ReadAhead(Generic[Item]):
    """Items, such as frames, that are produced in a thread of their own, up to `count` ahead of the iteration.

    A context manager, which ends the thread; iterate over it once. The iteration raises the exceptions of the thread.
    """

    def __init__(self, items: Iterator[Item], count: int = 3):  # few: an 8K frame takes 100 MB
        self._items, self._pool = items, ThreadPoolExecutor(1, "read ahead")
        self._waiting = deque(self._pool.submit(next, items, None) for _ in range(count))

    def __enter__(self) -> ReadAhead[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._waiting:
            future.cancel()
        self._pool.shutdown()

    @property
    def full(self) -> bool:
        """Whether `count` items, or all, are ready."""
        return all(future.done() for future in self._waiting)

    def __iter__(self) -> Iterator[Item]:
        while (item := self._waiting.popleft().result()) is not None:
            self._waiting.append(self._pool.submit(next, self._items, None))
            yield item

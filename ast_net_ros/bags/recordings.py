"""Recordings as pictures with their times: rosbag2 (sqlite3, MCAP, compressed, split, damaged) and videos, without ROS.

In: a path and, for a bag with several, the image topic. Out: a :class:`Recording` whose `frames` streams the pictures;
memory does not grow with its length. Also: which recordings a command line means, and the affect labels in a bag.

The order of frames: bags are read in the order of receipt. A picture that came up to `REORDER_WINDOW` places too late
by its header's stamp is put back in its place; one that is later still is left out, and so is the second of two with
one stamp; `problems` counts them. Stamps that leap back by more than `RESTART_NS` are a restarted camera or a
looped bag: they are given as they are, and the pipeline begins anew there, as it does in the node.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.bags.affect_messages import AffectLabels, affect_topics, read_affect_labels
from ast_net_ros.bags.message_types import IMAGE_TYPES, MessageError, parse_message
from ast_net_ros.bags.paths import RecordingError, find_recordings, is_recorded_bag, recording_name
from ast_net_ros.bags.reader import Bag
from ast_net_ros.bags.storage import ReadingProblems, StoredTopic
from ast_net_ros.bags.topics import (
    NANOSECONDS,
    check_readable,
    choose_topic,
    open_recorded_bag,
    seconds_text,
    stamp_of,
    topics_of_types,
)
from ast_net_ros.vision.image_decoding import ImageError, decode_image
from ast_net_ros.vision.video import Video, VideoError, open_video

__all__ = [
    "AffectLabels",
    "RecordedFrame",
    "Recording",
    "RecordingError",
    "affect_topics",
    "find_recordings",
    "image_topics",
    "open_recording",
    "read_affect_labels",
    "recording_name",
]

REORDER_WINDOW = 4
"""Pictures that are held back to be put in order; more would take much memory with raw 8K pictures."""
RESTART_NS = 500_000_000
_COMPLETE_SHARE = 0.9  # a container's own count of its frames can be a few off


@dataclass(frozen=True)
class RecordedFrame:
    """One picture. index: its number, from 0, among those that this reading gives. stamp_ns: its header's stamp.

    image: H x W x 3 uint8 BGR, read-only where it is the bag's own memory. frame_id: its header's, empty for a video.
    received_ns: when it was recorded, the stamp itself for a video.
    """

    index: int
    stamp_ns: int
    image: np.ndarray
    frame_id: str = ""
    received_ns: int = 0


@dataclass(frozen=True)
class _Picture:
    """A picture that is not decoded yet."""

    stamp_ns: int
    received_ns: int
    frame_id: str
    decode: Callable[[], np.ndarray]


class Recording:
    """An opened recording; a context manager.

    path; name: of its folder or file, fit for the name of a folder. topic: of its pictures, empty for a video.
    frame_count: pictures that it states to have, which can be off; None where unknown.
    """

    def __init__(
        self,
        path: Path,
        topic: str,
        frame_count: int | None,
        read: Callable[[ReadingProblems], Iterator[_Picture]],
        opening: ReadingProblems,
    ):
        self.path, self.topic, self.frame_count = path, topic, frame_count
        self.name = recording_name(path)
        self._read, self._opening, self._reading = read, opening, ReadingProblems()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held between readings."""

    @property
    def problems(self) -> list[str]:
        """What could not be read as it should be, in words; grows while `frames` reads."""
        return list(dict.fromkeys(self._opening.texts() + self._reading.texts()))

    @property
    def partial(self) -> bool:
        """Whether something of the recording is missing, as far as has been read."""
        return self._opening.partial or self._reading.partial

    def frames(
        self, start_ns: int | None = None, stop_ns: int | None = None, stamps: Collection[int] | None = None
    ) -> Iterator[RecordedFrame]:
        """The pictures one after the other, in the order that the module states; may be called again.

        start_ns: pictures with earlier stamps are passed over. stop_ns: the first with this stamp or a later one ends
        the reading. stamps: only pictures with these are decoded and given. Raises RecordingError at the end when the
        whole was asked for and no picture could be read.
        """
        self._reading = problems = ReadingProblems()
        index = 0
        for picture in _in_order(self._read(problems), problems):
            if stop_ns is not None and picture.stamp_ns >= stop_ns:
                return
            if start_ns is not None and picture.stamp_ns < start_ns:
                continue
            if stamps is not None and picture.stamp_ns not in stamps:
                continue
            try:
                image = picture.decode()
            except ImageError as error:
                problems.note(
                    f"a picture cannot be decoded, at stamp {seconds_text(picture.stamp_ns)}: {error}", kind="image"
                )
                continue
            yield RecordedFrame(index, picture.stamp_ns, image, picture.frame_id, picture.received_ns)
            index += 1
        if index == 0 and start_ns is None and stop_ns is None and stamps is None:
            raise RecordingError(
                f"recording {self.path}: no picture in it can be read: {'; '.join(self.problems) or 'it has none'}"
            )


def image_topics(path: Path) -> dict[str, str]:
    """The image topics of a bag with their types; empty for a video. Raises RecordingError for an unreadable bag."""
    return topics_of_types(path, IMAGE_TYPES)


def open_recording(path: Path, topic: str | None = None) -> Recording:
    """Opens a bag (its folder or a file of it) or a video.

    topic: the bag's image topic; without it, the only one that has pictures. A video has none and ignores it.
    Raises RecordingError for a path that is neither, for a bag of which nothing can be read, and for one that has no
    such topic, or no image topic, or several to choose from.
    """
    problems = ReadingProblems()
    if not is_recorded_bag(path):
        with _open_video(path) as video:
            count = video.frame_count
        return Recording(path, "", count, lambda noted: _video_pictures(path, noted), problems)
    bag = open_recorded_bag(path, problems)
    chosen = choose_topic(bag, topic, IMAGE_TYPES, "image", "sensor_msgs/Image or CompressedImage")
    check_readable(bag, chosen, problems)
    return Recording(path, chosen.name, chosen.count, lambda noted: _bag_pictures(bag, chosen, noted), problems)


# --- pictures in their order ---


def _in_order(pictures: Iterator[_Picture], problems: ReadingProblems) -> Iterator[_Picture]:
    """Puts pictures in the order of their stamps as the module states it."""
    held: list[tuple[int, int, _Picture]] = []
    given: int | None = None  # the newest stamp that has left
    newest: int | None = None  # the newest stamp that has come
    for number, picture in enumerate(pictures):
        stamp = picture.stamp_ns
        if newest is not None and stamp < newest - RESTART_NS:
            problems.note(
                f"stamps leap back by {(newest - stamp) / NANOSECONDS:.3f} s to {seconds_text(stamp)}: "
                "a restarted camera or a looped bag; states begin anew there",
                lost=False,
                kind="restart",
            )
            yield from (heapq.heappop(held)[2] for _ in range(len(held)))
            given = newest = None
        if stamp == given or any(stamp == other for other, *_ in held):
            problems.note(
                f"a second picture with the stamp {seconds_text(stamp)} is left out", lost=False, kind="duplicate"
            )
            continue
        if given is not None and stamp < given:
            problems.note(
                f"a picture with the stamp {seconds_text(stamp)} comes too late to be put in its place; left out",
                kind="late",
            )
            continue
        if newest is not None and stamp < newest:
            problems.note(
                f"a picture with the stamp {seconds_text(stamp)} comes after later ones; put in its place",
                lost=False,
                kind="moved",
            )
        newest = stamp if newest is None else max(newest, stamp)
        heapq.heappush(held, (stamp, number, picture))
        if len(held) > REORDER_WINDOW:
            given, _, first = heapq.heappop(held)
            yield first
    yield from (heapq.heappop(held)[2] for _ in range(len(held)))


def _bag_pictures(bag: Bag, topic: StoredTopic, problems: ReadingProblems) -> Iterator[_Picture]:
    for received_ns, data in bag.messages(topic.name, problems):
        try:
            message = parse_message(data, topic.type)
        except MessageError as error:
            problems.note(f"topic {topic.name}: a message cannot be read: {error}", kind="message")
            continue
        stamp_ns = stamp_of(message.header)
        if stamp_ns is None:
            text = f"topic {topic.name}: pictures without a stamp in their header have the time of their receipt"
            problems.note(text, lost=False)
            stamp_ns = received_ns
        yield _Picture(stamp_ns, received_ns, message.header.frame_id, _decoder(message))


def _decoder(message: Any) -> Callable[[], np.ndarray]:
    return lambda: decode_image(message)


def _video_pictures(path: Path, problems: ReadingProblems) -> Iterator[_Picture]:
    with _open_video(path) as video:
        frames, declared = 0, video.frame_count
        try:
            for seconds, image in video:
                frames += 1
                stamp_ns = round(seconds * NANOSECONDS)
                yield _Picture(stamp_ns, stamp_ns, "", _given(image))
        except VideoError as error:
            problems.note(str(error))
        if declared is not None and frames < _COMPLETE_SHARE * declared:
            problems.note(f"video {path.name}: declares {declared} frames, of which {frames} could be read")


def _given(image: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: image


def _open_video(path: Path) -> Video:
    try:
        return open_video(path)
    except VideoError as error:
        raise RecordingError(f"recording {path}: {error}") from error

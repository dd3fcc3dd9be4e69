"""Identify a recording by its images, wherever it lies and whatever else is recorded with them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ast_net_ros.bags.message_types import IMAGE_TYPES
from ast_net_ros.bags.paths import RecordingError, is_recorded_bag
from ast_net_ros.bags.storage import ReadingProblems
from ast_net_ros.bags.topics import open_topic
from ast_net_ros.ratings import file_sha256


def recording_sha256(path: Path, topic: str | None = None) -> str:
    """Return the SHA-256 of a video's file, or of the messages of a bag's image topic in the order of their arrival.

    That of a bag stays the same when topics are added, and when it is split, compressed or stored in another format.

    Args:
        path: The bag or video.
        topic: Image topic of the bag; None takes the only one.

    Raises:
        RecordingError: The recording cannot be read, or the topic is missing or ambiguous.
    """
    if not is_recorded_bag(path):
        return file_sha256(path)
    problems = ReadingProblems()
    bag, chosen = open_topic(path, topic, IMAGE_TYPES, problems)
    digest, count = hashlib.sha256(), 0
    for _, data in bag.messages(chosen.name, problems):
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
        count += 1
    if not count:
        raise RecordingError(f"recording {path}: no image in it can be read: {'; '.join(problems.texts())}")
    return digest.hexdigest()

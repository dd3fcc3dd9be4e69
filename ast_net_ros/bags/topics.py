"""Choosing a topic of a bag and reading the stamps of its messages.

In: a bag's path and what is sought. Out: the bag, the topic, or a RecordingError that lists what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ast_net_ros.bags.message_types import MessageError, definition_fault
from ast_net_ros.bags.paths import RecordingError, is_recorded_bag
from ast_net_ros.bags.reader import Bag, open_bag
from ast_net_ros.bags.storage import ReadingProblems, StorageError, StoredTopic

NANOSECONDS = 1_000_000_000


def open_recorded_bag(path: Path, problems: ReadingProblems) -> Bag:
    """The bag at `path`. Raises RecordingError when nothing of it can be read."""
    try:
        return open_bag(path, problems)
    except StorageError as error:
        raise RecordingError(str(error)) from error


def topics_of_types(path: Path, types: Sequence[str]) -> dict[str, str]:
    """The topics of these types in a bag, with their types; empty for a video."""
    if not is_recorded_bag(path):
        return {}
    bag = open_recorded_bag(path, ReadingProblems())
    return {topic.name: topic.type for topic in bag.topics if topic.type in types}


def choose_topic(bag: Bag, wanted: str | None, types: Sequence[str], what: str, needed: str) -> StoredTopic:
    """The topic of the wanted name, or the only one of these types that has messages."""
    of_types = [topic for topic in bag.topics if topic.type in types]
    if wanted is not None:
        for topic in bag.topics:
            if topic.name == wanted and topic.type in types:
                return topic
        raise RecordingError(
            f"recording {bag.path}: no {what} topic {wanted!r}; it has {_listed(of_types or bag.topics)}"
        )
    with_messages = [topic for topic in of_types if topic.count != 0]
    if len(with_messages) == 1:
        return with_messages[0]
    if with_messages:
        raise RecordingError(
            f"recording {bag.path}: several {what} topics, choose one by name: {_listed(with_messages)}"
        )
    if of_types:
        raise RecordingError(f"recording {bag.path}: its {what} topics have no messages: {_listed(of_types)}")
    raise RecordingError(f"recording {bag.path}: no {what} topic ({needed}); it has {_listed(bag.topics)}")


def _listed(topics: Sequence[StoredTopic]) -> str:
    texts = [
        f"{topic.name[:200]} ({topic.type[:100]}, {'?' if topic.count is None else topic.count} messages)"
        for topic in topics
    ]
    return (
        ", ".join(texts[:20]) + (f" and {len(texts) - 20} more" if len(texts) > 20 else "") if texts else "none at all"
    )


def check_readable(bag: Bag, topic: StoredTopic, problems: ReadingProblems) -> None:
    if topic.serialization != "cdr":
        raise RecordingError(
            f"recording {bag.path}: topic {topic.name} has the serialization {topic.serialization[:40]!r}; "
            "only cdr can be read"
        )
    try:
        fault = definition_fault(topic.type, topic.definition)
    except MessageError as error:
        raise RecordingError(f"recording {bag.path}: topic {topic.name}: {error}") from error
    if fault:
        problems.note(f"topic {topic.name}: {fault}", lost=False)


def stamp_of(header: Any) -> int | None:
    """A header's stamp in nanoseconds; None where it says nothing: 0, or no time at all."""
    seconds, nanoseconds = header.stamp.sec, header.stamp.nanosec
    if seconds < 0 or nanoseconds >= NANOSECONDS or (seconds, nanoseconds) == (0, 0):
        return None
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def seconds_text(stamp_ns: int) -> str:
    return f"{stamp_ns // NANOSECONDS}.{stamp_ns % NANOSECONDS:09d}"

"""Choose a topic of a bag and read the stamps of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ast_net_ros.bags.message_types import MessageError, definition_fault
from ast_net_ros.bags.paths import RecordingError
from ast_net_ros.bags.reader import Bag, open_bag
from ast_net_ros.bags.storage import ReadingProblems, StorageError, StoredTopic

NANOSECONDS = 1_000_000_000


def open_recorded_bag(path: Path, problems: ReadingProblems) -> Bag:
    """Open a bag. RecordingError: nothing in it can be read."""
    try:
        return open_bag(path, problems)
    except StorageError as error:
        raise RecordingError(str(error)) from error


def choose_topic(bag: Bag, wanted: str | None, types: Sequence[str], what: str, type_names: str) -> StoredTopic:
    """Choose the topic named `wanted`, or the only one of these types that has messages.

    `what` and `type_names` describe it in the error message, a RecordingError that lists what the bag has.
    """
    of_types = [topic for topic in bag.topics if topic.type in types]
    if wanted is not None:
        for topic in of_types:
            if topic.name == wanted:
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
    raise RecordingError(f"recording {bag.path}: no {what} topic ({type_names}); it has {_listed(bag.topics)}")


def _listed(topics: Sequence[StoredTopic]) -> str:
    texts = [
        f"{topic.name[:200]} ({topic.type[:100]}, {'?' if topic.count is None else topic.count} messages)"
        for topic in topics
    ]
    more = f" and {len(texts) - 20} more" if len(texts) > 20 else ""
    return ", ".join(texts[:20]) + more if texts else "no topics"


def check_readable(bag: Bag, topic: StoredTopic, problems: ReadingProblems) -> None:
    """Raise RecordingError if the messages are not CDR or their embedded definition differs from ours."""
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
    """Return a header's stamp in nanoseconds; None if it is 0 or invalid."""
    seconds, nanoseconds = header.stamp.sec, header.stamp.nanosec
    if seconds < 0 or nanoseconds >= NANOSECONDS or (seconds, nanoseconds) == (0, 0):
        return None
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def seconds_text(stamp_ns: int) -> str:
    """Format a stamp as seconds with nine decimals."""
    return f"{stamp_ns // NANOSECONDS}.{stamp_ns % NANOSECONDS:09d}"

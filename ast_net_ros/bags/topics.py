"""Choose a topic of a bag and read the stamps of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ast_net_ros.bags.message_types import AFFECT_TYPES, IMAGE_TYPES, MessageError, definition_fault
from ast_net_ros.bags.reader import Bag, open_bag
from ast_net_ros.bags.storage import ReadingProblems, RecordingError, StoredTopic

NANOSECONDS = 1_000_000_000


def open_topic(
    path: Path, wanted: str | None, types: tuple[str, str], problems: ReadingProblems
) -> tuple[Bag, StoredTopic]:
    """Open a bag and choose the topic named `wanted`, or the only one with messages.

    Args:
        path: The bag.
        wanted: Name of the topic, or None.
        types: IMAGE_TYPES or AFFECT_TYPES.
        problems: Gets what cannot be read as expected.

    Raises:
        RecordingError: Nothing in the bag can be read, the topic is missing or ambiguous, its messages are not CDR, or
            their embedded definition differs from ours.
    """
    bag = open_bag(path, problems)
    topic = _choose_topic(bag, wanted, types)
    if topic.serialization != "cdr":
        raise RecordingError(
            f"recording {path}: topic {topic.name} has the serialization {topic.serialization[:40]!r}; "
            "only cdr can be read"
        )
    try:
        fault = definition_fault(topic.type, topic.definition)
    except MessageError as error:
        raise RecordingError(f"recording {path}: topic {topic.name}: {error}") from error
    if fault:
        problems.note(f"topic {topic.name}: {fault}", lost=False)
    return bag, topic


def _choose_topic(bag: Bag, wanted: str | None, types: tuple[str, str]) -> StoredTopic:
    what, type_names = {
        IMAGE_TYPES: ("image", "sensor_msgs/Image or CompressedImage"),
        AFFECT_TYPES: ("valence and arousal", " or ".join(AFFECT_TYPES)),
    }[types]
    of_types = [topic for topic in bag.topics if topic.type in types]
    found = [topic for topic in of_types if (topic.count != 0 if wanted is None else topic.name == wanted)]
    if found and (wanted is not None or len(found) == 1):
        return found[0]
    if wanted is not None:
        reason = f"no {what} topic {wanted!r}; it has {_listed(of_types or bag.topics)}"
    elif found:
        reason = f"several {what} topics, choose one by name: {_listed(found)}"
    elif of_types:
        reason = f"its {what} topics have no messages: {_listed(of_types)}"
    else:
        reason = f"no {what} topic ({type_names}); it has {_listed(bag.topics)}"
    raise RecordingError(f"recording {bag.path}: {reason}")


def _listed(topics: Sequence[StoredTopic]) -> str:
    texts = [f"{t.name[:200]} ({t.type[:100]}, {'?' if t.count is None else t.count} messages)" for t in topics]
    more = f" and {len(texts) - 20} more" if len(texts) > 20 else ""
    return ", ".join(texts[:20]) + more if texts else "no topics"


def stamp_of(header: Any) -> int | None:
    """Return a header's stamp in nanoseconds; None if it is 0 or invalid."""
    seconds, nanoseconds = header.stamp.sec, header.stamp.nanosec
    if seconds < 0 or nanoseconds >= NANOSECONDS or (seconds, nanoseconds) == (0, 0):
        return None
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def seconds_text(stamp_ns: int) -> str:
    """Format a stamp as seconds with nine decimals."""
    return f"{stamp_ns // NANOSECONDS}.{stamp_ns % NANOSECONDS:09d}"

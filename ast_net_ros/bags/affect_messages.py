"""Read valence and arousal messages from a bag: ground truth that an annotation tool recorded along with the images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ast_net_ros.bags.message_types import AFFECT_ARRAY, AFFECT_TYPES, MessageError, parse_message
from ast_net_ros.bags.paths import RecordingError, is_recorded_bag
from ast_net_ros.bags.reader import open_bag
from ast_net_ros.bags.storage import ReadingProblems
from ast_net_ros.bags.topics import open_topic, stamp_of


def affect_topics(path: Path) -> dict[str, str]:
    """Return the topics of a bag that carry valence and arousal, with their types; none for a video."""
    if not is_recorded_bag(path):
        return {}
    topics = open_bag(path, ReadingProblems()).topics
    return {topic.name: topic.type for topic in topics if topic.type in AFFECT_TYPES}


@dataclass(frozen=True)
class AffectLabels:
    """Valence and arousal messages of one topic of a bag, N of them."""

    topic: str
    stamps_ns: np.ndarray  # N int64, not decreasing
    face_ids: list[str]  # N face ids, as in the messages
    values: np.ndarray  # N x 2 float64 (valence, arousal), finite and in [-1, 1]
    problems: list[str]


def read_affect_labels(path: Path, topic: str | None = None) -> AffectLabels:
    """Read the ValenceArousal messages of a topic, or the faces of its ValenceArousalArray messages.

    None takes the only topic with such messages; RecordingError if there is none or a choice.
    """
    problems = ReadingProblems()
    if not is_recorded_bag(path):
        raise RecordingError(f"recording {path}: not a bag, so it has no label topic; name a label file")
    bag, chosen = open_topic(path, topic, AFFECT_TYPES, problems)
    rows: list[tuple[int, str, float, float]] = []
    for received_ns, data in bag.messages(chosen.name, problems):
        try:
            message = parse_message(data, chosen.type)
        except MessageError as error:
            problems.note(f"topic {chosen.name}: a label cannot be read: {error}", kind="message")
            continue
        for face in message.faces if chosen.type == AFFECT_ARRAY else [message]:
            # A face in an array may lack the stamp that the array has.
            stamp_ns = stamp_of(face.header) or stamp_of(message.header)
            if stamp_ns is None:
                problems.note(f"topic {chosen.name}: labels without a stamp get their receive time", lost=False)
            if not (abs(face.valence) <= 1 and abs(face.arousal) <= 1):  # also true for NaN
                text = f"topic {chosen.name}: label ({face.valence}, {face.arousal}) is outside [-1, 1]; ignored"
                problems.note(text, kind="range")
                continue
            rows.append((stamp_ns or received_ns, face.face_id, face.valence, face.arousal))
    rows.sort(key=lambda row: row[0])
    return AffectLabels(
        topic=chosen.name,
        stamps_ns=np.array([row[0] for row in rows], np.int64),
        face_ids=[row[1] for row in rows],
        values=np.array([row[2:] for row in rows], np.float64).reshape(-1, 2),
        problems=problems.texts(),
    )

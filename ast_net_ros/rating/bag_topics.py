"""Ratings as topics of a bag: valence and arousal for everything that reads bags, and their description beside them.

The topics are /ratings/RATER/FACE with a ValenceArousal message for each moment that is rated, stamped on the clock of
the images, and /ratings/RATER/FACE/info with the content of the JSON file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from rosbags.convert import ConverterError, convert
from rosbags.rosbag2 import StoragePlugin, Writer

from ast_net_ros.bags.affect_messages import read_affect_labels
from ast_net_ros.bags.message_types import AFFECT, full_definition, parse_message, typestore
from ast_net_ros.bags.paths import is_recorded_bag
from ast_net_ros.bags.reader import open_bag
from ast_net_ros.bags.storage import MCAP, ReadingProblems, storage_format
from ast_net_ros.bags.topics import NANOSECONDS
from ast_net_ros.bags.writer import face_message
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.rating.errors import RatingError
from ast_net_ros.ratings import RATING_RATE, Ratings, checked_name, info_text, parse_info

_PREFIX, _INFO = "/ratings/", "/info"
_STRING = "std_msgs/msg/String"
_VERSION: Literal[9] = 9  # of rosbag2's metadata, as Jazzy writes it


def rating_topic(rater: str, face: str) -> str:
    """Return the topic of one rater's ratings of one face."""
    return f"{_PREFIX}{checked_name(rater, 'rater')}/{checked_name(face, 'face')}"


def copy_with_ratings(bag: Path, ratings: Sequence[Ratings], output: Path) -> None:
    """Write a copy of a bag with ratings added as topics; the bag itself stays as it is.

    Args:
        bag: The bag that was rated, a folder or a file.
        ratings: Of this bag, as `check_rated_recording` finds out; one for each rater and face.
        output: Folder of the copy; it must not exist.

    Raises:
        RatingError: The bag is a video, damaged, or has such topics already, or `output` exists.
    """
    _check_bag(bag)
    if output.exists():
        raise RatingError(f"bag {output}: exists already; name a new folder")
    opened = open_bag(bag, ReadingProblems())
    topics = {rating_topic(one.info.rater, one.info.face) for one in ratings}
    there = sorted(topics & {topic.name for topic in opened.topics})
    if there:
        raise RatingError(f"bag {bag}: has the topic {', '.join(there)} already; start from the bag without it")
    storage = "mcap" if storage_format(opened.files[0]) == MCAP else "sqlite3"
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unfinished-", dir=output.parent) as folder:
        added, copy = Path(folder) / "ratings", Path(folder) / output.name
        _write(added, ratings)
        try:
            convert([bag, added], copy, storage, _VERSION, None, "none", typestore(), None, (), (), (), ())
        except ConverterError as error:
            raise RatingError(f"bag {bag}: cannot be copied ({error}); repair it with `ros2 bag reindex`") from error
        copy.rename(output)


def ratings_in_bag(bag: Path) -> list[Ratings]:
    """Read the ratings that `copy_with_ratings` added; none if there are none.

    Raises:
        RatingError: It is a video.
        RecordingError: The bag cannot be read.
        DataError: The description of ratings is damaged.
    """
    _check_bag(bag)
    problems = ReadingProblems()
    opened = open_bag(bag, problems)
    found = []
    for topic in opened.topics:
        if topic.name.startswith(_PREFIX) and topic.name.endswith(_INFO) and topic.type == _STRING:
            text = next((parse_message(data, _STRING).data for _, data in opened.messages(topic.name, problems)), "")
            info = parse_info(text, f"bag {bag}, topic {topic.name}")
            labels = read_affect_labels(bag, rating_topic(info.rater, info.face))
            number = np.rint((labels.stamps_ns - info.first_stamp_ns) * (RATING_RATE / NANOSECONDS)).astype(int)
            inside = (number >= 0) & (number <= info.duration_seconds * RATING_RATE + 0.5)
            values = np.full((int(number[inside].max(initial=-1)) + 1, 2), np.nan)
            values[number[inside]] = labels.values[inside]
            found.append(Ratings(info, np.arange(len(values)) / RATING_RATE, values, tuple(labels.problems)))
    return found


def _check_bag(path: Path) -> None:
    if not is_recorded_bag(path):
        raise RatingError(f"recording {path}: a video has no topics; its ratings are the CSV files")


def _write(path: Path, ratings: Sequence[Ratings]) -> None:
    """Write a bag of ratings alone."""
    store = typestore()
    with Writer(path, version=_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        for one in ratings:
            topic = rating_topic(one.info.rater, one.info.face)
            rated, about = (
                writer.add_connection(name, kind, msgdef=full_definition(kind), rihs01=store.hash_rihs01(kind))
                for name, kind in ((topic, AFFECT), (topic + _INFO, _STRING))
            )
            info = store.types[_STRING](info_text(one.info))
            writer.write(about, one.info.first_stamp_ns, store.serialize_cdr(info, _STRING))
            for stamp_ns, message in _messages(one, store.types):
                writer.write(rated, stamp_ns, store.serialize_cdr(message, AFFECT))


def _messages(ratings: Ratings, types: Any) -> Iterator[tuple[int, Any]]:
    """Yield (stamp, ValenceArousal) of each moment with both values."""
    for seconds, (valence, arousal) in zip(ratings.times.tolist(), ratings.values.tolist()):
        if valence != valence or arousal != arousal:  # NaN
            continue
        stamp_ns = ratings.info.first_stamp_ns + round(seconds * NANOSECONDS)
        header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, NANOSECONDS)), "")
        # A rater gives no emotion and no box.
        face = FaceAffect(ratings.info.face, (0.0,) * 4, valence, arousal, 1.0, (1 / 8,) * 8, 0.0, quality=1.0)
        yield stamp_ns, face_message(header, ratings.info.topic, face)

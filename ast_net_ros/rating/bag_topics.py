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
from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.bags.message_types import AFFECT, full_definition, parse_message, typestore
from ast_net_ros.bags.names import recording_name
from ast_net_ros.bags.paths import is_recorded_bag
from ast_net_ros.bags.reader import open_bag
from ast_net_ros.bags.storage import MCAP, ReadingProblems, storage_format
from ast_net_ros.bags.topics import NANOSECONDS
from ast_net_ros.bags.writer import face_message
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.rating import RatingError
from ast_net_ros.ratings import (
    RATING_RATE,
    RatingInfo,
    Ratings,
    check_rated_recording,
    checked_name,
    find_ratings,
    info_text,
    parse_info,
    rating_rows,
    ratings_path,
    read_ratings,
    write_ratings,
)

_INFO = "/info"
_STRING = "std_msgs/msg/String"
_VERSION: Literal[9] = 9  # of rosbag2's metadata, as Jazzy writes it


def _rating_topic(info: RatingInfo) -> str:
    return f"/ratings/{checked_name(info.rater, 'rater')}/{checked_name(info.face, 'face')}"


def copy_with_ratings(bag: Path, topic: str | None, folder: Path, rater: str | None, output: Path) -> int:
    """Write a copy of a bag to `output`, with the ratings in `folder` of all raters or one as topics; return how many.

    The bag itself stays as it is. RatingError: there are no such ratings, `output` exists, or the bag is a video,
    damaged, or has such topics already. DataError: the ratings are damaged or of other images than those of `topic`.
    """
    name = recording_name(bag)
    paths = [path for path in find_ratings([folder]) if path.name.startswith(f"{name}.{rater or ''}")]
    ratings = [one for one in map(read_ratings, paths) if rater in (None, one.info.rater)]
    if not ratings:
        raise RatingError(f"ratings {folder}: none of {name}{f' by {rater}' if rater else ''}")
    digest = recording_sha256(bag, topic)
    for one in ratings:
        check_rated_recording(one.info, digest, bag)
    _check_bag(bag)
    if output.exists():
        raise RatingError(f"bag {output}: exists already; name a new folder")
    opened = open_bag(bag, ReadingProblems())
    topics = {_rating_topic(one.info) for one in ratings}
    there = sorted(topics & {topic.name for topic in opened.topics})
    if there:
        raise RatingError(f"bag {bag}: has the topic {', '.join(there)} already; start from the bag without it")
    storage = "mcap" if storage_format(opened.files[0]) == MCAP else "sqlite3"
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unfinished-", dir=output.parent) as scratch:
        added, copy = Path(scratch) / "ratings", Path(scratch) / output.name
        _write(added, ratings)
        try:
            convert([bag, added], copy, storage, _VERSION, None, "none", typestore(), None, (), (), (), ())
        except ConverterError as error:
            raise RatingError(f"bag {bag}: cannot be copied ({error}); repair it with `ros2 bag reindex`") from error
        copy.rename(output)
    return len(ratings)


def extract_ratings(bag: Path, topic: str | None, folder: Path, rater: str | None) -> list[Path]:
    """Write the files of the ratings that `copy_with_ratings` added, of all raters or one; return the CSVs' paths.

    RatingError: there are no such ratings, their files exist already, or the bag is a video. RecordingError: the bag
    cannot be read. DataError: the description of ratings is damaged, or they are of other images.
    """
    found = [one for one in _ratings_in(bag) if rater in (None, one.info.rater)]
    if not found:
        raise RatingError(f"bag {bag}: has no topic /ratings/{rater or 'RATER'}/FACE with its info")
    digest = recording_sha256(bag, topic)
    paths = [ratings_path(folder, recording_name(bag), one.info.rater, one.info.face) for one in found]
    there = next((path for path in paths if path.exists()), None)
    if there:
        raise RatingError(f"ratings {there}: exist already; name another folder with --output")
    for path, one in zip(paths, found):
        check_rated_recording(one.info, digest, bag)
        write_ratings(path, one.info, rating_rows(one.times, one.values))
    return paths


def _ratings_in(bag: Path) -> list[Ratings]:
    _check_bag(bag)
    problems = ReadingProblems()
    opened = open_bag(bag, problems)
    found = []
    for topic in opened.topics:
        if topic.name.startswith("/ratings/") and topic.name.endswith(_INFO) and topic.type == _STRING:
            text = next((parse_message(data, _STRING).data for _, data in opened.messages(topic.name, problems)), "")
            info = parse_info(text, f"bag {bag}, topic {topic.name}")
            labels = read_affect_labels(bag, _rating_topic(info))
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
            topic = _rating_topic(one.info)
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

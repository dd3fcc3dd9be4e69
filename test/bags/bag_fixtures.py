"""Bags for tests, made of video frames: every storage and compression, raw and JPEG, split, with labels.

In: a video of the media folder, or messages. Out: a rosbag2 folder as `ros2 bag record` leaves it. Tests get this
module from the fixture `bags`: `bags.video_bag(tmp_path / "session", media / "single_face.mp4", storage="mcap")`.
"""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from ruamel.yaml import YAML

from ast_net_ros.vision.video import open_video

START_NS = 1_760_000_000_123_456_789
"""Header stamp of the first image."""
DELAY_NS = 7_000_000
"""How much later than its stamp a image reached the recorder."""
TOPIC = "/camera/image_raw"
LABELS = "/annotator/valence_arousal"

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
AFFECT, AFFECT_ARRAY = "ast_net_ros/msg/ValenceArousal", "ast_net_ros/msg/ValenceArousalArray"

Recorded = tuple[str, int, Any]
"""(topic, receive time in nanoseconds, message)"""


def _typestore() -> Any:
    store = get_typestore(Stores.ROS2_HUMBLE)
    folder = Path(__file__).parents[2] / "msg"
    for name in (AFFECT, AFFECT_ARRAY):
        store.register(get_types_from_msg((folder / f"{name.split('/')[-1]}.msg").read_text(), name))
    return store


STORE = _typestore()


def header(stamp_ns: int, frame_id: str = "camera") -> Any:
    """std_msgs/Header."""
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    return STORE.types["std_msgs/msg/Header"](time, frame_id)


def image_message(image: np.ndarray, stamp_ns: int, frame_id: str = "camera", padding: int = 0) -> Any:
    """sensor_msgs/Image in bgr8 of an H x W x 3 image; padding: unused bytes at the end of each row."""
    height, width, _ = image.shape
    rows = np.pad(image.reshape(height, width * 3), ((0, 0), (0, padding)))
    fields = (header(stamp_ns, frame_id), height, width, "bgr8", 0, width * 3 + padding, rows.reshape(-1))
    return STORE.types[IMAGE](*fields)


def jpeg_message(image: np.ndarray, stamp_ns: int, frame_id: str = "camera", quality: int = 95) -> Any:
    """sensor_msgs/CompressedImage as image_transport writes it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return STORE.types[COMPRESSED](header(stamp_ns, frame_id), "bgr8; jpeg compressed bgr8", data.reshape(-1))


def affect_message(stamp_ns: int, valence: float, arousal: float, face_id: str = "person") -> Any:
    """ast_net_ros/ValenceArousal, as an annotation tool would write it."""
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    emotions = np.full(8, 0.125, np.float32)
    values = (header(stamp_ns), face_id, roi, valence, arousal, 1.0, emotions, 0.0)
    kind = STORE.types[AFFECT]
    later = [field.name for field in fields(kind) if field.default is MISSING][len(values) :]
    others: dict[str, Any] = {name: "" if name in ("source", "person_id") else 0.0 for name in later}
    others |= {"landmarks": np.zeros(10, np.float32), "head_pose_sigma": np.zeros(3, np.float32)}
    return kind(*values, **others)


def affect_array_message(stamp_ns: int, faces: Sequence[Any]) -> Any:
    """ast_net_ros/ValenceArousalArray of messages made by `affect_message`."""
    return STORE.types[AFFECT_ARRAY](header(stamp_ns), TOPIC, list(faces), 0, 0)


def video_messages(
    video: Path, topic: str = TOPIC, jpeg: bool = False, frames: int | None = None, start_ns: int = START_NS
) -> Iterator[Recorded]:
    """The first `frames` images of a video (all: None), with the stamps that `ast_net annotate` gives them."""
    make = jpeg_message if jpeg else image_message
    with open_video(video) as images:
        for index, (seconds, image) in enumerate(images):
            if frames is not None and index >= frames:
                return
            stamp_ns = start_ns + round(seconds * 1e9)
            yield topic, stamp_ns + DELAY_NS, make(image, stamp_ns)


def label_messages(values: Iterable[tuple[float, float, float]], topic: str = LABELS) -> Iterator[Recorded]:
    """Labels from (seconds after START_NS, valence, arousal)."""
    for seconds, valence, arousal in values:
        stamp_ns = START_NS + round(seconds * 1e9)
        yield topic, stamp_ns, affect_message(stamp_ns, valence, arousal)


def video_bag(
    path: Path,
    video: Path,
    storage: str = "mcap",
    compression: str = "none",
    jpeg: bool = False,
    frames: int | None = None,
    split: int | None = None,
    labels: Iterable[tuple[float, float, float]] = (),
    topics: Sequence[str] = (TOPIC,),
) -> Path:
    """A bag of a video's images, on each of `topics`, with labels of (seconds, valence, arousal); see `write_bag`."""
    images = [video_messages(video, topic, jpeg, frames) for topic in topics]
    recorded = heapq.merge(*images, label_messages(labels), key=lambda one: one[1])
    return write_bag(path, recorded, storage, compression, split)


def write_bag(
    path: Path, recorded: Iterable[Recorded], storage: str = "mcap", compression: str = "none", split: int | None = None
) -> Path:
    """Writes the rosbag2 folder `path` and returns it.

    storage: mcap or sqlite3. compression: none, file or message (zstd), or storage (zstd inside MCAP).
    split: messages in a file; more go on in the next.
    """
    if split is None:
        _write_file(path, recorded, storage, compression)
        return path
    recorded = list(recorded)
    parts = [recorded[start : start + split] for start in range(0, len(recorded), split)]
    path.mkdir(parents=True)
    metadata: dict[str, Any] = {}
    for number, part in enumerate(parts):
        part_path = path / f"{path.name}_{number}"
        _write_file(part_path, part, storage, compression)
        _append_metadata(metadata, YAML(typ="safe").load(part_path / "metadata.yaml"))
        (part_path / "metadata.yaml").unlink()
        for file in part_path.iterdir():
            shutil.move(file, path / file.name)
        part_path.rmdir()
    YAML(typ="safe").dump(metadata, path / "metadata.yaml")
    return path


def _write_file(path: Path, recorded: Iterable[Recorded], storage: str, compression: str) -> None:
    plugin = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}[storage]
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression != "none":
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, received_ns, message in recorded:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], received_ns, STORE.serialize_cdr(message, kind))


def _append_metadata(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Joins a further file's metadata to that of the files before it, as rosbag2 writes it for a split bag."""
    if not whole:
        whole.update(part)
        return
    one, other = whole["rosbag2_bagfile_information"], part["rosbag2_bagfile_information"]
    one["relative_file_paths"] += other["relative_file_paths"]
    one["files"] += other["files"]
    one["message_count"] += other["message_count"]
    start = other["starting_time"]["nanoseconds_since_epoch"]
    end = start + other["duration"]["nanoseconds"]
    one["duration"]["nanoseconds"] = end - one["starting_time"]["nanoseconds_since_epoch"]
    counts = {topic["topic_metadata"]["name"]: topic for topic in one["topics_with_message_count"]}
    for topic in other["topics_with_message_count"]:
        known = counts.get(topic["topic_metadata"]["name"])
        if known is None:
            one["topics_with_message_count"].append(topic)
        else:
            known["message_count"] += topic["message_count"]

"""Write estimates as a bag: ast_net_ros/ValenceArousalArray messages in one MCAP file, without ROS.

The message definitions are embedded, so Foxglove, PlotJuggler and `ros2 bag play` can open the file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.bags.message_types import AFFECT, AFFECT_ARRAY, full_definition, typestore
from ast_net_ros.bags.topics import NANOSECONDS
from ast_net_ros.face_affect import FaceAffect, HeadPose

FACES_TOPIC = "/ast_net/faces"
"""The topic on which a node with the default name publishes its estimates."""

_LAST_SECOND = 2**31 - 1  # builtin_interfaces/Time holds seconds as int32


class BagWritingError(ValueError):
    """A path or an estimate that cannot be written as a bag; the message names it and the fix."""


class AffectBag:
    """An open bag with one topic, FACES_TOPIC; created by `affect_bag`."""

    def __init__(self, writer: Writer):
        self._writer = writer
        store = typestore()
        self._types: dict[str, Any] = store.types
        self._connection = writer.add_connection(
            FACES_TOPIC, AFFECT_ARRAY, msgdef=full_definition(AFFECT_ARRAY), rihs01=store.hash_rihs01(AFFECT_ARRAY)
        )

    def write(
        self,
        stamp_ns: int,
        frame_id: str,
        source: str,
        faces: Iterable[FaceAffect],
        image_size: tuple[int, int] = (0, 0),
    ) -> None:
        """Add the message of one frame as the node publishes it; an empty one if there are no faces.

        `source` is the image topic, or the path of a video; `image_size` is width and height in pixels, 0 if unknown.
        BagWritingError: a message cannot hold the stamp, or an estimate is not finite.
        """
        seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
        if not 0 <= seconds <= _LAST_SECOND:
            raise BagWritingError(
                f"stamp {stamp_ns} ns: a message can hold 0 to {_LAST_SECOND} seconds; check the recording"
            )
        header = self._types["std_msgs/msg/Header"](
            self._types["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id
        )
        message = self._types[AFFECT_ARRAY](
            header, source, [face_message(header, source, face) for face in faces], *image_size
        )
        self._writer.write(self._connection, stamp_ns, typestore().serialize_cdr(message, AFFECT_ARRAY))


@contextmanager
def affect_bag(path: Path) -> Iterator[AffectBag]:
    """Open an .mcap file for writing; it appears, or replaces an earlier one, when the block succeeds."""
    # The stem names a temporary folder, which must not be "..".
    if path.suffix != ".mcap" or path.stem in (".", ".."):
        raise BagWritingError(f"bag {path}: the name must end in .mcap, such as {path.parent / 'estimates.mcap'}")
    if path.is_dir():
        raise BagWritingError(f"bag {path}: is a folder; name a file")
    with atomic_dir(path.parent, (path.name,)) as temporary:
        folder = temporary / path.stem
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            yield AffectBag(writer)
        # rosbags writes a folder with metadata.yaml; a single MCAP file holds the same metadata itself.
        (folder / path.name).replace(temporary / path.name)
        shutil.rmtree(folder)


def face_message(header: Any, source: str, face: FaceAffect) -> Any:
    """Return the ValenceArousal message of a face, as the node publishes it.

    BagWritingError: a value is not finite.
    """
    types = typestore().types
    if not face.is_finite:
        raise BagWritingError(f"face {face.face_id}: its estimate has a value that is not finite: {face}")
    pose = face.head_pose or HeadPose(0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    # Rounded to whole pixels; the box lies inside the image already.
    left, right = (max(round(x), 0) for x in (face.box[0], face.box[0] + face.box[2]))
    top, bottom = (max(round(y), 0) for y in (face.box[1], face.box[1] + face.box[3]))
    return types[AFFECT](
        header=header,
        face_id=face.face_id,
        roi=types["sensor_msgs/msg/RegionOfInterest"](left, top, bottom - top, right - left, False),
        valence=min(max(face.valence, -1.0), 1.0),
        arousal=min(max(face.arousal, -1.0), 1.0),
        confidence=min(max(face.confidence, 0.0), 1.0),
        emotions=np.asarray(face.emotions, np.float32),
        state_age=face.state_age,
        valence_sigma=face.valence_sigma,
        arousal_sigma=face.arousal_sigma,
        quality=min(max(face.quality, 0.0), 1.0),
        baseline=min(max(face.baseline, -1.0), 1.0),
        source=source,
        detection_score=min(max(face.detection_score, 0.0), 1.0),
        landmarks=np.asarray(face.landmarks or np.zeros(10), np.float32).ravel(),
        head_roll=pose.roll,
        head_pitch=pose.pitch,
        head_yaw=pose.yaw,
        head_pose_sigma=np.asarray(pose.sigma, np.float32),
        engagement=min(max(face.engagement, 0.0), 1.0),
        person_id=face.person_id,
    )

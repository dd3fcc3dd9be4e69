"""Write estimates as a bag: ast_net_ros/ValenceArousalArray messages in one MCAP file, without ROS.

The message definitions are embedded, so Foxglove, PlotJuggler and `ros2 bag play` can open the file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.bags.message_types import AFFECT, AFFECT_ARRAY, full_definition, typestore
from ast_net_ros.bags.topics import NANOSECONDS
from ast_net_ros.face_affect import FaceAffect, message_fields

FACES_TOPIC = "/ast_net/faces"
"""The topic on which a node with the default name publishes its estimates."""


class BagWritingError(ValueError):
    """A path or an estimate that cannot be written as a bag; the message names it and the fix."""


class AffectBag:
    """An open bag with one topic, FACES_TOPIC; created by `affect_bag`."""

    def __init__(self, writer: Writer):
        self._writer = writer
        definition, type_hash = full_definition(AFFECT_ARRAY), typestore().hash_rihs01(AFFECT_ARRAY)
        self._connection = writer.add_connection(FACES_TOPIC, AFFECT_ARRAY, msgdef=definition, rihs01=type_hash)

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
        types, (seconds, nanoseconds) = typestore().types, divmod(stamp_ns, NANOSECONDS)
        if not 0 <= seconds < 2**31:  # builtin_interfaces/Time holds seconds as int32
            raise BagWritingError(
                f"stamp {stamp_ns} ns: a message can hold 0 to {2**31 - 1} seconds; check the recording"
            )
        header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id)
        messages = [face_message(header, source, face) for face in faces]
        message = types[AFFECT_ARRAY](header, source, messages, *image_size)
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
    # Rounded to whole pixels; the box lies inside the image already.
    left, top = (max(round(start), 0) for start in face.box[:2])
    right, bottom = (max(round(start + size), 0) for start, size in zip(face.box[:2], face.box[2:]))
    roi = types["sensor_msgs/msg/RegionOfInterest"](left, top, bottom - top, right - left, False)
    return types[AFFECT](header=header, roi=roi, source=source, **message_fields(face))

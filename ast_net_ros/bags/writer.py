"""Estimates as a bag: real ast_net_ros/ValenceArousalArray messages in one MCAP file, written without ROS.

In: the faces of each frame with the frame's own stamp, frame_id and source. Out: a file with the definitions embedded,
so that Foxglove, PlotJuggler and `ros2 bag play` open it. It appears whole or not at all.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.bags.message_types import AFFECT, AFFECT_ARRAY, full_definition, typestore
from ast_net_ros.evaluation.estimates import EstimatedFace

FACES_TOPIC = "/ast_net/faces"
"""The topic on which a node of the default name publishes them."""

_NANOSECONDS = 1_000_000_000
_LAST_SECOND = 2**31 - 1  # builtin_interfaces/Time holds seconds as int32


class BagWritingError(ValueError):
    """An estimate or a path of which no bag can be made; the text names thing, value and mend."""


class AffectBag:
    """A bag with one topic, FACES_TOPIC, that is being written; `affect_bag` opens it."""

    def __init__(self, writer: Writer):
        self._writer = writer
        store = typestore()
        self._types: dict[str, Any] = store.types
        self._connection = writer.add_connection(
            FACES_TOPIC, AFFECT_ARRAY, msgdef=full_definition(AFFECT_ARRAY), rihs01=store.hash_rihs01(AFFECT_ARRAY)
        )

    def write(self, stamp_ns: int, frame_id: str, source: str, faces: Iterable[EstimatedFace]) -> None:
        """Adds the message of one frame, without faces an empty one, as the node publishes it.

        stamp_ns, frame_id: of the image's header. source: the image's topic, or the video's path.
        Raises BagWritingError for a stamp that no message can hold and for an estimate that is not finite.
        """
        seconds, nanoseconds = divmod(stamp_ns, _NANOSECONDS)
        if not 0 <= seconds <= _LAST_SECOND:
            raise BagWritingError(
                f"stamp {stamp_ns} ns: a message holds 0 to {_LAST_SECOND} seconds; check the recording"
            )
        header = self._types["std_msgs/msg/Header"](
            self._types["builtin_interfaces/msg/Time"](seconds, nanoseconds), frame_id
        )
        message = self._types[AFFECT_ARRAY](header, source, [self._face(header, face) for face in faces])
        self._writer.write(self._connection, stamp_ns, typestore().serialize_cdr(message, AFFECT_ARRAY))

    def _face(self, header: Any, face: EstimatedFace) -> Any:
        numbers = (*face.box, face.valence, face.arousal, face.confidence, face.state_age, *face.emotions)
        if not all(map(math.isfinite, numbers)):
            raise BagWritingError(f"face {face.face_id}: its estimate has a number that is not finite: {numbers}")
        # Whole pixels, the nearest; the box lies inside the picture already.
        left, right = (max(round(x), 0) for x in (face.box[0], face.box[0] + face.box[2]))
        top, bottom = (max(round(y), 0) for y in (face.box[1], face.box[1] + face.box[3]))
        return self._types[AFFECT](
            header=header,
            face_id=face.face_id,
            roi=self._types["sensor_msgs/msg/RegionOfInterest"](left, top, bottom - top, right - left, False),
            valence=min(max(face.valence, -1.0), 1.0),
            arousal=min(max(face.arousal, -1.0), 1.0),
            confidence=min(max(face.confidence, 0.0), 1.0),
            emotions=np.asarray(face.emotions, np.float32),
            state_age=face.state_age,
        )


@contextmanager
def affect_bag(path: Path) -> Iterator[AffectBag]:
    """`with affect_bag(Path("estimates.mcap")) as bag:` write into `bag`; when the block ends well, the file is there.

    A file of that name is replaced then; when the block fails, it is left alone.
    Raises BagWritingError for a name that does not end in .mcap, and OSError when the folder cannot be written.
    """
    # The stem names a folder on the way, which ".." must not.
    if path.suffix != ".mcap" or path.stem in (".", ".."):
        raise BagWritingError(f"bag {path}: the name must end in .mcap, such as {path.parent / 'estimates.mcap'}")
    if path.is_dir():
        raise BagWritingError(f"bag {path}: is a folder; name a file")
    with atomic_dir(path.parent, (path.name,)) as aside:
        folder = aside / path.stem
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            yield AffectBag(writer)
        # rosbags writes a folder with metadata.yaml; a single MCAP file holds the same metadata itself.
        (folder / path.name).replace(aside / path.name)
        shutil.rmtree(folder)

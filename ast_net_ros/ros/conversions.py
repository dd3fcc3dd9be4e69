"""Between the pipeline's estimates and the package's own messages.

In: FaceAffect records. Out: ValenceArousal and ValenceArousalArray, and back. Values stay within their bounds;
`is_finite` tells what must never become a message.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.pipeline import FaceAffect


def is_finite(face: FaceAffect) -> bool:
    """Whether every number of the estimate is one; what is not must not leave the node."""
    numbers = (face.valence, face.arousal, face.confidence, face.state_age, *face.emotions, *face.box)
    return all(map(math.isfinite, numbers))


def affect_message(header: Header, face: FaceAffect, image_size: tuple[int, int]) -> ValenceArousal:
    """One face as a message. image_size: (width, height) of the picture it was seen in."""
    return ValenceArousal(
        header=header,
        face_id=face.face_id,
        roi=region_of_interest(face.box, image_size),
        valence=_bounded(face.valence, -1.0),
        arousal=_bounded(face.arousal, -1.0),
        confidence=_bounded(face.confidence, 0.0),
        emotions=np.asarray(face.emotions, np.float32),
        state_age=float(face.state_age),
    )


def affect_array(
    header: Header, source: str, faces: Iterable[FaceAffect], image_size: tuple[int, int]
) -> ValenceArousalArray:
    """All faces of one picture of topic `source` as a message; without faces it is empty."""
    return ValenceArousalArray(
        header=header, source=source, faces=[affect_message(header, face, image_size) for face in faces]
    )


def face_affect(message: ValenceArousal) -> FaceAffect:
    """What a received message says, in the pipeline's own form."""
    roi = message.roi
    return FaceAffect(
        face_id=message.face_id,
        box=(float(roi.x_offset), float(roi.y_offset), float(roi.width), float(roi.height)),
        valence=message.valence,
        arousal=message.arousal,
        confidence=message.confidence,
        emotions=tuple(float(value) for value in message.emotions),
        state_age=message.state_age,
    )


def region_of_interest(box: tuple[float, float, float, float], image_size: tuple[int, int]) -> RegionOfInterest:
    """`box` (x, y, width, height) in whole pixels, the nearest that lie inside the picture of (width, height)."""
    left, right = (min(max(round(x), 0), image_size[0]) for x in (box[0], box[0] + box[2]))
    top, bottom = (min(max(round(y), 0), image_size[1]) for y in (box[1], box[1] + box[3]))
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top, do_rectify=False)


def _bounded(value: float, low: float) -> float:
    return min(max(float(value), low), 1.0)

"""Conversions between the package's types and ROS messages: stamps, images, face estimates.

Estimates are clamped to their ranges; `is_finite` filters what must never be published. Imports neither torch nor the
pipeline, so that `replay` starts at once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray

if TYPE_CHECKING:
    from ast_net_ros.pipeline import FaceAffect

NANOSECONDS = 1_000_000_000
JPEG_QUALITY = 90


def seconds(stamp: Time) -> float:
    """A stamp as seconds (float)."""
    return stamp.sec + stamp.nanosec / NANOSECONDS


def nanoseconds(stamp: Time) -> int:
    """A stamp as whole nanoseconds: exact, so fit for comparing."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def time_message(stamp_ns: int) -> Time:
    """Whole nanoseconds as a stamp."""
    return Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)


def image_message(header: Header, image_bgr: np.ndarray) -> Image:
    """A picture (H x W x 3 uint8 BGR) as a bgr8 message."""
    height, width = image_bgr.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="bgr8", is_bigendian=0, step=3 * width)
    message.data = _byte_array(image_bgr)
    return message


def compressed_message(header: Header, image_bgr: np.ndarray) -> CompressedImage:
    """A picture (H x W x 3 uint8 BGR) as a JPEG message, labelled as image_transport labels it."""
    _, encoded = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=header, format="bgr8; jpeg compressed bgr8")
    message.data = _byte_array(encoded)
    return message


def _byte_array(values: np.ndarray) -> array:
    """The bytes of `values` as array('B'): the one type that a message takes without looking at each element."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data


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
    from ast_net_ros.pipeline import FaceAffect

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

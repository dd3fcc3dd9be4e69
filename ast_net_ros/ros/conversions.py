"""Conversions between the package's types and ROS messages: stamps, images, face estimates.

Imports neither torch nor the pipeline, so that `replay` starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.face_affect import Box, FaceAffect, HeadPose, message_fields
from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.image_bridge import byte_array
from ast_net_ros.ros.image_bridge import image_message as image_message

NANOSECONDS = 1_000_000_000
JPEG_QUALITY = 90

# Stamps


def seconds(stamp: Time) -> float:
    """Return a stamp in seconds, exact to about a quarter of a microsecond."""
    return stamp.sec + stamp.nanosec / NANOSECONDS


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds, exact and so fit for comparisons."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def time_message(stamp_ns: int) -> Time:
    """Return nanoseconds as a stamp."""
    return Time(sec=stamp_ns // NANOSECONDS, nanosec=stamp_ns % NANOSECONDS)


# Images


def compressed_message(header: Header, image_bgr: np.ndarray) -> CompressedImage:
    """Return an image (H x W x 3 uint8 BGR) as a JPEG message, with the format string of image_transport."""
    _, encoded = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=header, format="bgr8; jpeg compressed bgr8")
    message.data = byte_array(encoded)
    return message


# Estimates


def affect_message(header: Header, face: FaceAffect, image_size: tuple[int, int], source: str = "") -> ValenceArousal:
    """Return one face as a message, its values clamped to their ranges.

    `header`, `image_size` (width and height in pixels) and `source` (the topic) are those of the image.
    """
    roi = region_of_interest(face.box, image_size)
    return ValenceArousal(header=header, roi=roi, source=source, **message_fields(face))


def affect_array(
    header: Header, source: str, faces: Iterable[FaceAffect], image_size: tuple[int, int]
) -> ValenceArousalArray:
    """Return all faces of one image, possibly none, as a message; arguments as those of `affect_message`."""
    messages = [affect_message(header, face, image_size, source) for face in faces]
    width, height = image_size
    return ValenceArousalArray(header=header, source=source, faces=messages, image_width=width, image_height=height)


def face_affect(message: ValenceArousal) -> FaceAffect:
    """Return a received message as an estimate."""
    roi, points = message.roi, message.landmarks.reshape(5, 2)
    roll, pitch, yaw = map(float, message.head_pose_sigma)
    converted: dict[str, Any] = {
        "box": (float(roi.x_offset), float(roi.y_offset), float(roi.width), float(roi.height)),
        "emotions": tuple(map(float, message.emotions)),
        "landmarks": tuple((float(x), float(y)) for x, y in points) if points.any() else (),
        "head_pose": None,
    }
    if roll or pitch or yaw:
        converted["head_pose"] = HeadPose(message.head_roll, message.head_pitch, message.head_yaw, (roll, pitch, yaw))
    same = {field.name for field in fields(FaceAffect)} - converted.keys()
    return FaceAffect(**converted, **{name: getattr(message, name) for name in same})


def region_of_interest(box: Box, image_size: tuple[int, int]) -> RegionOfInterest:
    """Return a box in whole pixels, clipped to an image with this width and height in pixels."""
    left, right = (min(max(round(x), 0), image_size[0]) for x in (box[0], box[0] + box[2]))
    top, bottom = (min(max(round(y), 0), image_size[1]) for y in (box[1], box[1] + box[3]))
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top, do_rectify=False)

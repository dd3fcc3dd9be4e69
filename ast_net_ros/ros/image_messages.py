"""Stamps and pictures as ROS messages, and back. Needs no torch, so that `replay` starts at once.

In: BGR pictures, nanoseconds. Out: sensor_msgs pictures, filled without a Python loop over pixels, and stamps.
"""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

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

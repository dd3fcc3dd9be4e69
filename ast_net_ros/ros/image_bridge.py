"""Image messages to arrays and back: with cv_bridge where it is installed and correct, else without.

cv_bridge is tested once at start, with padded images of every encoding: a build for another NumPy fails to import, and
the port on PyPI ignores `step`. What it converts differently from ast_net_ros.vision.image_decoding is decoded there.
"""

from __future__ import annotations

import functools
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ast_net_ros.vision.image_decoding import (
    ENCODINGS,
    MAX_PIXELS,
    bytes_per_pixel,
    check_raw_image,
    decode_image,
)

_TEST_SIZE = (6, 4)  # width, height in pixels
_TEST_PADDING = 12  # bytes at the end of each row: whole pixels of every encoding
_BYTES_PER_PIXEL = 4  # at most


@dataclass(frozen=True)
class ImageConverter:
    """What converts images.

    Attributes:
        description: For the log.
        bridge: A CvBridge; None to convert without.
        encodings: The encodings of incoming images that the bridge decodes.
    """

    description: str
    bridge: Any = None
    encodings: frozenset[str] = frozenset()


@functools.cache
def image_converter() -> ImageConverter:
    """Import cv_bridge and test it; see `make_converter`."""
    try:
        from cv_bridge import CvBridge  # type: ignore[import-not-found]

        return make_converter(CvBridge())
    except Exception as error:  # a build for another NumPy fails in many ways
        return ImageConverter(f"ast_net_ros (cv_bridge is not usable: {type(error).__name__}: {error})")


def make_converter(bridge: Any) -> ImageConverter:
    """Test a CvBridge and return a converter that uses it as far as it is correct.

    Raises:
        Exception: It does not convert an outgoing image, or wrongly.
    """
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    message = bridge.cv2_to_imgmsg(image, "bgr8")
    fields = (message.height, message.width, message.step, message.encoding, bytes(message.data))
    if fields != (2, 3, 9, "bgr8", image.tobytes()):
        raise ValueError("a test image is converted wrongly")
    encodings = frozenset(encoding for encoding in ENCODINGS if _decodes(bridge, encoding))
    decoded = f"incoming {', '.join(sorted(encodings))}" if encodings else "no incoming ones"
    return ImageConverter(f"cv_bridge (outgoing images, {decoded}) and ast_net_ros (others)", bridge, encodings)


def decode_message(message: Image | CompressedImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image message after checking its sizes.

    Args:
        message: The image; it may share memory with the result.
        max_pixels: Larger images are rejected.

    Returns:
        H x W x 3 uint8 BGR, C-contiguous; may be read-only.

    Raises:
        ImageError: See ast_net_ros.vision.image_decoding.decode_image.
    """
    converter = image_converter()
    if getattr(message, "encoding", "") not in converter.encodings:
        return decode_image(message, max_pixels)
    check_raw_image(message, max_pixels)
    if message.step % bytes_per_pixel(message.encoding):  # cv_bridge takes step for a number of whole pixels
        return decode_image(message, max_pixels)
    try:
        return np.ascontiguousarray(converter.bridge.imgmsg_to_cv2(message, "bgr8"))
    except Exception:  # such as missing padding of the last row, which some drivers do not send
        return decode_image(message, max_pixels)


def image_message(header: Header, image_bgr: np.ndarray) -> Image:
    """Return an image (H x W x 3 uint8 BGR) as a bgr8 message."""
    bridge = image_converter().bridge
    if bridge is None:
        height, width = image_bgr.shape[:2]
        message = Image(height=height, width=width, encoding="bgr8", is_bigendian=0, step=3 * width)
        message.data = byte_array(image_bgr)
    else:
        message = bridge.cv2_to_imgmsg(np.ascontiguousarray(image_bgr), "bgr8")
    message.header = header
    return message


def byte_array(values: np.ndarray) -> array:
    """Return the bytes of `values` as array('B'), the one type that a message stores without checking each element."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data


def padded_image(encoding: str, padding: int = _TEST_PADDING) -> Image:
    """Return a random image whose rows end with `padding` bytes, to test converters with."""
    width, height = _TEST_SIZE
    step = _BYTES_PER_PIXEL * width + padding
    data = np.random.default_rng(1).integers(0, 256, (height, step), np.uint8)
    message = Image(width=width, height=height, encoding=encoding, step=step)
    message.data = byte_array(data)
    return message


def _decodes(bridge: Any, encoding: str) -> bool:
    """Return whether the bridge decodes an encoding as this package does, with padding."""
    message = padded_image(encoding)
    try:
        decoded = bridge.imgmsg_to_cv2(message, "bgr8")
    except Exception:
        return False
    return np.array_equal(decoded, decode_image(message))

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

from ast_net_ros.vision.image_decoding import ENCODINGS, MAX_PIXELS, bytes_per_pixel, check_raw_image, decode_image


@dataclass(frozen=True)
class ImageConverter:
    """What converts images."""

    description: str  # for the log
    bridge: Any = None  # a CvBridge; None to convert without
    encodings: frozenset[str] = frozenset()  # of incoming images that the bridge decodes


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
        Exception: The bridge cannot convert an outgoing image, or converts it wrongly.
    """
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    message = bridge.cv2_to_imgmsg(image, "bgr8")
    fields = (message.height, message.width, message.step, message.encoding, bytes(message.data))
    if fields != (2, 3, 9, "bgr8", image.tobytes()):
        raise ValueError("a test image is converted wrongly")
    encodings = frozenset(encoding for encoding in ENCODINGS if _decodes_like_us(bridge, encoding))
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


def padded_image(encoding: str, padding: int = 12) -> Image:
    """Return a random image whose rows end with `padding` bytes (12: whole pixels of every encoding), for tests."""
    width, height = 6, 4
    step = 4 * width + padding  # a pixel has at most 4 bytes
    data = np.random.default_rng(1).integers(0, 256, (height, step), np.uint8)
    message = Image(width=width, height=height, encoding=encoding, step=step)
    message.data = byte_array(data)
    return message


def _decodes_like_us(bridge: Any, encoding: str) -> bool:
    message = padded_image(encoding)
    try:
        decoded = bridge.imgmsg_to_cv2(message, "bgr8")
    except Exception:
        return False
    return np.array_equal(decoded, decode_image(message))

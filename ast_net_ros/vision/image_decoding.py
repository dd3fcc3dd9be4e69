"""Decodes sensor_msgs/Image and sensor_msgs/CompressedImage without ROS.

Messages may come from rclpy or from a bag reader. Sizes are checked before memory is allocated, those of compressed
images too, so that a few bytes cannot claim gigabytes. cv_bridge does not serve here: it is absent where bags are read
without ROS, its PyPI port ignores `step`, and its binary is tied to one NumPy version.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

MAX_PIXELS = 64_000_000
"""Largest width x height accepted by default: twice an 8K image, 192 MB as BGR."""


class ImageError(ValueError):
    """An image message that cannot be decoded. The message names the field, its value and the fix."""


@dataclass(frozen=True)
class _Layout:
    """How an encoding is stored, and the OpenCV conversion to BGR (None: it is BGR)."""

    channels: int
    conversion: int | None
    sample_bytes: int = 1


# OpenCV names a Bayer pattern by the second row's second and third pixel, sensor_msgs by the first two of
# each row: hence BG for rggb. "yuv422" is UYVY by the definition in sensor_msgs/image_encodings.
_LAYOUTS = {
    "bgr8": _Layout(3, None),
    "8UC3": _Layout(3, None),
    "rgb8": _Layout(3, cv2.COLOR_RGB2BGR),
    "bgra8": _Layout(4, cv2.COLOR_BGRA2BGR),
    "rgba8": _Layout(4, cv2.COLOR_RGBA2BGR),
    "mono8": _Layout(1, cv2.COLOR_GRAY2BGR),
    "8UC1": _Layout(1, cv2.COLOR_GRAY2BGR),
    "mono16": _Layout(1, cv2.COLOR_GRAY2BGR, sample_bytes=2),
    "16UC1": _Layout(1, cv2.COLOR_GRAY2BGR, sample_bytes=2),
    "yuv422": _Layout(2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": _Layout(2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": _Layout(2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": _Layout(2, cv2.COLOR_YUV2BGR_YUY2),
    "bayer_rggb8": _Layout(1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": _Layout(1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": _Layout(1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": _Layout(1, cv2.COLOR_BayerGB2BGR),
}

ENCODINGS = tuple(_LAYOUTS)
"""The encodings of sensor_msgs/Image that `decode_image` reads."""


def decode_image(message: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image message.

    16-bit grey is scaled from its full range (65535 is white). Compressed images are JPEG or PNG; an orientation in
    their metadata is ignored, as by image_transport.

    Args:
        message: A sensor_msgs/Image or CompressedImage, or an object with the same fields; `data` is any buffer.
        max_pixels: Largest accepted width x height.

    Returns:
        H x W x 3 uint8 BGR, C-contiguous. An unpadded bgr8 image is a view of the message's memory, which may be
        read-only: copy it before drawing.

    Raises:
        ImageError: Unknown encoding, zero size, too many pixels, a `step` shorter than a row, data shorter than the
            image, or a JPEG or PNG that is damaged or cut off.
    """
    if hasattr(message, "encoding"):
        return _decode_raw(message, max_pixels)
    if not hasattr(message, "format"):
        raise ImageError(
            f"message of type {type(message).__name__}: has neither 'encoding' nor 'format'; "
            "sensor_msgs/Image or sensor_msgs/CompressedImage is needed"
        )
    try:
        return _decode_compressed(message, max_pixels)
    except ImageError as error:
        raise ImageError(f"format {message.format[:80]!r}: {error}") from error


def bytes_per_pixel(encoding: str) -> int:
    """Return the bytes of one pixel of an encoding in ENCODINGS."""
    layout = _LAYOUTS[encoding]
    return layout.channels * layout.sample_bytes


def check_raw_image(message: Any, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Check a raw image before memory is allocated for it; return its bytes as a flat uint8 view.

    Raises:
        ImageError: See `decode_image`.
    """
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise ImageError(f"encoding {message.encoding[:80]!r}: unknown; use one of {', '.join(ENCODINGS)}")
    height, width, step = int(message.height), int(message.width), int(message.step)
    _check_size(width, height, max_pixels)
    row = width * bytes_per_pixel(message.encoding)
    if step < row:
        raise ImageError(
            f"step {step}: a row of {width} {message.encoding} pixels has {row} bytes; set step to at least that"
        )
    data = _bytes_of(message.data)
    # The padding of the last row may be missing: some drivers do not send it.
    needed = step * (height - 1) + row
    if data.size < needed:
        raise ImageError(
            f"data of {data.size} bytes: too short for {width}x{height} {message.encoding} with step {step}, "
            f"which needs {needed}; the message was cut off or its size is wrong"
        )
    if layout.channels == 2 and width % 2:
        raise ImageError(f"width {width}: {message.encoding} stores pixels in pairs; the width must be even")
    return data


def _decode_raw(message: Any, max_pixels: int) -> np.ndarray:
    data = check_raw_image(message, max_pixels)
    layout = _LAYOUTS[message.encoding]
    shape: tuple[int, ...] = (int(message.height), int(message.width), layout.channels)
    strides: tuple[int, ...] = (int(message.step), bytes_per_pixel(message.encoding), layout.sample_bytes)
    if layout.channels == 1:
        shape, strides = shape[:2], strides[:2]
    sample = np.uint8 if layout.sample_bytes == 1 else ">u2" if message.is_bigendian else "<u2"
    pixels: np.ndarray = np.ndarray(shape, sample, buffer=data, strides=strides)
    if layout.sample_bytes == 2:
        pixels = cv2.convertScaleAbs(pixels.astype(np.uint16), alpha=255 / 65535)
    if layout.conversion is None:
        return np.ascontiguousarray(pixels)
    if message.encoding.startswith("bayer_"):
        return _demosaic(pixels, layout.conversion)
    if pixels.shape == (1, 1, 3):  # OpenCV 4.5 does not take this shape for one pixel
        return np.ascontiguousarray(pixels[:, :, ::-1])
    return cv2.cvtColor(pixels, layout.conversion)


def _demosaic(mosaic: np.ndarray, conversion: int) -> np.ndarray:
    """Convert a Bayer mosaic of any size to BGR.

    OpenCV fills the outermost pixels by repetition and leaves images of up to two pixels black. Reflecting the
    mosaic about its border pixels keeps the pattern's phase and gives the border the neighbours it lacks.
    """
    border = 2
    padded = cv2.copyMakeBorder(mosaic, border, border, border, border, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(cv2.cvtColor(padded, conversion)[border:-border, border:-border])


_DAMAGED = "the JPEG or PNG is damaged; check the sender and the connection"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN = 0xDA
# Start-of-frame markers carry the size: C0 to CF without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive: what cameras send
# Markers without a length. A decoder reads on right behind one, and would find another size there than a reader that
# takes what follows for a length.
_JPEG_STANDALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
_JPEG_MAX_SCANS = 64  # encoders make about ten; every further one costs a pass over the whole image
_JPEG_PIXELS_PER_BYTE = 512  # at least a bit for each block of 8 x 8: no Huffman code is shorter


def _decode_compressed(message: Any, max_pixels: int) -> np.ndarray:
    if "compressedDepth" in message.format[:80]:
        raise ImageError("a depth image shows no face; subscribe to the colour or grey topic")
    data = _bytes_of(message.data)
    width, height = _declared_size(data.tobytes(), max_pixels)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(f"{_DAMAGED} ({error.err})") from error
    if image is None or image.shape != (height, width, 3):
        raise ImageError(_DAMAGED)
    # image_transport writes "...; jpeg compressed rgb8" where it handed RGB to an encoder that takes BGR.
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if "compressed rgb" in message.format[:80] else image


def _declared_size(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Read width and height from the header of a JPEG or PNG and check them, without decoding it.

    Refuses data whose end is missing: OpenCV 4.5 fills the rest of a cut-off JPEG with whatever memory held.
    """
    if data.startswith(_PNG_START):
        size = _declared_png_size(data)
    elif data.startswith(_JPEG_START):
        size = _declared_jpeg_size(data)
    else:
        raise ImageError(
            f"data starting with {data[:4].hex() or 'nothing'}: neither JPEG nor PNG; set the sender's compression to "
            "jpeg or png"
        )
    _check_size(*size, max_pixels)
    if data.startswith(_JPEG_START):
        _check_jpeg_cost(data, size)
    return size


def _declared_png_size(data: bytes) -> tuple[int, int]:
    """Refuse a PNG that lacks a part or its end, too: OpenCV allocates the length of a chunk before it reads it."""
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise ImageError(_DAMAGED)
    position = len(_PNG_START)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        position += 12 + length  # length, name and checksum have four bytes each
        if name == b"IEND" and position <= len(data):
            return struct.unpack_from(">II", data, 16)
    raise _cut_off(data)


def _declared_jpeg_size(data: bytes) -> tuple[int, int]:
    """Read width and height from the start-of-frame segment (ITU-T T.81, B.2.2); check that the image ends."""
    size = None
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ImageError(_DAMAGED)
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _JPEG_STANDALONE:
            raise ImageError(f"marker FF {marker:02X} in the header; {_DAMAGED}")
        if marker == _JPEG_SCAN:
            if size is None:
                raise ImageError(_DAMAGED)
            # Inside a scan FF D9 can only be the end; before it, the end could be that of a thumbnail.
            if data.find(_JPEG_END, position) < 0:
                break
            return size
        if marker in _JPEG_FRAMES and position + 9 <= len(data):
            if marker not in _JPEG_HUFFMAN:
                raise ImageError(f"JPEG of kind SOF{marker - 0xC0}; send baseline or progressive")
            if size is not None:
                raise ImageError(f"two sizes in one JPEG; {_DAMAGED}")
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise _cut_off(data)


def _cut_off(data: bytes) -> ImageError:
    return ImageError(f"{len(data)} bytes: the image is cut off; check the sender and the connection")


def _check_jpeg_cost(data: bytes, size: tuple[int, int]) -> None:
    """Refuse a JPEG that asks for far more memory or time than an image of so few bytes can need."""
    if size[0] * size[1] > len(data) * _JPEG_PIXELS_PER_BYTE:
        raise ImageError(f"{len(data)} bytes cannot hold {size[0]}x{size[1]} pixels; {_DAMAGED}")
    # In image data a byte FF is always followed by 00, so that none of it is counted.
    scans = data.count(bytes((0xFF, _JPEG_SCAN)))
    if scans > _JPEG_MAX_SCANS:
        raise ImageError(
            f"a JPEG of {scans} scans, more than the {_JPEG_MAX_SCANS} allowed; set the sender to baseline or "
            "progressive with few scans"
        )


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"size {width}x{height}: an image needs at least one pixel; check the camera driver")
    if width * height > max_pixels:
        raise ImageError(
            f"size {width}x{height}: more than the {max_pixels} pixels allowed; reduce it or raise the limit "
            "(max_image_pixels of the node)"
        )


def _bytes_of(data: Any) -> np.ndarray:
    """View `data` (bytes, array.array, NumPy array, ...) as flat uint8 without a copy."""
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        # NumPy before 1.24 refuses an empty buffer that way.
        if isinstance(data, (bytes, bytearray)) and not data:
            return np.empty(0, np.uint8)
        raise ImageError(f"data of type {type(data).__name__}: not a buffer of bytes ({error})") from error

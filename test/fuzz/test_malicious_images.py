"""Malicious compressed images are refused before OpenCV decodes them; intact ones never are.

What decode_image refuses besides is in test/vision/test_image_message.py.
"""

from __future__ import annotations

import struct
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.image_decoding import ImageError, decode_image

GREY = np.full((64, 64), 128, np.uint8)


def message(data: bytes) -> SimpleNamespace:
    return SimpleNamespace(format="jpeg", data=data)


def jpeg(image: np.ndarray = GREY, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def claiming(data: bytes, side: int, marker: bytes = b"\xff\xc0") -> bytes:
    """`data` with the frame header of a side x side image."""
    changed, place = bytearray(data), data.index(marker) + 5
    changed[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(changed)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(side: int, pixels: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    end = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + end


@pytest.fixture()
def not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))


@pytest.mark.parametrize("bare", [0x00, 0x01, 0xD0, 0xD7, 0xD8])
@pytest.mark.usefixtures("not_decoded")
def test_a_size_behind_a_bare_marker_is_refused(bare: int) -> None:
    """The decoder goes on right behind the marker and meets 30,000 x 30,000; who skips a length meets 64 x 64."""
    small, huge = jpeg(), claiming(jpeg(), 30_000)[2:]
    hidden = b"\xff\xd8\xff" + bytes([bare]) + huge
    # What is taken for a length are the first two bytes of `huge`.
    (skipped,) = struct.unpack(">H", huge[:2])
    with pytest.raises(ImageError, match="marker FF"):
        decode_image(message(hidden.ljust(4 + skipped, b"\0") + small[2:]))


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.usefixtures("not_decoded")
def test_a_large_jpeg_of_few_bytes_is_refused(progressive: int) -> None:
    small = jpeg(GREY, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    bomb = claiming(small, 7_900, b"\xff\xc2" if progressive else b"\xff\xc0")  # within the limit of pixels
    with pytest.raises(ImageError, match=f"{len(bomb)} bytes cannot hold 7900x7900"):
        decode_image(message(bomb))


@pytest.mark.usefixtures("not_decoded")
def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    whole = jpeg(GREY, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="a JPEG of 10\\d\\d scans"):
        decode_image(message(whole[:-2] + 1000 * last + b"\xff\xd9"))


@pytest.mark.parametrize("kind", [3, 5, 9, 10, 15])
@pytest.mark.usefixtures("not_decoded")
def test_kinds_of_jpeg_that_no_camera_sends_are_refused(kind: int) -> None:
    with pytest.raises(ImageError, match=f"SOF{kind}"):
        decode_image(message(jpeg().replace(b"\xff\xc0", bytes([0xFF, 0xC0 + kind]), 1)))


@pytest.mark.parametrize("options", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("shape", [(2000, 2000), (2000, 2000, 3), (63, 6001, 3), (1, 8000)])
def test_the_smallest_of_whole_jpegs_are_read(shape: tuple[int, ...], options: tuple[int, int]) -> None:
    """A covered camera: black throughout, at the lowest quality."""
    chosen = (cv2.IMWRITE_JPEG_PROGRESSIVE, options[0], cv2.IMWRITE_JPEG_OPTIMIZE, options[1])
    data = jpeg(np.zeros(shape, np.uint8), cv2.IMWRITE_JPEG_QUALITY, 1, *chosen)
    assert decode_image(message(data)).shape == (*shape[:2], 3)


@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1, 800_000_000, 100])
@pytest.mark.usefixtures("not_decoded")
def test_a_png_chunk_longer_than_the_file_is_refused(length: int) -> None:
    whole = png(8, zlib.compress(bytes(72)))
    place = whole.index(b"IDAT") - 4
    with pytest.raises(ImageError, match="cut off"):
        decode_image(message(whole[:place] + struct.pack(">I", length) + whole[place + 4 :]))


@pytest.mark.usefixtures("not_decoded")
def test_a_png_header_of_60000_by_60000_is_refused() -> None:
    with pytest.raises(ImageError, match="60000x60000"):
        decode_image(message(png(60_000, zlib.compress(bytes(100)))))


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_metadata_of_a_png_that_unpack_to_much_cost_nothing(name: bytes) -> None:
    packed = zlib.compress(bytes(50_000_000), 1)
    body = b"k\0\1\0\0\0" + packed if name == b"iTXt" else b"k\0\0" + packed
    began = time.perf_counter()
    image = decode_image(message(png(8, zlib.compress(bytes(72)), chunk(name, body))))
    assert image.shape == (8, 8, 3) and time.perf_counter() - began < 2

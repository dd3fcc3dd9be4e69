"""Image messages become the right BGR image or an ImageError, for every encoding and for any bytes."""

from __future__ import annotations

import array
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ast_net_ros.vision.image_decoding import ENCODINGS, ImageError, decode_image

RAW_BYTES = {"mono8": 1, "8UC1": 1, "mono16": 2, "16UC1": 2, "bgra8": 4, "rgba8": 4}
RAW_BYTES |= {"bgr8": 3, "rgb8": 3, "8UC3": 3, "yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2}
RAW_BYTES |= {f"bayer_{pattern}8": 1 for pattern in ("rggb", "bggr", "gbrg", "grbg")}
PAIRED = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # two pixels share their colour
SIZES = [(1, 1), (2, 2), (1, 4), (2, 5), (3, 3), (5, 7), (6, 8), (33, 41), (48, 64)]  # height, width


def image_message(encoding, pixel_rows, width, padding=0, big_endian=False):
    """A sensor_msgs/Image look-alike from H x row-bytes pixels, padded with bytes that must not be read."""
    height = pixel_rows.shape[0]
    padded = np.pad(pixel_rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=array.array("B", padded.tobytes()),
    )


def random_rows(height, width, encoding, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width * RAW_BYTES[encoding]), np.uint8)


def plain_reference(encoding, rows, height, width, big_endian=False):
    """BGR by definition, pixel by pixel, without OpenCV; float."""
    if encoding in ("bgr8", "8UC3"):
        return rows.reshape(height, width, 3).astype(float)
    if encoding == "rgb8":
        return rows.reshape(height, width, 3)[..., ::-1].astype(float)
    if encoding in ("bgra8", "rgba8"):
        colour = rows.reshape(height, width, 4)[..., :3].astype(float)
        return colour if encoding == "bgra8" else colour[..., ::-1]
    if encoding in ("mono8", "8UC1"):
        return np.repeat(rows[..., None], 3, axis=2).astype(float)
    if encoding in ("mono16", "16UC1"):
        pairs = rows.reshape(height, width, 2).astype(float)
        high, low = (0, 1) if big_endian else (1, 0)
        grey = (pairs[..., high] * 256 + pairs[..., low]) * 255 / 65535
        return np.repeat(grey[..., None], 3, axis=2)
    if encoding.startswith("bayer_"):
        return bilinear_demosaic(rows.astype(float), encoding[6:10])
    return yuv_reference(rows.reshape(height, width // 2, 4).astype(float), encoding)


def yuv_reference(quads, encoding):
    """ITU-R BT.601, studio range: two pixels share U and V."""
    order = (1, 0, 3, 2) if encoding in ("yuv422", "uyvy") else (0, 1, 2, 3)  # Y0 U Y1 V
    first, u, second, v = (quads[..., i] for i in order)
    height, pairs = first.shape
    bgr = np.empty((height, pairs * 2, 3))
    for offset, luma in ((0, first), (1, second)):
        y = 1.164 * (np.maximum(luma, 16) - 16)
        bgr[:, offset::2, 0] = y + 2.018 * (u - 128)
        bgr[:, offset::2, 1] = y - 0.391 * (u - 128) - 0.813 * (v - 128)
        bgr[:, offset::2, 2] = y + 1.596 * (v - 128)
    return np.clip(bgr, 0, 255)


def bilinear_demosaic(mosaic, pattern):
    """Every colour as the mean of its nearest samples; the mosaic reflected about its border pixels."""
    height, width = mosaic.shape
    bgr = np.empty((height, width, 3))
    neighbours = {
        "self": [(0, 0)],
        "cross": [(-1, 0), (1, 0), (0, -1), (0, 1)],
        "corners": [(-1, -1), (-1, 1), (1, -1), (1, 1)],
        "row": [(0, -1), (0, 1)],
        "column": [(-1, 0), (1, 0)],
    }

    def reflected(index, size):
        if size == 1:
            return 0
        while not 0 <= index < size:
            index = -index if index < 0 else 2 * (size - 1) - index
        return index

    def mean(y, x, kind):
        return np.mean([mosaic[reflected(y + i, height), reflected(x + j, width)] for i, j in neighbours[kind]])

    for y in range(height):
        for x in range(width):
            here = pattern[(y % 2) * 2 + x % 2]
            beside = pattern[(y % 2) * 2 + (x + 1) % 2]
            for channel, colour in enumerate("bgr"):
                if colour == here:
                    kind = "self"
                elif colour == "g":
                    kind = "cross"
                elif here == "g":
                    kind = "row" if colour == beside else "column"
                else:
                    kind = "corners"
                bgr[y, x, channel] = mean(y, x, kind)
    return bgr


def tolerance(encoding):
    if encoding in PAIRED:
        return 1.6  # fixed-point coefficients
    return 1.01 if encoding.startswith("bayer") or "16" in encoding else 0


def test_the_table_of_encodings_is_the_tested_one():
    assert set(ENCODINGS) == set(RAW_BYTES)


@pytest.mark.parametrize("padding", [0, 1, 7, 64])
@pytest.mark.parametrize("encoding", sorted(RAW_BYTES))
def test_every_encoding_equals_its_plain_reference(encoding, padding):
    for height, width in SIZES:
        if encoding in PAIRED and width % 2:
            continue
        rows = random_rows(height, width, encoding, seed=height * 100 + width)
        image = decode_image(image_message(encoding, rows, width, padding))
        assert image.shape == (height, width, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
        expected = plain_reference(encoding, rows, height, width)
        assert np.abs(image - expected).max() <= tolerance(encoding), (encoding, height, width)


@pytest.mark.parametrize("padding", [0, 3])
def test_big_endian_mono16_is_read_in_its_own_byte_order(padding):
    rows = random_rows(9, 11, "mono16", seed=5)
    image = decode_image(image_message("mono16", rows, 11, padding, big_endian=True))
    assert np.abs(image - plain_reference("mono16", rows, 9, 11, big_endian=True)).max() <= 0.51
    little = decode_image(image_message("mono16", rows, 11, padding))
    assert not np.array_equal(image, little)


def test_full_range_mono16_reaches_black_and_white():
    rows = np.array([[0, 0, 0xFF, 0xFF]], np.uint8)
    assert decode_image(image_message("mono16", rows, 2)).tolist() == [[[0] * 3, [255] * 3]]


def test_unpadded_bgr8_is_not_copied():
    message = image_message("bgr8", random_rows(6, 8, "bgr8"), 8)
    assert np.shares_memory(decode_image(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize("container", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_any_buffer_of_bytes_serves_as_data(container):
    rows = random_rows(4, 6, "rgb8")
    message = image_message("rgb8", rows, 6)
    message.data = container(rows.tobytes())
    assert np.array_equal(decode_image(message), rows.reshape(4, 6, 3)[..., ::-1])


def test_missing_padding_of_the_last_row_is_accepted():
    rows = random_rows(4, 6, "bgr8")
    message = image_message("bgr8", rows, 6, padding=10)
    message.data = message.data[:-10]
    assert np.array_equal(decode_image(message), rows.reshape(4, 6, 3))
    message.data = message.data[:-1]
    with pytest.raises(ImageError, match="too short"):
        decode_image(message)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "rgb9"}, ["'rgb9'", "use one of", "bgr8"]),
        ({"encoding": ""}, ["encoding ''"]),
        ({"height": 0}, ["8x0", "at least one pixel"]),
        ({"width": 0}, ["0x6"]),
        ({"step": 0}, ["step 0", "24 bytes"]),
        ({"step": 23}, ["step 23", "24 bytes"]),
        ({"step": 25}, ["data of 144 bytes", "149"]),
        ({"height": 7}, ["data of 144 bytes", "168"]),
        ({"height": 60_000, "width": 60_000, "step": 180_000}, ["60000x60000", "64000000"]),
        ({"height": 2**32 - 1, "width": 2**32 - 1, "step": 2**32 - 1}, ["raise the limit"]),
        ({"data": b""}, ["data of 0 bytes"]),
        ({"data": "text"}, ["type str"]),
        ({"encoding": "yuyv", "width": 5, "step": 10}, ["width 5", "even"]),
    ],
)
def test_a_bad_message_is_refused_with_the_fix(change, words):
    message = image_message("bgr8", random_rows(6, 8, "bgr8"), 8)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ImageError) as raised:
        decode_image(message)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_the_pixel_limit_is_the_callers():
    message = image_message("mono8", random_rows(6, 8, "mono8"), 8)
    assert decode_image(message, max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(ImageError, match="more than the 47 pixels"):
        decode_image(message, max_pixels=47)


def test_something_that_is_no_image_message_is_refused():
    with pytest.raises(ImageError, match="neither 'encoding' nor 'format'"):
        decode_image(SimpleNamespace(data=b""))


def smooth_image(height=60, width=80):
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


def compressed(image, extension=".jpg", format_name="jpeg", **changes):
    data = cv2.imencode(extension, image)[1].tobytes()
    return SimpleNamespace(**{"format": format_name, "data": array.array("B", data), **changes})


def test_png_is_read_without_loss_and_jpeg_nearly_so():
    image = smooth_image()
    assert np.array_equal(decode_image(compressed(image, ".png", "png")), image)
    assert np.abs(decode_image(compressed(image)).astype(int) - image).mean() < 4


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_grey_and_16_bit_compressed_images_become_bgr(extension):
    grey = cv2.cvtColor(smooth_image(), cv2.COLOR_BGR2GRAY)
    image = decode_image(compressed(grey, extension, "mono8; compressed"))
    assert image.shape == (60, 80, 3) and np.abs(image.astype(int) - grey[..., None]).max() < 8
    deep = decode_image(compressed(grey.astype(np.uint16) * 257, ".png", "mono16; png compressed "))
    assert np.abs(deep.astype(int) - grey[..., None]).max() <= 1


def test_jpeg_from_rgb_has_its_colours_restored():
    image = smooth_image()
    swapped = np.ascontiguousarray(image[..., ::-1])
    image = decode_image(compressed(swapped, ".png", "rgb8; png compressed rgb8"))
    assert np.array_equal(image, image)
    assert np.array_equal(decode_image(compressed(image, ".png", "rgb8; png compressed bgr8")), image)


def test_an_orientation_in_the_metadata_is_ignored():
    jpeg = cv2.imencode(".jpg", smooth_image())[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHH", 1, 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    by_default = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert by_default is not None and by_default.shape == (80, 60, 3)
    assert decode_image(SimpleNamespace(format="jpeg", data=turned)).shape == (60, 80, 3)


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_cut_off_anywhere_is_not_decoded(progressive, monkeypatch):
    data = cv2.imencode(".jpg", smooth_image(), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    assert decode_image(SimpleNamespace(format="jpeg", data=data)).shape == (60, 80, 3)
    # Older OpenCV would hand out the missing part as arbitrary memory.
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    for length in range(len(data)):
        with pytest.raises(ImageError):
            decode_image(SimpleNamespace(format="jpeg", data=data[:length]))


def test_a_png_cut_off_anywhere_is_refused(capfd):
    data = cv2.imencode(".png", smooth_image(20, 30))[1].tobytes()
    for length in range(len(data) - 8):  # the last eight bytes are the end marker's name and checksum
        with pytest.raises(ImageError):
            decode_image(SimpleNamespace(format="png", data=data[:length]))


def png_bomb(side):
    """A valid PNG of side x side black pixels, about a thousandth of its size decoded."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(side * (side + 1)), 1))
        + chunk(b"IEND", b"")
    )


def resized_jpeg(side):
    """A small JPEG whose frame header claims side x side."""
    data = bytearray(cv2.imencode(".jpg", smooth_image())[1].tobytes())
    position = data.find(b"\xff\xc0")
    data[position + 5 : position + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("data", [png_bomb(9000), resized_jpeg(60_000)], ids=["png", "jpeg"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="pixels allowed"):
        decode_image(SimpleNamespace(format="jpeg", data=data))


@pytest.mark.parametrize(
    ("format_name", "data", "words"),
    [
        ("16UC1; compressedDepth png", b"\x00" * 12 + png_bomb(4), "depth image shows no face"),
        ("jpeg", b"", "starting with nothing: neither JPEG nor PNG"),
        ("tiff", b"II*\x00" + b"\x00" * 40, "49492a00: neither JPEG nor PNG"),
        ("jpeg", b"\xff\xd8\xff\xd9", "cut off"),
        ("jpeg", b"\xff\xd8garbage", "damaged"),
        ("png", b"\x89PNG\r\n\x1a\n", "damaged"),
        ("png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 60, "damaged"),
    ],
)
def test_bad_compressed_data_is_refused(format_name, data, words):
    with pytest.raises(ImageError, match=words):
        decode_image(SimpleNamespace(format=format_name, data=data))


def assert_image_or_image_error(message, max_pixels):
    try:
        image = decode_image(message, max_pixels=max_pixels)
    except ImageError as error:
        assert str(error)
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
    assert 0 < image.shape[0] * image.shape[1] <= max_pixels


numbers = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))


@settings(max_examples=400, deadline=None)
@given(
    encoding=st.one_of(st.sampled_from(ENCODINGS), st.text(max_size=20)),
    height=numbers,
    width=numbers,
    step=numbers,
    big_endian=st.integers(0, 255),
    data=st.binary(max_size=4000),
)
def test_any_raw_message_gives_an_image_or_an_image_error(encoding, height, width, step, big_endian, data):
    message = SimpleNamespace(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=big_endian, data=data
    )
    assert_image_or_image_error(message, max_pixels=10_000)


@settings(max_examples=200, deadline=None)
@given(
    encoding=st.sampled_from(ENCODINGS),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    padding=st.integers(0, 9),
    seed=st.integers(0, 1000),
)
def test_any_whole_raw_message_equals_its_reference(encoding, height, width, padding, seed):
    rows = random_rows(height, width, encoding, seed)
    message = image_message(encoding, rows, width, padding)
    if encoding in PAIRED and width % 2:
        with pytest.raises(ImageError, match="even"):
            decode_image(message)
    else:
        difference = np.abs(decode_image(message) - plain_reference(encoding, rows, height, width))
        assert difference.max() <= tolerance(encoding)


WHOLE = [
    cv2.imencode(".jpg", smooth_image(24, 32))[1].tobytes(),
    cv2.imencode(".jpg", smooth_image(24, 32), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(),
    cv2.imencode(".png", smooth_image(24, 32))[1].tobytes(),
]


@settings(max_examples=400, deadline=None)
@given(
    whole=st.sampled_from(WHOLE),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), max_size=6),
    kept=st.floats(0, 1),
    format_name=st.sampled_from(["jpeg", "png", "", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed rgb8"]),
)
def test_damaged_compressed_data_gives_an_image_or_an_error(whole, damage, kept, format_name):
    data = bytearray(whole)
    for place, patch in damage:
        start = int(place * len(data))
        data[start : start + len(patch)] = patch
    message = SimpleNamespace(format=format_name, data=bytes(data[: int(kept * len(data)) + 1]))
    assert_image_or_image_error(message, max_pixels=10_000)


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10", b"\x89PNG\r\n\x1a\n"]),
    data=st.binary(max_size=600),
)
def test_any_bytes_give_an_image_or_an_image_error(start, data):
    assert_image_or_image_error(SimpleNamespace(format="jpeg", data=start + data), max_pixels=10_000)

"""cv_bridge is used where it is correct, and every image is decoded equally with and without it."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.ros import image_bridge
from ast_net_ros.ros.image_bridge import decode_message, image_converter, image_message, make_converter, padded_image
from ast_net_ros.vision.image_decoding import ENCODINGS, ImageError, decode_image

CHANNELS = {"bgr8": (3, None), "rgb8": (3, cv2.COLOR_RGB2BGR), "bgra8": (4, cv2.COLOR_BGRA2BGR)}


class CvBridgeOfRos:
    """Behaves like the real one: honours step, and requires the padding of the last row."""

    honours_step = True

    def imgmsg_to_cv2(self, message: Any, encoding: str) -> np.ndarray:
        channels, conversion = CHANNELS[message.encoding]
        columns = message.step // channels if self.honours_step else message.width
        image = np.ndarray((message.height, columns, channels), np.uint8, buffer=message.data)[:, : message.width]
        return image.copy() if conversion is None else cv2.cvtColor(image, conversion)

    def cv2_to_imgmsg(self, image: np.ndarray, encoding: str) -> Image:
        height, width = image.shape[:2]
        return Image(height=height, width=width, encoding=encoding, step=3 * width, data=image.tobytes())


class CvBridgeOfPypi(CvBridgeOfRos):
    honours_step = False


class BrokenCvBridge(CvBridgeOfRos):
    def cv2_to_imgmsg(self, image: np.ndarray, encoding: str) -> Image:
        raise AttributeError("'numpy.ndarray' object has no attribute 'tostring'")


@pytest.fixture
def ros_bridge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A converter with a cv_bridge like that of ROS; the list has an entry for each image that it decoded."""
    bridge, decoded = CvBridgeOfRos(), []
    converter = make_converter(bridge)
    monkeypatch.setattr(image_bridge, "image_converter", lambda: converter)
    original = bridge.imgmsg_to_cv2

    def decode(*given: Any) -> Any:
        decoded.append(1)
        return original(*given)

    monkeypatch.setattr(bridge, "imgmsg_to_cv2", decode)
    return decoded


@pytest.mark.parametrize("padding", [0, 8, 12])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_image_is_decoded_equally_with_cv_bridge(ros_bridge: Any, encoding: str, padding: int) -> None:
    message = padded_image(encoding, padding)
    assert np.array_equal(decode_message(message), decode_image(message))
    whole_pixels = encoding == "bgra8" or message.step % 3 == 0
    assert bool(ros_bridge) == (encoding in CHANNELS and whole_pixels)


def test_the_installed_cv_bridge_agrees_where_it_is_used() -> None:
    pytest.importorskip("cv_bridge", reason="cv_bridge is not installed; it comes with a ROS installation")
    for encoding, padding in itertools.product(ENCODINGS, (0, 8, 12)):
        message = padded_image(encoding, padding)
        assert np.array_equal(decode_message(message), decode_image(message)), (encoding, padding)
    image = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(decode_image(image_message(Header(frame_id="camera"), image)), image)


def test_missing_padding_of_the_last_row_is_accepted(ros_bridge: Any) -> None:
    message = padded_image("bgr8")
    expected = decode_image(message)
    message.data = message.data[: len(message.data) - (message.step - 3 * message.width)]
    assert np.array_equal(decode_message(message), expected)


def test_sizes_are_checked_before_cv_bridge_sees_them(ros_bridge: Any) -> None:
    message = padded_image("bgr8")
    message.height, message.data = 60_000, message.data
    with pytest.raises(ImageError, match="too short"):
        decode_message(message)
    assert not ros_bridge


def test_a_cv_bridge_that_ignores_step_only_encodes() -> None:
    converter = make_converter(CvBridgeOfPypi())
    assert converter.bridge is not None and converter.encodings == frozenset()


def test_a_cv_bridge_for_another_numpy_is_rejected() -> None:
    with pytest.raises(AttributeError, match="tostring"):
        make_converter(BrokenCvBridge())


def test_outgoing_images_keep_header_and_pixels(ros_bridge: Any) -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    message = image_message(Header(frame_id="camera"), image[:, ::-1])
    assert message.header.frame_id == "camera" and np.array_equal(decode_image(message), image[:, ::-1])


def test_the_log_names_what_converts_images() -> None:
    assert "cv_bridge" in image_converter().description

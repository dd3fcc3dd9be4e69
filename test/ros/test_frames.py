"""The running node publishes TF frames of faces, and none where it cannot know them."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CameraInfo

TF_MESSAGES = {"TFMessage": "geometry_msgs/TransformStamped[] transforms\n"}
FOCAL = 600.0
NO_FOCAL = [0.0, 0.0, 9.0, 0.0, 0.0, 9.0, 0.0, 0.0, 1.0]


@pytest.fixture(scope="module")
def tf2_msgs(message_package: Any) -> Iterator[Any]:
    """The module tf2_msgs.msg, for this process and those that it starts."""
    with message_package.usable("tf2_msgs", TF_MESSAGES, ("geometry_msgs",)) as module:
        yield module


def calibration(image: np.ndarray, **changes: Any) -> CameraInfo:
    height, width = image.shape[:2]
    k = [FOCAL, 0.0, width / 2, 0.0, FOCAL, height / 2, 0.0, 0.0, 1.0]
    return CameraInfo(**{"width": width, "height": height, "k": k, "distortion_model": "plumb_bob", **changes})


class Robot:
    """A calibrated camera, and a listener to /tf."""

    def __init__(self, client: Any, tf2_msgs: Any):
        self.client = client
        self.transforms: dict[Any, dict[str, Any]] = {}  # (seconds, nanoseconds) -> frames of that image by name
        self._infos = client.create_publisher(CameraInfo, "camera_info", 1)
        self._tf = client.create_subscription(tf2_msgs.TFMessage, "/tf", self._on_tf, 100)

    def _on_tf(self, message: Any) -> None:
        for one in message.transforms:
            stamp = (one.header.stamp.sec, one.header.stamp.nanosec)
            self.transforms.setdefault(stamp, {})[one.child_frame_id] = one

    def show(self, image: np.ndarray, info: CameraInfo, frame_id: str = "optical") -> tuple[Any, dict[str, Any]]:
        """Publish an image with its calibration; the answer, and the frames that have its stamp."""
        self._infos.publish(info)
        time.sleep(0.05)  # the image comes on another topic, in no order
        answer = self.client.show(image, frame_id=frame_id)
        stamp = (answer.header.stamp.sec, answer.header.stamp.nanosec)
        deadline = time.monotonic() + 0.3
        while stamp not in self.transforms and time.monotonic() < deadline:
            time.sleep(0.01)
        return answer, self.transforms.get(stamp, {})

    def end(self) -> None:
        self.client.destroy_publisher(self._infos)
        self.client.destroy_subscription(self._tf)


@pytest.fixture
def robot(client: Any, tf2_msgs: Any) -> Iterator[Robot]:
    one = Robot(client, tf2_msgs)
    yield one
    one.end()


def test_a_face_has_frames_where_the_camera_is_calibrated(
    client: Any, start: Any, robot: Robot, face_frames: list[np.ndarray], policies: Any, wait_until: Any
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "publish_tf:=true", "-p", "no_image_timeout:=0.5")
    node.said("waiting for images")
    image, name = face_frames[0], "ast_net: camera /image"
    good = calibration(image)
    wait_until(lambda: robot.show(image, good)[1], "frames")
    answer, frames = robot.show(face_frames[1], good)
    (face,) = answer.faces
    assert set(frames) == {f"face_{face.face_id}", f"gaze_{face.face_id}"}
    for frame in frames.values():
        assert frame.header == answer.header and frame.header.frame_id == "optical"
    place = frames[f"face_{face.face_id}"].transform.translation
    height, width = image.shape[:2]
    between = (face.landmarks[:2] + face.landmarks[2:4]) / 2
    projected = [FOCAL * place.x / place.z + width / 2, FOCAL * place.y / place.z + height / 2]
    assert projected == pytest.approx(between.tolist(), abs=4)
    assert place.z == pytest.approx(0.063 * FOCAL / np.hypot(*(face.landmarks[2:4] - face.landmarks[:2])), rel=0.25)
    assert not policies.denied(client, "ast_net")

    # What cannot be is named, once, and gives no frame.
    for info, frame_id, reason in [
        (calibration(image, width=9), "optical", f"/camera_info is for images of 9 x {height} pixels"),
        (calibration(image, k=NO_FOCAL), "optical", "/camera_info has focal lengths 0 and 0 in K"),
        (calibration(image, k=[0.0] * 9), "optical", "/camera_info is not calibrated"),
        (good, "", "the images have no frame_id"),
    ]:
        sentence = f"no TF frames: {reason}"
        answer, frames = robot.show(face_frames[2], info, frame_id)
        while sentence not in client.sentences.get(name, ""):
            answer, frames = robot.show(face_frames[2], info, frame_id)
        assert answer.faces and frames == {}, reason
        assert client.levels[name] == DiagnosticStatus.WARN
        assert node.log.count(sentence) == 1
    wait_until(lambda: robot.show(face_frames[3], good)[1], "frames again")
    assert node.end() == 0 and "Traceback" not in node.log


def test_a_camera_without_calibration_is_named(
    client: Any, start: Any, tf2_msgs: Any, face_frames: Any, wait_until: Any
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "publish_tf:=true", "-p", "no_image_timeout:=0.5")
    node.said("waiting for images")
    reason = "no TF frames: no message on /camera_info; start its publisher, or remap it"
    wait_until(lambda: client.show(face_frames[0]).faces and reason in node.log, "the reason in the log")
    wait_until(lambda: client.show(face_frames[0]) and reason in client.sentences["ast_net: camera /image"], reason)


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed here")
def test_without_tf2_msgs_the_option_is_refused_clearly(start: Any, monkeypatch: Any) -> None:
    for variable in ("PYTHONPATH", "AMENT_PREFIX_PATH"):  # where another test of this run may have put it
        parts = os.environ[variable].split(os.pathsep)
        monkeypatch.setenv(variable, os.pathsep.join(part for part in parts if "tf2_msgs" not in part))
    node = start("ast_net_node", "--ros-args", "-p", "publish_tf:=true")
    assert node.process.wait(60) == 1
    assert "parameter publish_tf requires the package tf2_msgs" in node.log and "Traceback" not in node.log


def test_nothing_of_it_is_there_by_default(client: Any, start: Any, face_frames: Any) -> None:
    node = start("ast_net_node")
    node.said("waiting for images")
    assert client.show(face_frames[0]).faces
    assert not client.count_subscribers("/camera_info") and not client.count_publishers("/tf")

"""Images over DDS: with the package's settings they arrive; where they do not, the node says so and names the fix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.cameras import Cameras
from ast_net_ros.ros.parameter_table import PARAMETERS
from ast_net_ros.ros.runtime.transports import (
    BUILTIN_TRANSPORTS,
    FOR_IMAGES,
    PROFILE_VARIABLES,
    image_transport_settings,
    loss_advice,
    packaged_profile,
)

FRAMES = 60
CAMERA_WITHOUT_SETTINGS = '''
"""A camera driver that knows nothing of ast_net_ros: 1280x720 at 30 images per second."""
import sys, time
from array import array
import rclpy
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "wide", 5)
image = Image(height=720, width=1280, encoding="bgr8", step=3 * 1280, data=array("B", bytes(3 * 1280 * 720)))
while not publisher.get_subscription_count():
    time.sleep(0.05)
time.sleep(1.0)
start = time.monotonic()
for frame in range(int(sys.argv[1])):
    image.header.stamp = node.get_clock().now().to_msg()
    publisher.publish(image)
    time.sleep(max(0.0, start + (frame + 1) / 30 - time.monotonic()))
time.sleep(0.5)
'''
DISCOVERY = [{}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, {"ROS_LOCALHOST_ONLY": "1"}]


@pytest.fixture
def without_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A shell in which nobody has sourced env.sh."""
    for name in (BUILTIN_TRANSPORTS, *PROFILE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_settings_enlarge_sockets_and_shared_memory(without_settings: Any) -> None:
    settings = image_transport_settings()
    assert settings[BUILTIN_TRANSPORTS] == FOR_IMAGES
    assert {settings[name] for name in PROFILE_VARIABLES} == {str(packaged_profile())}
    assert packaged_profile().is_file()


@pytest.mark.parametrize("name", PROFILE_VARIABLES)
def test_the_users_own_settings_are_kept(without_settings: Any, name: str) -> None:
    without_settings.setenv(BUILTIN_TRANSPORTS, "UDPv4")
    without_settings.setenv(name, "/robot/fastdds.xml")
    assert image_transport_settings() == {BUILTIN_TRANSPORTS: "UDPv4"}


def test_the_advice_suits_the_middleware() -> None:
    assert str(packaged_profile()) in loss_advice("rmw_fastrtps_cpp")
    assert "FASTRTPS" not in loss_advice("rmw_cyclonedds_cpp")


def images_lost(client: Any, node: Any, topic: str) -> tuple[int, int, bool]:
    """Images lost and received, and whether diagnostics and log warn of the loss; where none arrives, the log does."""
    values = client.camera(topic)
    if values[keys.LOST] == keys.UNKNOWN:
        assert values[keys.RECEIVED] == "0"
        return FRAMES, 0, f"camera {topic}: no image for 2 s although the topic has 1 publisher; if images" in node.log
    sentence = client.sentences[keys.camera_status("ast_net", topic)]
    logged = any(f"camera {topic}: " in line and "lost before receipt; " in line for line in node.log.splitlines())
    return int(values[keys.LOST]), int(values[keys.RECEIVED]), "lost before receipt; " in sentence and logged


@pytest.mark.parametrize("discovery", DISCOVERY, ids=["subnet", "localhost", "localhost_only"])
def test_large_images_arrive_or_their_loss_is_reported(
    client: Any, start: Any, media: Path, tmp_path: Path, without_settings: Any, discovery: dict[str, str]
) -> None:
    """1280x720 at 30 images per second, from `replay` and from a camera driver without settings."""
    for name, value in discovery.items():
        without_settings.setenv(name, value)
    # Losses are counted where a topic has one publisher, so not on `image`, which belongs to the client.
    parameters = ("image_topics:=[wide]", "detection_interval:=10.0", "no_image_timeout:=2.0")
    rules = ("-r", "image:=replayed", *(word for parameter in parameters for word in ("-p", parameter)))
    node = start("ast_net_node", "--ros-args", *rules)
    node.said("waiting for images")
    flags = ("--size", "1280x720", "--frames", str(FRAMES), "--loop", "--wait-for-subscriber", "--topic", "replayed")
    replay = start("replay", str(media / "single_face.mp4"), *flags)
    assert replay.process.wait(60) == 0, replay.log
    lost, received, warned = images_lost(client, node, "/replayed")
    print(f"replay {discovery}: {lost} lost, {received} received")
    assert lost + received > 0.9 * FRAMES
    assert lost <= 0.1 * FRAMES or warned

    script = tmp_path / "camera.py"
    script.write_text(CAMERA_WITHOUT_SETTINGS)
    camera = start(os.fspath(script), str(FRAMES))
    assert camera.process.wait(60) == 0, camera.log
    lost, received, warned = images_lost(client, node, "/wide")
    print(f"camera {discovery}: {lost} lost, {received} received")
    assert lost <= 0.1 * FRAMES or warned
    if warned:
        assert str(packaged_profile()) in node.log, "the log names the fix"


class _RecordingNode(Node):
    """A node whose warnings are kept in place of being logged."""

    def __init__(self, context: Context):
        super().__init__("watching", context=context, start_parameter_services=False, enable_rosout=False)
        self.warnings: list[str] = []

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.warnings.append, info=lambda _: None)


@pytest.fixture
def recording_node() -> Iterator[_RecordingNode]:
    context = Context()
    rclpy.init(context=context)
    node = _RecordingNode(context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_losses_of_each_camera_are_logged_on_their_own(recording_node: _RecordingNode, wait_until: Any) -> None:
    node, topics = recording_node, ("/left", "/right")
    received: list[str] = []
    values = {spec.name: spec.default for spec in PARAMETERS}
    cameras = Cameras(node, values, on_image=lambda camera, _: received.append(camera.topic))
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    publishers = [node.create_publisher(Image, topic, 50) for topic in topics]
    for topic in topics:
        cameras.add(topic)
    wait_until(lambda: all(p.get_subscription_count() for p in publishers), "discovered")

    def send(count: int) -> None:
        """Publish images faster than a queue of one holds them."""
        received.clear()
        for publisher in publishers:
            for _ in range(count):
                publisher.publish(Image())

        def both_arrived() -> bool:
            executor.spin_once(timeout_sec=0.1)
            return set(received) == set(topics)

        wait_until(both_arrived, "received")

    send(1)
    cameras.check({}, lambda _: "")
    for _ in range(2):  # the second loss is within LOSS_LOG_PERIOD of the first
        send(50)
        cameras.check({}, lambda _: "")
    cameras.clear()
    executor.shutdown()
    logged = [text.partition(": ")[0] for text in node.warnings if "lost before receipt" in text]
    assert logged == ["camera /left", "camera /right"]

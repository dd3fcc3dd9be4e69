"""Images over DDS: with the package's settings they arrive; where they do not, the node says so and names the fix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.runtime.transports import (
    BUILTIN_TRANSPORTS,
    FOR_IMAGES,
    PROFILE_VARIABLES,
    image_transport_settings,
    loss_advice,
    packaged_profile,
)

FRAMES = 150
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


def start_node(start: Any) -> Any:
    """The node on a topic of its own: losses are counted where there is one publisher."""
    node = start("ast_net_node", "--ros-args", "-p", "detection_interval:=10.0", "-r", "image:=wide")
    node.said("waiting for images")
    return node


def images_lost(client: Any, node: Any, topic: str = "/wide") -> tuple[int, int, bool]:
    """Images lost and received, and whether diagnostics and log warn of the loss."""
    status = keys.camera_status("ast_net", topic)
    values = client.camera(topic)
    warned = "lost before receipt; " in client.sentences[status] and "lost before receipt; " in node.log
    return int(values[keys.LOST]), int(values[keys.RECEIVED]), warned


@pytest.mark.parametrize("discovery", DISCOVERY, ids=["subnet", "localhost", "localhost_only"])
def test_replay_loses_no_images_in_any_discovery_range(
    client: Any, start: Any, media: Path, without_settings: Any, discovery: dict[str, str]
) -> None:
    for name, value in discovery.items():
        without_settings.setenv(name, value)
    node = start_node(start)
    flags = ("--size", "1280x720", "--frames", str(FRAMES), "--loop", "--wait-for-subscriber", "--topic", "wide")
    replay = start("replay", str(media / "single_face.mp4"), *flags)
    assert replay.process.wait(60) == 0, replay.log
    lost, received, warned = images_lost(client, node)
    print(f"{discovery}: {lost} lost, {received} received")
    assert lost + received > 0.9 * FRAMES
    assert lost <= 0.05 * FRAMES or warned


@pytest.mark.parametrize("discovery", DISCOVERY, ids=["subnet", "localhost", "localhost_only"])
def test_loss_from_a_camera_without_settings_is_reported(
    client: Any, start: Any, tmp_path: Path, without_settings: Any, discovery: dict[str, str]
) -> None:
    for name, value in discovery.items():
        without_settings.setenv(name, value)
    node = start_node(start)
    script = tmp_path / "camera.py"
    script.write_text(CAMERA_WITHOUT_SETTINGS)
    camera = start(os.fspath(script), str(FRAMES))
    assert camera.process.wait(60) == 0, camera.log
    lost, received, warned = images_lost(client, node)
    print(f"{discovery}: {lost} lost, {received} received")
    assert lost <= 0.05 * FRAMES or warned
    if warned:
        assert str(packaged_profile()) in node.log, "the log names the fix"

"""The launch files, run by the real launch library with real nodes.

usb_cam, v4l2_camera and `ros2 bag` are stubs that record how they were called, and play a video.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from rcl_interfaces.srv import GetParameters

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.runtime.transports import BUILTIN_TRANSPORTS, FOR_IMAGES

pytest.importorskip("launch_ros", reason="launch_ros is not installed; it comes with a ROS installation, not with pip")

from launch import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource

# What `ros2 launch` does.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

service = LaunchService()
source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""
STUB = """#!{python}
import json, os, sys

with open(os.environ["NOTE"], "w") as note:
    json.dump({{"arguments": sys.argv, "transports": os.environ.get("FASTDDS_BUILTIN_TRANSPORTS")}}, note)
ros_arguments = sys.argv[sys.argv.index("--ros-args"):] if "--ros-args" in sys.argv else []
player = {player!r}
os.execv(player, [player, {video!r}, "--topic", {topic!r}, *{flags!r}, *ros_arguments])
"""


class Launched:
    """A running launch file, in a session of its own. log: all output of it and its processes."""

    def __init__(self, name: str, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]):
        self.log_path = folder / f"{name}.log"
        file = Path(get_package_share_directory("ast_net_ros")) / "launch" / name
        environment = {**environment, "ROS_LOG_DIR": str(folder / "ros_log"), "PYTHONUNBUFFERED": "1"}
        with self.log_path.open("w") as log:
            command = [sys.executable, "-c", LAUNCH, str(file), *arguments]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def end(self) -> int:
        """Press Ctrl-C: the terminal interrupts launch and its processes, and launch interrupts them again."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launched]]:
    started: list[Launched] = []

    def start(name: str, *arguments: str, **environment: str | None) -> Launched:
        given = {**os.environ, **environment}
        known = {key: value for key, value in given.items() if value is not None}
        started.append(Launched(name, arguments, tmp_path, known))
        return started[-1]

    yield start
    for one in started:
        one.end()


def wait_until(condition: Callable[[], Any], launched: Launched) -> Any:
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert launched.process.poll() is None, f"the launch ended:\n{launched.log}"
        assert time.monotonic() < deadline, f"not within a minute; the launch's log:\n{launched.log}"
        time.sleep(0.05)
    return value


def program(path: Path, video: Path, topic: str, *flags: str) -> None:
    """A stub that plays a video."""
    player = str(Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / "replay")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(STUB.format(python=sys.executable, player=player, video=str(video), topic=topic, flags=list(flags)))
    path.chmod(0o755)


def driver_package(prefix: Path, name: str, executable: str, video: Path) -> None:
    """An installed package of that name, as far as launch can tell."""
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / name
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    program(prefix / "lib" / name / executable, video, "image_raw", "--loop", "--size", "320x180")


def parameters_of(arguments: list[str]) -> dict[str, Any]:
    """The parameters that launch gave to a node."""
    given: dict[str, Any] = {}
    for index, argument in enumerate(arguments):
        if argument == "--params-file":
            for node in yaml.full_load(Path(arguments[index + 1]).read_text()).values():
                given |= node["ros__parameters"]
    return given


def test_launch_arguments_reach_the_node(client: Any, launch: Any, tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("/**:\n  ros__parameters:\n    detection_size: 96\n    max_faces: 3\n")
    launched = launch(
        "ast_net.launch.py", "namespace:=robot", "image:=/eye", "image_topics:=[left/raw]", f"config:={config}",
        "device:=cpu", "log_level:=warn", "debug_image:=false", "score_threshold:=1",
    )  # fmt: skip
    wait_until(lambda: ("ast_net", "/robot") in client.get_node_names_and_namespaces(), launched)
    values = {}
    for name in ("detector_input_size", "max_faces", "debug_image", "device", "image_topics", "score_threshold"):
        values[name] = wait_until(lambda name=name: parameter(client, "robot/ast_net", name), launched)  # type: ignore[misc]
    assert values["detector_input_size"].integer_value == 96 and values["max_faces"].integer_value == 3
    assert values["score_threshold"].double_value == 1.0
    assert values["debug_image"].bool_value is False and values["device"].string_value == "cpu"
    wait_until(lambda: client.count_subscribers("/eye") and client.count_subscribers("/robot/left/raw"), launched)
    assert launched.end() == 0
    assert "[INFO] [" not in launched.log.replace("[INFO] [launch]", "").replace("[INFO] [ast_net_node-1]", "")


def test_demo_launch_plays_in_its_namespace_on_its_topic(client: Any, launch: Any, media: Path) -> None:
    received: list[Any] = []
    subscription = client.create_subscription(ValenceArousalArray, "/robot/ast_net/faces", received.append, 100)
    video = f"video:={media / 'single_face.mp4'}"
    launched = launch("demo.launch.py", video, "namespace:=robot", "image:=eye", **{BUILTIN_TRANSPORTS: None})
    wait_until(lambda: sum(len(message.faces) for message in received) >= 20, launched)
    client.destroy_subscription(subscription)
    assert {message.source for message in received} == {"/robot/eye"}
    assert launched.end() == 0 and "Traceback" not in launched.log


@pytest.mark.parametrize(
    "driver, executable, wanted",
    [
        (
            "usb_cam",
            "usb_cam_node_exe",
            {"frame_id": "eye", "image_width": 800, "image_height": 600, "framerate": 15.0},
        ),
        (
            "v4l2_camera",
            "v4l2_camera_node",
            {"camera_frame_id": "eye", "image_size": (800, 600), "time_per_frame": (1, 15)},
        ),
    ],
)
def test_camera_launch_starts_driver_and_node(
    client: Any, launch: Any, media: Path, tmp_path: Path, driver: str, executable: str, wanted: dict[str, Any]
) -> None:
    driver_package(tmp_path / "prefix", driver, executable, media / "single_face.mp4")
    note = tmp_path / "note.json"
    prefixes = f"{tmp_path / 'prefix'}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}"
    launched = launch(
        "camera.launch.py", f"driver:={driver}", "video_device:=/dev/video7", "width:=800", "height:=600", "rate:=15",
        "frame_id:=eye", "image:=eye/image", "device:=cpu",
        AMENT_PREFIX_PATH=prefixes, NOTE=str(note), **{BUILTIN_TRANSPORTS: None},
    )  # fmt: skip
    seen = len(client.faces)
    wait_until(lambda: any(message.faces for message in client.faces[seen:]), launched)
    assert {message.source for message in client.faces[seen:]} == {"/eye/image"}
    noted = json.loads(note.read_text())
    given = parameters_of(noted["arguments"])
    assert {name: given[name] for name in wanted} == wanted and given["video_device"] == "/dev/video7"
    assert noted["transports"] == FOR_IMAGES, "the driver's process needs them as well"
    assert launched.end() == 0 and "Traceback" not in launched.log


def test_the_users_own_transports_are_kept(client: Any, launch: Any, media: Path, tmp_path: Path) -> None:
    driver_package(tmp_path / "prefix", "usb_cam", "usb_cam_node_exe", media / "single_face.mp4")
    note = tmp_path / "note.json"
    prefixes = f"{tmp_path / 'prefix'}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}"
    launched = launch("camera.launch.py", AMENT_PREFIX_PATH=prefixes, NOTE=str(note), **{BUILTIN_TRANSPORTS: "DEFAULT"})
    wait_until(note.exists, launched)
    wait_until(lambda: note.read_text().endswith("}"), launched)
    assert json.loads(note.read_text())["transports"] == "DEFAULT"


@pytest.mark.parametrize(
    "name, arguments, reason",
    [
        ("camera.launch.py", ["driver:=v4l2_camera"], "driver:=v4l2_camera: not installed"),
        ("camera.launch.py", ["driver:=webcam"], "webcam"),
        ("camera.launch.py", ["width:=wide"], "width:=wide: use a whole number above 0"),
        ("camera.launch.py", ["videodevice:=/dev/video1"], "videodevice is unknown; did you mean video_device?"),
        ("replay.launch.py", [], "give either bag or video"),
        ("replay.launch.py", ["bag:=a", "video:=b"], "give either bag or video"),
        ("replay.launch.py", ["bag:=a"], "`ros2 bag` is not installed"),
        ("replay.launch.py", ["video:=/nowhere.mp4"], "video:=/nowhere.mp4: no such file"),
        ("demo.launch.py", ["video:=/nowhere.mp4"], "video:=/nowhere.mp4: no such file"),
        ("demo.launch.py", ["video:=/nowhere.mp4", "looop:=false"], "looop is unknown; did you mean loop?"),
        ("ast_net.launch.py", ["devcie:=cpu"], "devcie is unknown; did you mean device?"),
        ("ast_net.launch.py", ["colour:=red"], "colour is unknown"),
        ("ast_net.launch.py", ["config:=/nowhere.yaml"], "config:=/nowhere.yaml: no such file"),
        ("ast_net.launch.py", ["log_level:=verbose"], "verbose"),
        ("ast_net.launch.py", ["image_topics:=[left"], "image_topics:=[left: not valid YAML"),
    ],
)
def test_a_wrong_launch_starts_nothing(
    launch: Any, tmp_path: Path, name: str, arguments: list[str], reason: str
) -> None:
    launched = launch(name, *arguments, PATH=str(tmp_path))
    assert launched.process.wait(60) == 1
    assert reason in launched.log
    assert "process started" not in launched.log


@pytest.mark.parametrize("name", ["camera.launch.py", "demo.launch.py", "replay.launch.py"])
def test_every_launch_file_lists_the_nodes_arguments(name: str) -> None:
    file = Path(get_package_share_directory("ast_net_ros")) / "launch" / name
    description = PythonLaunchDescriptionSource(str(file)).get_launch_description(LaunchContext())
    names = {argument.name for argument in description.get_launch_arguments()}
    assert {"device", "namespace", "detector_input_size", "detection_interval", "score_threshold"} <= names
    assert {"smoothing_time_constant", "config", "fastdds_settings"} <= names


def test_ctrl_c_ends_every_process_cleanly(client: Any, launch: Any, media: Path) -> None:
    for _ in range(2):
        launched = launch("demo.launch.py", f"video:={media / 'single_face.mp4'}")
        seen = len(client.faces)
        wait_until(lambda seen=seen: len(client.faces) > seen + 5, launched)  # type: ignore[misc]
        assert launched.end() == 0
        assert launched.log.count("process has finished cleanly") == 2, launched.log
        assert "process has died" not in launched.log and "Traceback" not in launched.log


def test_another_launch_file_keeps_its_environment_on_request(launch: Any, media: Path, tmp_path: Path) -> None:
    driver_package(tmp_path / "prefix", "usb_cam", "usb_cam_node_exe", media / "single_face.mp4")
    note = tmp_path / "note.json"
    prefixes = f"{tmp_path / 'prefix'}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}"
    environment = {"AMENT_PREFIX_PATH": prefixes, "NOTE": str(note), BUILTIN_TRANSPORTS: None}
    launched = launch("camera.launch.py", "fastdds_settings:=false", **environment)
    wait_until(lambda: note.exists() and note.read_text().endswith("}"), launched)
    assert json.loads(note.read_text())["transports"] is None


def test_replay_launch_ends_with_the_video(client: Any, launch: Any, media: Path) -> None:
    seen = len(client.faces)
    launched = launch("replay.launch.py", f"video:={media / 'single_face.mp4'}", "image:=recorded", "rate:=0.5")
    assert launched.process.wait(90) == 0, launched.log
    assert '"published": 72' in launched.log
    received = client.faces[seen:]
    assert {message.source for message in received} == {"/recorded"} and sum(len(m.faces) for m in received) > 20


def test_replay_launch_plays_a_bag_in_its_own_time(client: Any, launch: Any, media: Path, tmp_path: Path) -> None:
    program(
        tmp_path / "bin" / "ros2", media / "single_face.mp4", "camera/image", "--wait-for-subscriber", "--frames", "20"
    )
    note, seen = tmp_path / "note.json", len(client.faces)
    marker = tmp_path / "prefix" / "share" / "ament_index" / "resource_index" / "packages" / "ros2bag"
    marker.parent.mkdir(parents=True)
    marker.touch()
    bag = tmp_path / "my_bag"
    bag.mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    launched = launch(
        "replay.launch.py",
        f"bag:={bag}",
        "image:=camera/image",
        "rate:=2.0",
        "delay:=0.5",
        "loop:=true",
        PATH=path,
        NOTE=str(note),
        AMENT_PREFIX_PATH=f"{tmp_path / 'prefix'}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}",
    )
    # Asked of the node itself, while it is there.
    sim_time = wait_until(lambda: use_sim_time(client), launched)
    assert sim_time is True
    assert launched.process.wait(90) == 0, launched.log
    noted = json.loads(note.read_text())
    assert noted["arguments"][1:] == ["bag", "play", str(bag), "--clock", "--rate", "2.0", "--delay", "0.5", "--loop"]
    assert any(message.source == "/camera/image" for message in client.faces[seen:])


def use_sim_time(client: Any) -> Any:
    """The node's parameter; None while there is no node."""
    value = parameter(client, "ast_net", "use_sim_time")
    return value and value.bool_value


def parameter(client: Any, node: str, name: str) -> Any:
    """The value of a node's parameter as a message; None while there is no such node."""
    service = client.create_client(GetParameters, f"{node}/get_parameters")
    try:
        if not service.wait_for_service(0.5):
            return None
        future = service.call_async(GetParameters.Request(names=[name]))
        deadline = time.monotonic() + 5
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.02)
        return future.result().values[0] if future.done() else None
    finally:
        client.destroy_client(service)

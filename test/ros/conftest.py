"""What the ROS tests share: the package's executables as processes, and a client that talks to them over DDS."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import image_message, nanoseconds, time_message
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.spinning import Spinner
from ast_net_ros.ros.runtime.transports import image_transport_environment
from ast_net_ros.vision.video import open_video

PATIENCE = 60.0  # seconds until a test gives up waiting; no test measures time by it


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of `condition`; fails the test saying `what` did not happen."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"within {patience:.0f} s: not {what}")
        time.sleep(0.02)
    return value


class Executable:
    """One of the package's executables, running. `log` is what it has written, stdout and stderr together."""

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path):
        self.log_path = log_path
        path = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / name
        with log_path.open("w") as file:
            command = [sys.executable, str(path), *arguments]
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, text=True)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def said(self, text: str) -> Any:
        return wait_until(lambda: text in self.log, f"'{text}' in the log:\n{self.log}")

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class Client(Node):
    """A robot's other nodes in one: cameras, a reader of estimates, a lifecycle manager.

    faces, primary: received messages in order. diagnostics: the last keys and values of each status by its name;
    levels and sentences likewise.
    """

    def __init__(self) -> None:
        super().__init__("client")
        self.faces: list[ValenceArousalArray] = []
        self.primary: list[ValenceArousal] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.levels: dict[str, Any] = {}
        self.sentences: dict[str, str] = {}
        self.images = self.create_publisher(Image, "image", 1)
        self._stamp_ns = time.time_ns()
        self._services_used: dict[str, Any] = {}
        reliable = QoSProfile(depth=1000, reliability=QoSReliabilityPolicy.RELIABLE)
        self.create_subscription(ValenceArousalArray, "ast_net/faces", self.faces.append, reliable)
        self.create_subscription(ValenceArousal, "ast_net/valence_arousal", self.primary.append, reliable)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics[status.name] = {pair.key: pair.value for pair in status.values}
            self.levels[status.name] = status.level
            self.sentences[status.name] = status.message

    def next_stamp(self, step: float = 0.04) -> int:
        """A stamp in nanoseconds, `step` seconds after the last."""
        self._stamp_ns += round(step * 1e9)
        return self._stamp_ns

    def answer_to(self, message: Any, publisher: Any = None) -> ValenceArousalArray:
        """Publish an image, again until it is answered, and return the answer.

        Best effort may lose it, and a subscriber that was just made may not know of this publisher yet.
        """
        stamp, publisher = nanoseconds(message.header.stamp), publisher or self.images
        deadline = time.monotonic() + PATIENCE
        seen = len(self.faces)
        while time.monotonic() < deadline:
            publisher.publish(message)
            again = time.monotonic() + 1.0
            while time.monotonic() < again:
                found = [m for m in self.faces[seen:] if nanoseconds(m.header.stamp) == stamp]
                if found:
                    return found[0]
                time.sleep(0.005)
        pytest.fail(f"no answer to the image of stamp {stamp} within {PATIENCE:.0f} s")

    def show(self, image: np.ndarray, step: float = 0.04, frame_id: str = "camera") -> ValenceArousalArray:
        """Publish an image `step` seconds after the last and return the answer."""
        header = Header(stamp=time_message(self.next_stamp(step)), frame_id=frame_id)
        return self.answer_to(image_message(header, image))

    def call(self, service_type: type, name: str, request: Any) -> Any:
        """The service's response."""
        if name not in self._services_used:
            self._services_used[name] = self.create_client(service_type, name)
        client = self._services_used[name]
        if not client.service_is_ready():
            assert client.wait_for_service(PATIENCE), f"no service {name}"
            time.sleep(0.5)  # until the service, has discovered this client as well
        future = client.call_async(request)
        wait_until(future.done, f"an answer of {name}")
        return future.result()

    def set_parameter(self, name: str, value: Any) -> Any:
        """The result of setting one parameter of the node: `.successful` and `.reason`."""
        message: ParameterMessage = Parameter(name, value=value).to_parameter_msg()
        return self.call(SetParameters, "ast_net/set_parameters", SetParameters.Request(parameters=[message])).results[
            0
        ]

    def transition(self, number: int) -> bool:
        """Ask for a lifecycle transition; whether it was made."""
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, "ast_net/change_state", request).success

    def state(self) -> str:
        return self.call(GetState, "ast_net/get_state", GetState.Request()).current_state.label

    def reset(self) -> Any:
        return self.call(Trigger, "ast_net/reset", Trigger.Request())

    def camera(self, topic: str = "/image") -> dict[str, str]:
        """The next diagnostics of a camera."""
        name = f"ast_net: camera {topic}"
        self.diagnostics.pop(name, None)
        return wait_until(lambda: self.diagnostics.get(name), f"diagnostics of camera {topic}")


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture() -> Callable[..., Any]:
    return wait_until


@pytest.fixture(scope="session", autouse=True)
def own_domain() -> None:
    """Concurrent runs of these tests must not receive each other."""
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    os.environ.update(image_transport_environment())


@pytest.fixture(scope="session")
def client(own_domain: None) -> Iterator[Client]:
    rclpy.init()
    node = Client()
    spinner = Spinner(node, on_failure=lambda: None)
    yield node
    spinner.stop()
    node.destroy_node()
    rclpy.shutdown()


Starter = Callable[..., Executable]


def _starter(folder: Path) -> Iterator[Starter]:
    started: list[Executable] = []

    def start(name: str, *arguments: str) -> Executable:
        started.append(Executable(name, arguments, folder / f"{Path(name).stem}-{len(started)}.log"))
        return started[-1]

    yield start
    for executable in started:
        try:
            executable.end()
        except subprocess.TimeoutExpired:
            executable.process.kill()
            executable.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts an executable that does not outlive the test."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts an executable that lives until the module's last test."""
    yield from _starter(tmp_path_factory.mktemp("logs"))


def frames_of(video: Path, count: int | None = None, step: int = 1) -> list[np.ndarray]:
    """Frames of a video, every `step`-th of the first ones."""
    with open_video(video) as opened:
        return [image for _, image in itertools.islice(opened, 0, None if count is None else count * step, step)]


@pytest.fixture(scope="session")
def face_frames(media: Path) -> list[np.ndarray]:
    """Thirty frames of one person, from neutral to a grin."""
    return frames_of(media / "single_face.mp4", count=30, step=2)


@pytest.fixture(scope="session")
def empty_frames(media: Path) -> list[np.ndarray]:
    """Ten frames without a face."""
    return frames_of(media / "no_face.mp4", count=10, step=2)

"""What happens to the node during a soak run: cameras that come, go and pause, parameters, resets, subscribers."""

from __future__ import annotations

import argparse
import csv
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from ast_net_ros.child_process import ChildProcess, start
from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.runtime.executables import executable_command
from ast_net_ros.ros.runtime.spinning import Spinner
from soak.report import LEASE, SLOWEST_SERVICE, CameraRun
from soak.watch import Observer, describe

VIDEOS = ("WolfgangLanger_Pexels.mp4", "single_face.mp4", "face_noface.mov", "noface_face.mov", "multi_face.jpg")
TIMEOUTS = (0.5, 1.0, 2.0)
# Parameter values that the node must accept at any time, and values that it must reject.
ACCEPTED: tuple[tuple[str, Any], ...] = (
    *(("track_timeout", value) for value in TIMEOUTS),
    *(("score_threshold", value) for value in (0.5, 0.7, 0.9)),
    *(("max_faces", value) for value in (1, 4, 16)),
    *(("detection_interval", value) for value in (0.0, 0.0, 0.3)),
    *(("smoothing_time_constant", value) for value in (0.0, 0.5)),
    *(("min_face_pixels", value) for value in (24.0, 40.0)),
    *(("debug_image", value) for value in (True, False)),
)
REJECTED: tuple[tuple[str, Any], ...] = (
    ("score_threshold", float("nan")),
    ("max_faces", 0),
    ("device", "cuda:0"),
    ("track_timeout", "long"),
)
END_SECONDS = 20.0


class SoakError(RuntimeError):
    """The soak cannot continue; the message is for the user."""


@dataclass
class Camera:
    """A camera topic and the process that publishes on it.

    Attributes:
        topic: Image topic.
        run: The current or the last process.
        child: The current process; None while the camera is away.
        stamps: File that the process writes the stamps of its images to.
        restart_at: When a camera that is away is started again, seconds since the soak started.
        resume_at: When a suspended process is resumed; None if it is not suspended.
    """

    topic: str
    run: CameraRun | None = None
    child: ChildProcess | None = None
    stamps: Path = Path()
    restart_at: float = 0.0
    resume_at: float | None = None


@dataclass
class Soak:
    """The state of a run.

    Attributes:
        options: Of the command line.
        scratch: Directory for logs and stamps.
        observer: Receives what the node publishes.
        random: Selects events.
        cameras: All camera topics.
        start: Start on the monotonic clock, seconds.
        camera_runs: Every process of a camera so far.
        events: Seconds since the start, kind and details of every event so far.
        slowest_service: Longest service call so far, seconds.
        subscribers: When and how the present subscribers leave.
    """

    options: argparse.Namespace
    scratch: Path
    observer: Observer
    random: random.Random
    cameras: list[Camera]
    start: float = 0.0
    camera_runs: list[CameraRun] = field(default_factory=list)
    events: list[tuple[float, str, str]] = field(default_factory=list)
    slowest_service: float = 0.0
    subscribers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds since the soak started."""
        return time.monotonic() - self.start

    def record(self, kind: str, details: str = "") -> None:
        """Add an event to the record."""
        self.events.append((round(self.now, 2), kind, details))

    def call(self, service_type: type, name: str, request: Any) -> Any:
        """Call a service.

        Raises:
            SoakError: There is no response within SLOWEST_SERVICE seconds.
        """
        client = self.observer.create_client(service_type, name)
        try:
            if not client.wait_for_service(SLOWEST_SERVICE):
                raise SoakError(f"service {name} does not exist")
            time.sleep(0.3)  # until the service has discovered this client as well
            called = time.monotonic()
            future = client.call_async(request)
            while not future.done():
                if time.monotonic() - called > SLOWEST_SERVICE:
                    raise SoakError(f"service {name} did not respond within {SLOWEST_SERVICE:g} s")
                time.sleep(0.005)
            self.slowest_service = max(self.slowest_service, time.monotonic() - called)
            return future.result()
        finally:
            self.observer.destroy_client(client)


def update_cameras(soak: Soak) -> None:
    """Resume suspended cameras and start those that are due."""
    for camera in soak.cameras:
        if camera.resume_at is not None and soak.now >= camera.resume_at:
            camera.resume_at = None
            if camera.child is not None and camera.run is not None:
                camera.child.popen.send_signal(signal.SIGCONT)
                camera.run.pauses[-1] = (camera.run.pauses[-1][0], soak.now)
        if camera.child is not None and camera.child.popen.poll() is not None:
            raise SoakError(str(camera.child.failure("ended by itself")))
        if camera.child is None and soak.now >= camera.restart_at:
            _start_camera(soak, camera)


def _start_camera(soak: Soak, camera: Camera) -> None:
    video, number = soak.random.choice(VIDEOS), len(soak.camera_runs)
    camera.stamps = soak.scratch / f"stamps{number}.csv"
    play = [str(soak.options.media / video), "--topic", camera.topic, "--size", "480x270", "--loop"]
    play += ["--rate", str(soak.options.rate), "--wait-for-subscriber", "--stamps", str(camera.stamps)]
    log = soak.scratch / f"camera{number}.log"
    camera.child = start(executable_command("replay", play), log, f"camera {camera.topic}")
    camera.run = CameraRun(camera.topic, video, soak.now)
    soak.camera_runs.append(camera.run)
    soak.record("camera starts", f"{camera.topic} {video}")


def disturb_a_camera(soak: Soak) -> None:
    """Kill, end or suspend a camera; one always keeps running."""
    active = [c for c in soak.cameras if c.child is not None and c.resume_at is None]
    if len(active) < 2:
        return
    camera = soak.random.choice(active)
    kind = soak.random.choice(("kill", "end", "pause"))
    soak.record(f"camera: {kind}", camera.topic)
    if kind == "pause":
        assert camera.child is not None and camera.run is not None
        camera.child.popen.send_signal(signal.SIGSTOP)
        camera.resume_at = soak.now + soak.random.uniform(1.0, 4.0)
        camera.run.pauses.append((soak.now, float("inf")))
        return
    _end_camera(soak, camera, signal.SIGKILL if kind == "kill" else signal.SIGINT)
    away = soak.random.uniform(1.0, 5.0) if kind == "end" else LEASE + soak.random.uniform(0.0, 5.0)
    camera.restart_at = soak.now + away / soak.options.pace


def _end_camera(soak: Soak, camera: Camera, number: int) -> None:
    """End a camera's process and read the stamps of what it published."""
    assert camera.child is not None and camera.run is not None
    camera.run.killed = soak.now if number == signal.SIGKILL else None
    camera.child.popen.send_signal(signal.SIGCONT)
    camera.child.popen.send_signal(number)
    camera.child.popen.wait(END_SECONDS)
    camera.run.end = soak.now
    if camera.stamps.exists():
        with camera.stamps.open(newline="") as file:
            # A line that was cut off by a kill has an incomplete stamp.
            rows = [row for row in csv.DictReader(file) if len(row["stamp_ns"] or "") == 19]
        camera.run.sent = [int(row["stamp_ns"]) for row in rows]
    camera.child, camera.resume_at = None, None


def end_cameras(soak: Soak) -> None:
    """End all cameras."""
    for camera in soak.cameras:
        if camera.child is not None:
            _end_camera(soak, camera, signal.SIGINT)


def set_a_parameter(soak: Soak) -> None:
    """Set a parameter, one time out of five to a value that the node must reject."""
    reject = soak.random.random() < 0.2
    name, value = soak.random.choice(REJECTED if reject else ACCEPTED)
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = soak.call(SetParameters, "ast_net/set_parameters", request).results[0]
    soak.record("parameter rejected" if reject else "parameter set", f"{name}={value}")
    if result.successful == reject:
        soak.record("unexpected result", f"{name}={value}: {describe(result)}")


def reset(soak: Soak) -> None:
    """Reset all face states."""
    result = soak.call(Trigger, "ast_net/reset", Trigger.Request())
    soak.record("reset", result.message)
    if not result.success:
        soak.record("unexpected result", f"reset: {describe(result)}")


def add_subscriber(soak: Soak) -> None:
    """Add a subscriber with a participant of its own, which leaves in order after a while."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = rclpy.create_node("subscriber", context=context, start_parameter_services=False)
    node.create_subscription(ValenceArousalArray, "ast_net/faces", lambda message: None, 10)
    node.create_subscription(Image, "ast_net/debug_image", lambda message: None, 1)
    spinner = Spinner(node, on_failure=lambda: None)

    def leave() -> None:
        spinner.stop()
        node.destroy_node()
        rclpy.shutdown(context=context)
        soak.record("subscriber leaves")

    soak.subscribers.append((soak.now + soak.random.uniform(2.0, 10.0) / soak.options.pace, leave))
    soak.record("subscriber joins")


def add_subscriber_process(soak: Soak) -> None:
    """Start a subscriber process that is killed after a while."""
    child = start(executable_command("behavior_example"), soak.scratch / "subscriber.log")

    def kill() -> None:
        child.popen.kill()
        child.popen.wait()
        soak.record("subscriber killed")

    soak.subscribers.append((soak.now + soak.random.uniform(4.0, 8.0), kill))


def end_subscribers(soak: Soak, until: float = float("inf")) -> None:
    """End the subscribers that are due.

    Args:
        soak: The run.
        until: End those that leave up to this time, seconds since the soak started.
    """
    for leaving in [subscriber for subscriber in soak.subscribers if subscriber[0] <= until]:
        soak.subscribers.remove(leaving)
        leaving[1]()

"""`soak`: runs the node for long under changing conditions and fails when it loses, leaks or breaks something.

In: face videos (in $AST_NET_MEDIA). Out: a folder with `soak.json`, `soak.png` and the node's log, a table of what
held on the terminal, and the exit code 1 when something did not. Cameras (`replay` processes) show changing faces, die,
stand still and return; parameters change, also to what cannot be; faces are reset; subscribers join, leave, are killed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import get_package_prefix
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tqdm import tqdm

from ast_net_ros.child_process import die_with_parent, end_process
from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.spinning import Spinner, StopSignal
from ast_net_ros.ros.runtime.transports import environment_for_images
from soak.report import LEASE, SLOWEST_SERVICE, CameraLife, SoakRun, plot, report
from soak.watch import Observer, Sample, describe, sample

VIDEOS = ("WolfgangLanger_Pexels.mp4", "single_face.mp4", "face_noface.mov", "noface_face.mov", "multi_face.jpg")
TIMEOUTS = (0.5, 1.0, 2.0)
# What may be asked of the node at any time, and what it must refuse.
ACCEPTED: tuple[tuple[str, Any], ...] = (
    *(("track_timeout", value) for value in TIMEOUTS),
    *(("score_threshold", value) for value in (0.5, 0.7, 0.9)),
    *(("max_faces", value) for value in (1, 4, 16)),
    *(("detection_interval", value) for value in (0.0, 0.0, 0.3)),
    *(("smoothing_time_constant", value) for value in (0.0, 0.5)),
    *(("min_face_pixels", value) for value in (24.0, 40.0)),
    *(("debug_image", value) for value in (True, False)),
)
REFUSED: tuple[tuple[str, Any], ...] = (
    ("score_threshold", float("nan")),
    ("max_faces", 0),
    ("device", "cuda:0"),
    ("track_timeout", "long"),
)
_START_SECONDS, _LINGER_SECONDS = 120.0, 20.0


class SoakError(RuntimeError):
    """The soak cannot be run; the message is for the user."""


@dataclass
class _Camera:
    """A camera's process. returns: when it comes back, in seconds since the start; goes_on: when it is let go on."""

    topic: str
    life: CameraLife | None = None
    process: subprocess.Popen[str] | None = None
    stamps: Path = Path()
    log: Path = Path()
    returns: float = 0.0
    goes_on: float | None = None


@dataclass
class _Soak:
    """The state of a run that the happenings act on."""

    options: argparse.Namespace
    scratch: Path
    observer: Observer
    chance: random.Random
    cameras: list[_Camera]
    began: float = 0.0
    lives: list[CameraLife] = field(default_factory=list)
    events: list[tuple[float, str, str]] = field(default_factory=list)
    slowest_service: float = 0.0
    guests: list[tuple[float, Callable[[], None]]] = field(default_factory=list)  # (when, how) subscribers leave

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def note(self, kind: str, what: str) -> None:
        self.events.append((round(self.now, 2), kind, what))

    def call(self, service_type: type, name: str, request: Any) -> Any:
        """A service's answer; SoakError when none comes, for the node must always answer."""
        client = self.observer.create_client(service_type, name)
        try:
            if not client.wait_for_service(SLOWEST_SERVICE):
                raise SoakError(f"service {name} is not there")
            time.sleep(0.3)  # until the service knows of this client as well
            called = time.monotonic()
            future = client.call_async(request)
            while not future.done():
                if time.monotonic() - called > SLOWEST_SERVICE:
                    raise SoakError(f"service {name} gave no answer within {SLOWEST_SERVICE:g} s")
                time.sleep(0.005)
            self.slowest_service = max(self.slowest_service, time.monotonic() - called)
            return future.result()
        finally:
            self.observer.destroy_client(client)


def main(arguments: Sequence[str] | None = None) -> int:
    """The executable `soak`. Returns its exit code."""
    options = _parse(arguments)
    os.environ.update(environment_for_images())
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            run = _run(options, Path(scratch))
        figures = report(run)
        (options.output / "soak.json").write_text(json.dumps(figures, indent=1) + "\n")
        (options.output / "node.log").write_text(run.log)
        plot(run, options.output / "soak.png")
    except (SoakError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for check in figures["checks"]:
        print(f"{'holds ' if check['holds'] else 'BROKEN'}  {check['name']}: {check['value']}")
    print(
        f"{'all held' if figures['holds'] else 'NOT ALL HELD'} over {figures['minutes']} minutes; see {options.output}"
    )
    return 0 if figures["holds"] else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Run the node for long under changing conditions.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)g)")
    parser.add_argument("--output", type=Path, default=Path("out/soak"), help="folder (default: %(default)s)")
    parser.add_argument("--cameras", type=int, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.3, help="speed of the videos (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=1.0, help="2 lets happen twice as much (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of what happens (default: %(default)s)")
    options = parser.parse_args(arguments)
    media = os.environ.get("AST_NET_MEDIA", "")
    if not (Path(media) / VIDEOS[0]).is_file():
        parser.error(f"AST_NET_MEDIA='{media}' has no {VIDEOS[0]}; run make soak, which fetches the videos")
    options.media = Path(media)
    return options


def _run(options: argparse.Namespace, scratch: Path) -> SoakRun:
    """Start everything, let happen, watch, end everything in order."""
    stop = StopSignal()
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    with ExitStack() as stack:
        stack.callback(rclpy.shutdown)
        observer = Observer()
        stack.callback(observer.destroy_node)
        spinner = Spinner(observer, on_failure=stop.set)
        stack.callback(spinner.stop)
        cameras = [_Camera(f"/cam{number + 1}") for number in range(options.cameras)]
        topics = ", ".join(camera.topic for camera in cameras)
        log = scratch / "node.log"
        node = _start(["ast_net_node", "--ros-args", "-p", f"image_topics:=[{topics}]"], log)
        stack.callback(end_process, node, _LINGER_SECONDS)
        soak = _Soak(options, scratch, observer, random.Random(options.seed), cameras)
        stack.callback(_end_cameras, soak)
        stack.callback(_dismiss_guests, soak)
        _await(lambda: "waits for images" in log.read_text(errors="replace"), node, "to wait for images", stop)
        began_ns = time.time_ns()
        soak.began = time.monotonic()
        samples = _watch(soak, node, stop)
        _dismiss_guests(soak)
        _end_cameras(soak)
        quiet = time.monotonic() + 2.0  # until the last images are answered, then until the node has told its counts
        _await(lambda: observer.diagnostics_at > quiet, node, "to publish its diagnostics", stop)
        code = end_process(node, _LINGER_SECONDS)
        return SoakRun(
            minutes=soak.now / 60,
            began=soak.began,
            began_ns=began_ns,
            samples=samples,
            lives=soak.lives,
            observer=observer,
            events=soak.events,
            slowest_service=soak.slowest_service,
            longest_timeout=max(TIMEOUTS),
            exit_code=code,
            log=log.read_text(errors="replace"),
        )


def _watch(soak: _Soak, node: subprocess.Popen[str], stop: StopSignal) -> list[Sample]:
    """Until the time is over: let things happen when they are due, and take a sample each second."""
    seconds, pace = soak.options.minutes * 60, soak.options.pace
    happenings = {
        _trouble_a_camera: 20.0,
        _set_a_parameter: 6.0,
        _reset: 25.0,
        _invite_a_guest: 15.0,
        _kill_a_guest: 90.0,
    }
    due = {happening: soak.chance.uniform(0.3, 1.0) * period / pace for happening, period in happenings.items()}
    samples: list[Sample] = []
    with tqdm(total=round(seconds), unit="s", desc="soak", mininterval=1.0) as bar:
        while soak.now < seconds and not stop.is_set():
            if node.poll() is not None:
                raise SoakError(
                    f"the node ended by itself with code {node.returncode}:\n{_tail(soak.scratch / 'node.log')}"
                )
            _look_after_cameras(soak)
            for happening, moment in list(due.items()):
                if soak.now >= moment:
                    happening(soak)
                    due[happening] = soak.now + soak.chance.uniform(0.5, 1.5) * happenings[happening] / pace
            for leaving in [guest for guest in soak.guests if guest[0] <= soak.now]:
                soak.guests.remove(leaving)
                leaving[1]()
            if not samples or soak.now - samples[-1].seconds >= 1.0:
                samples.append(sample(node.pid, soak.now, soak.observer))
                bar.update(round(samples[-1].seconds) - bar.n)
                bar.set_postfix(answers=soak.observer.answered, memory=f"{samples[-1].memory:.0f} MiB")
            stop.wait(0.05)
    if len(samples) < 10:
        raise SoakError(f"interrupted after {soak.now:.0f} s, too early for any figure")
    return samples


# What happens


def _look_after_cameras(soak: _Soak) -> None:
    """Let those that stand still go on and those that are due come back."""
    for camera in soak.cameras:
        if camera.goes_on is not None and soak.now >= camera.goes_on:
            camera.goes_on = None
            if camera.process is not None and camera.life is not None:
                camera.process.send_signal(signal.SIGCONT)
                camera.life.interruptions[-1] = (camera.life.interruptions[-1][0], soak.now)
        if camera.process is not None and camera.process.poll() is not None:
            raise SoakError(f"camera {camera.topic} ended by itself:\n{_tail(camera.log)}")
        if camera.process is None and soak.now >= camera.returns:
            _begin_camera(soak, camera)


def _begin_camera(soak: _Soak, camera: _Camera) -> None:
    video = soak.chance.choice(VIDEOS)
    camera.stamps = soak.scratch / f"stamps{len(soak.lives)}.csv"
    play = [str(soak.options.media / video), "--topic", camera.topic, "--size", "480x270", "--loop"]
    play += ["--rate", str(soak.options.rate), "--wait-for-subscriber", "--stamps", str(camera.stamps)]
    camera.log = soak.scratch / f"camera{len(soak.lives)}.log"
    camera.process = _start(["replay", *play], camera.log)
    camera.life = CameraLife(camera.topic, video, soak.now)
    soak.lives.append(camera.life)
    soak.note("camera begins", f"{camera.topic} {video}")


def _trouble_a_camera(soak: _Soak) -> None:
    """Kill one, end one, or let one stand still for a while; one always lives on."""
    lively = [c for c in soak.cameras if c.process is not None and c.goes_on is None]
    if len(lively) < 2:
        return
    camera = soak.chance.choice(lively)
    kind = soak.chance.choice(("kill", "end", "stand still"))
    soak.note(f"camera: {kind}", camera.topic)
    if kind == "stand still":
        assert camera.process is not None and camera.life is not None
        camera.process.send_signal(signal.SIGSTOP)
        camera.goes_on = soak.now + soak.chance.uniform(1.0, 4.0)
        camera.life.interruptions.append((soak.now, float("inf")))
        return
    _end_camera(soak, camera, signal.SIGKILL if kind == "kill" else signal.SIGINT)
    away = soak.chance.uniform(1.0, 5.0) if kind == "end" else LEASE + soak.chance.uniform(0.0, 5.0)
    camera.returns = soak.now + away / soak.options.pace


def _end_camera(soak: _Soak, camera: _Camera, number: int) -> None:
    """End its process and read what it sent."""
    assert camera.process is not None and camera.life is not None
    camera.life.killed = soak.now if number == signal.SIGKILL else None
    camera.process.send_signal(signal.SIGCONT)
    camera.process.send_signal(number)
    camera.process.wait(_LINGER_SECONDS)
    camera.life.ended = soak.now
    if camera.stamps.exists():
        with camera.stamps.open(newline="") as file:
            # A line that was cut off by a kill has no whole stamp.
            rows = [row for row in csv.DictReader(file) if len(row["stamp_ns"] or "") == 19]
        camera.life.sent = [int(row["stamp_ns"]) for row in rows]
    camera.process, camera.goes_on = None, None


def _end_cameras(soak: _Soak) -> None:
    for camera in soak.cameras:
        if camera.process is not None:
            _end_camera(soak, camera, signal.SIGINT)


def _set_a_parameter(soak: _Soak) -> None:
    wrong = soak.chance.random() < 0.2
    name, value = soak.chance.choice(REFUSED if wrong else ACCEPTED)
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = soak.call(SetParameters, "ast_net/set_parameters", request).results[0]
    soak.note("parameter refused" if wrong else "parameter set", f"{name}={value}")
    if result.successful == wrong:
        soak.note("unexpected answer", f"{name}={value}: {describe(result)}")


def _reset(soak: _Soak) -> None:
    result = soak.call(Trigger, "ast_net/reset", Trigger.Request())
    soak.note("reset", result.message)
    if not result.success:
        soak.note("unexpected answer", f"reset: {describe(result)}")


def _invite_a_guest(soak: _Soak) -> None:
    """A subscriber in a participant of its own, which leaves in order after a while."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    guest = rclpy.create_node("guest", context=context, start_parameter_services=False)
    guest.create_subscription(ValenceArousalArray, "ast_net/faces", lambda message: None, 10)
    guest.create_subscription(Image, "ast_net/debug_image", lambda message: None, 1)
    spinner = Spinner(guest, on_failure=lambda: None)

    def leave() -> None:
        spinner.stop()
        guest.destroy_node()
        rclpy.shutdown(context=context)
        soak.note("subscriber leaves", "")

    soak.guests.append((soak.now + soak.chance.uniform(2.0, 10.0) / soak.options.pace, leave))
    soak.note("subscriber joins", "")


def _kill_a_guest(soak: _Soak) -> None:
    """A subscriber process that is killed after a while."""
    process = _start(["behavior_example"], soak.scratch / "guest.log")

    def kill() -> None:
        process.kill()
        process.wait()
        soak.note("subscriber killed", "")

    soak.guests.append((soak.now + soak.chance.uniform(4.0, 8.0), kill))


def _dismiss_guests(soak: _Soak) -> None:
    while soak.guests:
        soak.guests.pop()[1]()


# Processes


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[str]:
    executable = Path(get_package_prefix("ast_net_ros")) / "lib" / "ast_net_ros" / command[0]
    with log.open("w") as file:
        tied = die_with_parent([sys.executable, str(executable), *command[1:]])
        return subprocess.Popen(tied, stdout=file, stderr=subprocess.STDOUT, text=True)


def _await(condition: Callable[[], bool], node: subprocess.Popen[str], what: str, stop: StopSignal) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if node.poll() is not None or time.monotonic() > deadline or stop.is_set():
            raise SoakError(f"waited in vain for the node {what}")
        time.sleep(0.05)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


if __name__ == "__main__":
    sys.exit(main())

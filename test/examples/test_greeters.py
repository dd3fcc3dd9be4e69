"""The greeters, run as programs, react over DDS to a smile at the robot and to an upset face, and to nothing else."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from std_msgs.msg import Header, String

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.conversions import affect_array, time_message
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.spinning import Spinner
from ast_net_ros.vision.video import open_video

pytest.importorskip("py_trees", reason="no py_trees: pip install py_trees")

ROOT = Path(__file__).parents[2]
GREETER = [str(ROOT / "examples" / "greeter.py")]
TREE_GREETER = [str(ROOT / "examples" / "greeter_bt_cpp.py")]
MOODS = [str(ROOT / "scripts" / "behavior_example")]
HELP, GREETING = "Shall I slow down?", "Good to see you."
STEP_NS = 100_000_000


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.02)


class Stage:
    """Publishes estimates as the node would, and keeps what the started programs say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        monkeypatch.setenv("ROS_DOMAIN_ID", str(reserve_domain()))
        self.said: list[str] = []
        self._folder = folder
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("stage", context=self._context)
        self.node.create_subscription(String, "say", self._on_speech, 10)
        self._publisher = self.node.create_publisher(ValenceArousalArray, "ast_net/faces", 100)
        self._spinner = Spinner(self.node, on_failure=lambda: None)
        self._programs: list[subprocess.Popen[bytes]] = []
        self._stamp_ns = 10**18

    def _on_speech(self, message: String) -> None:
        self.said.append(message.data)

    def start(self, *programs: list[str]) -> None:
        """Starts the programs and waits until they have found each other."""
        rule = ["--ros-args", "-r", "faces:=ast_net/faces"]
        for number, program in enumerate(programs):
            with (self._folder / f"{number}.log").open("wb") as log:
                command = [sys.executable, *program, *(rule if program is MOODS else [])]
                self._programs.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_until(self._publisher.get_subscription_count, "the estimates are heard")
        wait_until(lambda: self.node.count_publishers("say"), "a program that speaks")
        if MOODS in programs:
            moods = "behavior_example/moods"
            wait_until(lambda: self.node.count_subscribers(moods) and self.node.count_publishers(moods), "moods")
        time.sleep(1)  # until they know of each other as well

    def show(self, seconds: float, *faces: tuple[str, float, float]) -> None:
        """Faces as face_id, valence and engagement, at ten images a second of stamps."""
        for _ in range(round(seconds * 10)):
            header = self._next_header()
            message = ValenceArousalArray(header=header, source="/image")
            for face_id, valence, engagement in faces:
                face = ValenceArousal(header=header, face_id=face_id, valence=valence, engagement=engagement)
                face.confidence, face.quality, face.state_age = 0.8, 0.9, 5.0
                message.faces.append(face)
            self.publish(message)

    def publish(self, message: ValenceArousalArray) -> None:
        self._publisher.publish(message)
        time.sleep(0.01)

    def end(self) -> list[str]:
        """Interrupts the programs; returns what they wrote."""
        for program in self._programs:
            program.send_signal(signal.SIGINT)
        codes = [program.wait(60) for program in self._programs]
        logs = [(self._folder / f"{number}.log").read_text() for number in range(len(codes))]
        assert codes == [0] * len(codes), logs
        return logs

    def close(self) -> None:
        for program in self._programs:
            program.kill()
            program.wait()
        self._spinner.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _next_header(self) -> Header:
        self._stamp_ns += STEP_NS
        return Header(stamp=time_message(self._stamp_ns), frame_id="camera")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    opened = Stage(monkeypatch, tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("programs", [[GREETER], [MOODS, TREE_GREETER]], ids=["py_trees", "behaviortree_cpp"])
def test_only_a_smile_at_the_robot_is_greeted(programs: list[list[str]], stage: Stage) -> None:
    if TREE_GREETER in programs:
        pytest.importorskip("behaviortreepy", reason="no behaviortreepy for this platform")
    stage.start(*programs)
    stage.show(3.0, ("away", 0.7, 0.1))
    for valence in (0.0, 0.7, 0.0):
        stage.show(1.0, ("short", valence, 0.9), ("away", 0.0, 0.1))
    assert stage.said == []
    stage.show(2.0, ("upset", -0.6, 0.0), ("short", 0.0, 0.9))
    wait_until(lambda: stage.said == [HELP], "help for an upset face")
    stage.show(4.0, ("upset", -0.6, 0.0), ("short", 0.7, 0.9))
    wait_until(lambda: stage.said == [HELP, GREETING], "a greeting for a smile at the robot")
    stage.show(3.0)
    stage.show(4.0, ("short", 0.7, 0.9))
    wait_until(lambda: len(stage.said) > 2, "a greeting at the next visit")
    logs = stage.end()
    assert stage.said == [HELP, GREETING, GREETING]
    assert logs[-1] == ""


def test_the_woman_of_the_video_is_helped_and_greeted(stage: Stage, media: Path) -> None:
    stage.start(GREETER)
    for stamp, faces in recorded(media / "WolfgangLanger_Pexels.mp4"):
        header = Header(stamp=time_message(10**18 + round(stamp * 1e9)), frame_id="camera")
        stage.publish(affect_array(header, "/image", faces, (640, 360)))
    wait_until(lambda: len(stage.said) >= 2, "both remarks")
    stage.end()
    assert stage.said == [HELP, GREETING]


def recorded(path: Path) -> Iterator[tuple[float, Iterable[Any]]]:
    """Stamp and faces of every third image of a video."""
    pipeline = AffectPipeline()
    with open_video(path) as video:
        for stamp, image in itertools.islice(video, 0, None, 3):
            yield stamp, pipeline.process(image, stamp)

"""Node and replay as processes: how they start, end, and outlive each other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rclpy.qos import QoSReliabilityPolicy
from std_msgs.msg import Header

from ast_net_ros.msg import ValenceArousal
from ast_net_ros.ros.conversions import image_message, time_message


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["-p", "weights:=/nowhere.safetensors"], "weights '/nowhere.safetensors': no such file"),
        (["-p", "max_faces:=2.5"], "parameter max_faces = 2.5: expected an integer"),
        (["-p", "device"], "--ros-args: "),
        (["--log-level", "verbose"], "the log level is one of debug, info, warn, error, fatal"),
    ],
)
def test_a_node_that_cannot_start_logs_why_once(start: Any, arguments: list[str], reason: str) -> None:
    node = start("ast_net_node", "--ros-args", *arguments)
    assert node.process.wait(60) == 1
    assert node.log.count(reason) == 1, node.log
    assert "Traceback" not in node.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_working_node_and_replay_in_order(
    client: Any, start: Any, wait_until: Any, media: Path, number: int
) -> None:
    node = start("ast_net_node")
    replay = start("replay", str(media / "single_face.mp4"), "--loop", "--wait-for-subscriber")
    before = len(client.faces)
    wait_until(lambda: len(client.faces) >= before + 5, "five estimates")
    # `ros2 launch` and the terminal interrupt each process once.
    for executable in (node, replay):
        executable.process.send_signal(number)
    assert (node.end(number), replay.end(number)) == (0, 0)
    assert "Traceback" not in node.log + replay.log
    assert json.loads(replay.log.splitlines()[-1])["published"] >= 5


def test_a_signal_during_interpreter_shutdown_is_ignored() -> None:
    program = """
import atexit, os, signal
from ast_net_ros.ros.runtime.signals import exit_on_signal, run
exit_on_signal()
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), print("cleaned up")))
run(lambda: 3)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (3, "cleaned up"), ended.stderr


def test_an_unknown_parameter_is_logged_with_a_suggestion(start: Any) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "score_treshold:=0.5", "-p", "autostart:=false")
    node.said("parameter score_treshold is unknown and has no effect; did you mean score_threshold?")


def test_the_standard_qos_overrides_are_heeded(client: Any, start: Any, wait_until: Any) -> None:
    override = "qos_overrides./image.subscription.reliability:=reliable"
    node = start("ast_net_node", "--ros-args", "-p", override)
    node.said("waiting for images")

    def asked_for() -> set[Any]:
        return {info.qos_profile.reliability for info in client.get_subscriptions_info_by_topic("/image")}

    wait_until(lambda: QoSReliabilityPolicy.RELIABLE in asked_for(), "a reliable subscription")


def test_node_and_replay_outlive_each_other(client: Any, start: Any, wait_until: Any, media: Path) -> None:
    """In a namespace of its own: for 20 s the middleware still offers the services of the node that is killed here."""
    primary: list[ValenceArousal] = []
    subscription = client.create_subscription(ValenceArousal, "outlive/ast_net/valence_arousal", primary.append, 100)
    namespace = ("--ros-args", "-r", "__ns:=/outlive")

    def begin() -> Any:
        return start("ast_net_node", *namespace)

    def play() -> Any:
        return start("replay", str(media / "single_face.mp4"), "--loop", *namespace)

    def await_estimates() -> str:
        """The id of a face in an estimate that comes from now on."""
        seen = len(primary)
        wait_until(lambda: len(primary) >= seen + 3, "three more estimates")
        return primary[-1].face_id

    node, replay = begin(), play()
    first = await_estimates()
    replay.process.kill()
    replay.process.wait()
    replay = play()
    await_estimates()
    node.process.kill()
    node.process.wait()
    primary.clear()
    node = begin()
    second = await_estimates()
    assert second.rsplit("_", 1)[0] != first.rsplit("_", 1)[0], "ids of two runs of the node must not meet"
    assert node.end() == 0 and replay.end() == 0
    client.destroy_subscription(subscription)


def test_the_node_works_in_simulated_time_that_stands_still(
    client: Any, start: Any, wait_until: Any, face_frames: list[np.ndarray]
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "use_sim_time:=true")
    node.said("waiting for images")
    for second in (7, 8):
        message = image_message(Header(stamp=time_message(second * 10**9)), face_frames[second])
        answer = client.answer_to(message)
        assert answer.header.stamp.sec == second and len(answer.faces) == 1
    assert answer.faces[0].state_age == 1.0
    assert client.camera()["processed"] == "2"


def test_an_idle_node_leaves_the_processor_alone(start: Any) -> None:
    node = start("ast_net_node")
    node.said("waiting for images")

    def processor_seconds() -> float:
        times = psutil.Process(node.process.pid).cpu_times()
        return times.user + times.system

    time.sleep(1)
    before = processor_seconds()
    time.sleep(3)
    used = processor_seconds() - before
    assert used < 0.02 * 3, f"{used / 3:.1%} of a core"


def test_estimates_of_a_replayed_video_fit_its_frames_exactly(
    client: Any, start: Any, media: Path, tmp_path: Path, face_frames: list[np.ndarray]
) -> None:
    node = start("ast_net_node")
    node.said("waiting for images")
    first = len(client.faces)
    stamps = tmp_path / "stamps.csv"
    replay = start("replay", str(media / "single_face.mp4"), "--wait-for-subscriber", "--stamps", str(stamps))
    assert replay.process.wait(60) == 0
    time.sleep(1)
    sent = [line.split(",") for line in stamps.read_text().splitlines()[1:]]
    stamped = {int(line[3]): int(line[1]) for line in sent}
    received = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in client.faces[first:]]
    assert len(stamped) == json.loads(replay.log.splitlines()[-1])["published"] == 72
    assert set(received) <= set(stamped) and len(received) == len(set(received)) > 36
    # The stamps are spaced as the video's frames are.
    assert all(abs((int(b[3]) - int(a[3])) / 1e9 - (float(b[2]) - float(a[2]))) < 2e-6 for a, b in zip(sent, sent[1:]))

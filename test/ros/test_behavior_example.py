"""`behavior_example` as a process: estimates come in over DDS, events go out."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from std_msgs.msg import Header, String

from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import time_message

NUMBERS = itertools.count()


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.02)


class Robot:
    """A robot of its own namespace: runs behavior_example, publishes estimates as the node would, keeps the events.

    events: those that came back, decoded. A namespace for each test, as the graph forgets killed processes late.
    """

    def __init__(self, client: Any, start: Any, name: str):
        self.events: list[dict[str, Any]] = []
        self.namespace = f"/{name}"
        self.behaviour: Any = None
        self._client, self._start = client, start
        self._listener = client.create_subscription(
            String, f"{name}/behavior_example/events", lambda message: self.events.append(json.loads(message.data)), 10
        )
        self._publisher: Any = None

    def run(self, executable: str, *arguments: str) -> Any:
        """Starts one of the package's executables in this robot's namespace."""
        rules = [] if "--ros-args" in arguments else ["--ros-args"]
        return self._start(executable, *arguments, *rules, "-r", f"__ns:={self.namespace}")

    def behave(self, *arguments: str, topic: str = "ast_net/faces") -> None:
        """Starts behavior_example and waits until it hears this robot."""
        self._publisher = self._client.create_publisher(ValenceArousalArray, f"{self.namespace}/{topic}", 100)
        self.behaviour = self.run("behavior_example", *arguments)
        wait_until(self._publisher.get_subscription_count, f"behavior_example listens to {topic}")
        wait_until(lambda: self._client.count_publishers(self._listener.topic_name), "behavior_example offers events")
        time.sleep(1)  # for it to learn of the test as well

    def show(self, valence: float, seconds: float = 1.0, source: str = "/image", stamped: bool = True) -> None:
        """One face at 20 images a second of stamps, as quickly as they can be sent."""
        for _ in range(round(seconds * 20)):
            stamp = time_message(self._client.next_stamp(0.05)) if stamped else time_message(0)
            face = ValenceArousal(face_id=f"face{source.replace('/', '_')}", valence=valence, confidence=0.6)
            face.state_age = 5.0
            self._publisher.publish(ValenceArousalArray(header=Header(stamp=stamp), source=source, faces=[face]))
            time.sleep(0.01 if stamped else 0.05)

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def end(self) -> None:
        self._client.destroy_subscription(self._listener)
        if self._publisher is not None:
            self._client.destroy_publisher(self._publisher)


@pytest.fixture
def robot(client: Any, start: Any) -> Iterator[Robot]:
    one = Robot(client, start, f"robot_{next(NUMBERS)}")
    yield one
    one.end()


def test_events_from_upset_to_lost_camera(robot: Robot) -> None:
    robot.behave()
    for valence in (0.0, -0.5, 0.5):
        robot.show(valence)
    wait_until(lambda: "engagement_lost" in robot.names(), "the loss, which no image tells of")
    assert robot.names() == [
        "mood_changed", "mood_changed", "became_upset", "mood_changed", "cheered_up", "engagement_lost"
    ]  # fmt: skip
    upset = robot.events[2]
    assert set(upset) == {"event", "face_id", "mood", "previous", "source", "stamp"}
    assert (upset["face_id"], upset["mood"], upset["previous"]) == ("face_image", "negative", "calm")
    assert upset["source"] == "/image" and robot.events[4]["stamp"] == pytest.approx(upset["stamp"] + 1.0, abs=0.11)
    assert "face_image: cheered_up (negative -> positive)" in robot.behaviour.log
    assert robot.behaviour.end() == 0 and "Traceback" not in robot.behaviour.log


def test_cameras_have_clocks_of_their_own(robot: Robot, client: Any) -> None:
    robot.behave("--ros-args", "-p", "patience:=30.0")
    robot.show(0.5, source="/live")
    now = client._stamp_ns
    client._stamp_ns = 10**9  # a bag whose stamps are relative
    robot.show(-0.5, source="/bag")
    client._stamp_ns = now
    robot.show(0.5, source="/live")
    wait_until(lambda: len(robot.events) >= 2, "both moods")
    time.sleep(0.3)
    assert [(event["source"], event["mood"]) for event in robot.events] == [("/live", "positive"), ("/bag", "negative")]


def test_the_topic_can_be_remapped_and_images_may_lack_stamps(robot: Robot) -> None:
    robot.behave("--ros-args", "-r", "faces:=elsewhere", topic="elsewhere")
    robot.show(0.5, seconds=1.5, stamped=False)
    wait_until(lambda: robot.names()[:1] == ["mood_changed"], "the mood, by the time of receipt")


@pytest.mark.parametrize(
    "argument, reason", [("enter:=0.1", "leave < enter"), ("dwell:=1", "dwell"), ("patience:=-2.0", "patience is -2.0")]
)
def test_wrong_parameters_are_refused_with_the_reason(start: Any, argument: str, reason: str) -> None:
    behaviour = start("behavior_example", "--ros-args", "-p", argument)
    assert behaviour.process.wait(60) == 1
    assert reason in behaviour.log and "Traceback" not in behaviour.log


def test_it_follows_the_real_node_on_the_real_video(robot: Robot, media: Path) -> None:
    behaviour, node = robot.run("behavior_example"), robot.run("ast_net_node")
    behaviour.said("subscribed to")
    node.said("waiting for images")
    video = str(media / "WolfgangLanger_Pexels.mp4")
    # Distress, a smile from second 10 on, and so much of it that a mood which wavered would show.
    play = ("--wait-for-subscriber", "--size", "320x180", "--frames", "340")
    assert robot.run("replay", video, *play).process.wait(120) == 0
    wait_until(lambda: "engagement_lost" in robot.names(), "the end")
    moods = [event["mood"] for event in robot.events if event["event"] == "mood_changed"]
    assert "negative" in moods and moods[-1] == "positive"
    assert robot.names().count("cheered_up") == 1

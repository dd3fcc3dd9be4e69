"""`behavior_example` as a process: estimates come in over DDS; events, moods and responses go out."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from ast_net_ros.msg import AffectEvent, PersonMoodArray, ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import nanoseconds, time_message
from ast_net_ros.ros.examples.behavior_example import LATCHED
from ast_net_ros.srv import GetMood

NUMBERS = itertools.count()


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.02)


class Robot:
    """A robot of its own namespace: runs behavior_example, publishes estimates as the node would, keeps what it gets.

    events, moods: what came back. A namespace for each test, as the graph forgets killed processes late.
    """

    def __init__(self, client: Any, start: Any, name: str):
        self.events: list[AffectEvent] = []
        self.moods: list[PersonMoodArray] = []
        self.namespace = f"/{name}"
        self.behaviour: Any = None
        self._client, self._start = client, start
        topic = f"{name}/behavior_example/events"
        self._listeners = [client.create_subscription(AffectEvent, topic, self.events.append, 10)]
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
        events = self._listeners[0].topic_name
        wait_until(lambda: self._client.count_publishers(events), "behavior_example offers events")
        time.sleep(1)  # for it to learn of the test as well

    def show(
        self, valence: float, seconds: float = 1.0, source: str = "/image", stamped: bool = True, **fields: Any
    ) -> Header:
        """One face at 20 images a second of stamps, as quickly as they can be sent; returns the last header."""
        for _ in range(round(seconds * 20)):
            stamp = time_message(self._client.next_stamp(0.05)) if stamped else time_message(0)
            header = Header(stamp=stamp, frame_id="optical")
            face = ValenceArousal(header=header, face_id=f"face{source.replace('/', '_')}", valence=valence)
            face.confidence, face.quality, face.state_age = 0.6, 0.9, 5.0
            for name, value in fields.items():
                setattr(face, name, value)
            self._publisher.publish(ValenceArousalArray(header=header, source=source, faces=[face]))
            time.sleep(0.01 if stamped else 0.05)
        return header

    def watch_moods(self) -> None:
        """Subscribes to the moods, like somebody who comes late."""
        topic = f"{self.namespace}/behavior_example/moods"
        self._listeners.append(self._client.create_subscription(PersonMoodArray, topic, self.moods.append, LATCHED))
        wait_until(lambda: self.moods, "moods without a new image")

    def ask(self, **request: str) -> Any:
        return self._client.call(GetMood, f"{self.namespace}/behavior_example/get_mood", GetMood.Request(**request))

    def names(self) -> list[str]:
        return [event.event for event in self.events]

    def end(self) -> None:
        for listener in self._listeners:
            self._client.destroy_subscription(listener)
        if self._publisher is not None:
            self._client.destroy_publisher(self._publisher)


@pytest.fixture
def robot(client: Any, start: Any) -> Iterator[Robot]:
    one = Robot(client, start, f"robot_{next(NUMBERS)}")
    yield one
    one.end()


def test_events_from_upset_to_lost_camera(robot: Robot) -> None:
    robot.behave()
    for valence in (0.0, -0.5):
        robot.show(valence, engagement=0.9)
    last = robot.show(0.5, person_id="p7")
    wait_until(lambda: "person_lost" in robot.names(), "the loss, which no image tells of")
    assert robot.names() == [
        *("engaged", "mood_changed", "mood_changed", "became_upset"),
        *("disengaged", "mood_changed", "cheered_up", "person_lost"),
    ]
    upset, cheered, lost = robot.events[3], robot.events[6], robot.events[7]
    assert (upset.previous_mood, upset.person.mood, upset.person.source) == ("calm", "negative", "/image")
    assert (upset.person.face_id, upset.person.person_id, upset.person.engaged) == ("face_image", "", True)
    assert upset.header == upset.person.header and upset.header.frame_id == "optical"
    assert upset.person.valence == -0.5 and upset.person.mood_duration == pytest.approx(0.5, abs=0.06)
    assert nanoseconds(cheered.header.stamp) == pytest.approx(nanoseconds(upset.header.stamp) + 10**9, abs=2e8)
    assert (lost.header, lost.previous_mood, lost.person.mood, lost.person.person_id) == (last, "positive", "", "p7")
    assert "face_image: cheered_up (negative -> positive)" in robot.behaviour.log
    assert robot.behaviour.end() == 0 and "Traceback" not in robot.behaviour.log


def test_moods_are_latched_and_can_be_asked_for(robot: Robot) -> None:
    robot.behave("--ros-args", "-p", "patience:=30.0")
    assert robot.ask().message == "no person ''; all cameras: nobody"
    robot.show(0.5, source="/left", person_id="anna", engagement=0.8)
    last = robot.show(-0.5, source="/right", seconds=0.2)
    doubtful = robot.show(math.nan, source="/right", arousal=math.inf, engagement=math.nan, seconds=0.1)
    wait_until(lambda: robot.ask(id="face_right").found, "the second person")
    robot.watch_moods()
    moods = robot.moods[-1]
    assert [(p.source, p.person_id, p.mood) for p in moods.people] == [
        ("/left", "anna", "positive"),
        ("/right", "", ""),
    ]
    anna, other = moods.people
    assert anna.engaged and anna.engaged_duration == pytest.approx(0.95) and anna.mood_duration == pytest.approx(0.95)
    assert moods.header == doubtful and other.header == last, "of the last usable estimate"
    assert (other.valence, other.arousal, other.engagement) == (-0.5, 0.0, 0.0)
    assert robot.ask().person == robot.ask(id="anna").person == robot.ask(source="/left").person == anna
    assert robot.ask(id="face_right").person == other
    unknown = robot.ask(id="ben", source="/right")
    assert (unknown.found, unknown.message) == (False, "no person 'ben'; /right: face_right")


def test_cameras_have_clocks_of_their_own(robot: Robot, client: Any) -> None:
    robot.behave("--ros-args", "-p", "patience:=30.0")
    robot.show(0.5, source="/live")
    now = client._stamp_ns
    client._stamp_ns = 10**9  # a bag whose stamps are relative
    robot.show(0.0, source="/bag")
    client._stamp_ns = now
    robot.show(0.5, source="/live")
    wait_until(lambda: len(robot.events) >= 2, "both moods")
    time.sleep(0.3)
    moods = [(event.person.source, event.person.mood) for event in robot.events]
    assert moods == [("/live", "positive"), ("/bag", "calm")]


def test_the_topic_can_be_remapped_and_images_may_lack_stamps(robot: Robot) -> None:
    robot.behave("--ros-args", "-r", "faces:=elsewhere", topic="elsewhere")
    robot.show(0.5, seconds=1.5, stamped=False)
    wait_until(lambda: robot.names()[:1] == ["mood_changed"], "the mood, by the time of receipt")


def test_nobody_is_lost_while_simulated_time_is_paused(robot: Robot, client: Any) -> None:
    robot.behave("--ros-args", "-p", "use_sim_time:=true", "-p", "patience:=1.0")
    clock = client.create_publisher(Clock, "/clock", 10)
    wait_until(clock.get_subscription_count, "the clock is heard")

    def advance(seconds: float, valence: float | None = None) -> None:
        for _ in range(round(seconds * 10)):
            stamp = time_message(client.next_stamp(0.1 if valence is None else 0.05))
            clock.publish(Clock(clock=stamp))
            if valence is not None:
                robot.show(valence, seconds=0.05)
            time.sleep(0.01)

    advance(0.5)
    advance(1.0, valence=0.5)
    wait_until(lambda: "mood_changed" in robot.names(), "the mood")
    time.sleep(2.0)  # twice the patience, for every other clock
    advance(0.8)
    time.sleep(0.3)
    assert robot.names() == ["mood_changed"]
    advance(3.0)
    wait_until(lambda: "person_lost" in robot.names(), "the loss, as time goes on")
    client.destroy_publisher(clock)


def test_limits_are_set_for_all_moods_or_one(robot: Robot) -> None:
    robot.behave("--ros-args", "-p", "enter:=0.8", "-p", "dwell:=0.1", "-p", "negative.enter:=0.2")
    robot.show(0.7, seconds=0.4)
    robot.show(-0.25, seconds=0.4)
    wait_until(lambda: "became_upset" in robot.names(), "the mood with a limit of its own")
    assert [event.person.mood for event in robot.events] == ["calm", "negative", "negative"]


@pytest.mark.parametrize(
    "argument, reason",
    [
        ("enter:=0.1", "positive.enter is 0.1 and positive.leave is 0.15: use leave < enter"),
        ("negative.leave:=0.5", "negative.enter is 0.3 and negative.leave is 0.5: use leave < enter"),
        ("dwell:=1", "dwell"),
        ("patience:=-2.0", "patience is -2.0"),
    ],
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
    wait_until(lambda: "person_lost" in robot.names(), "the end")
    moods = [event.person.mood for event in robot.events if event.event == "mood_changed"]
    assert "negative" in moods and moods[-1] == "positive"
    assert robot.names().count("cheered_up") == 1 and "engaged" in robot.names()

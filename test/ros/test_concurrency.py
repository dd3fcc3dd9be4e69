"""Several clients at once: images, parameters, resets and lifecycle transitions, as fast as the node answers.

Five seconds of it; AST_NET_CONCURRENCY_SECONDS=300 lets it run longer. A watchdog ends the test when a service
gives no answer, which is how a deadlock shows.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ast_net_ros.msg import ValenceArousalArray
from ast_net_ros.ros.conversions import image_message, nanoseconds, time_message
from ast_net_ros.ros.runtime.spinning import Spinner

SECONDS = float(os.environ.get("AST_NET_CONCURRENCY_SECONDS", "5"))
WATCHDOG = 20.0  # seconds without an answer of a service
WAYS = {  # where each state leads, mostly back to work
    State.PRIMARY_STATE_UNCONFIGURED: [Transition.TRANSITION_CONFIGURE],
    State.PRIMARY_STATE_INACTIVE: [Transition.TRANSITION_ACTIVATE] * 3 + [Transition.TRANSITION_CLEANUP],
    State.PRIMARY_STATE_ACTIVE: [Transition.TRANSITION_DEACTIVATE],
}


class DeadlockError(AssertionError):
    """A service gave no answer in time."""


class Caller:
    """A client of the node with an executor of its own, as in a process of its own."""

    def __init__(self, name: str):
        self.node = Node(name, start_parameter_services=False)
        self.answered = 0
        self.slowest = 0.0
        self._clients: dict[str, Any] = {}
        self._spinner = Spinner(self.node, on_failure=lambda: None)

    def connect(self, service_type: type, name: str) -> None:
        self._clients[name] = self.node.create_client(service_type, f"ast_net/{name}")
        assert self._clients[name].wait_for_service(30.0), name

    def call(self, name: str, request: Any) -> Any:
        future = self._clients[name].call_async(request)
        called = time.monotonic()
        while not future.done():
            if time.monotonic() - called > WATCHDOG:
                raise DeadlockError(f"{name} gave no answer within {WATCHDOG} s")
            time.sleep(0.002)
        self.slowest = max(self.slowest, time.monotonic() - called)
        self.answered += 1
        return future.result()

    def end(self) -> None:
        self._spinner.stop()
        self.node.destroy_node()


@pytest.fixture
def caller(client: Any) -> Iterator[Callable[..., Caller]]:
    made: list[Caller] = []

    def make(name: str, **services: type) -> Caller:
        made.append(Caller(name))
        for service, service_type in services.items():
            made[-1].connect(service_type, service)
        return made[-1]

    yield make
    for one in made:
        one.end()


def _parameters(**values: Any) -> list[Any]:
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


def test_concurrent_clients_neither_block_nor_confuse_the_node(
    client: Any, start: Any, caller: Callable[..., Caller], face_frames: list[np.ndarray], wait_until: Any
) -> None:
    executable = start("ast_net_node", "--ros-args", "-p", "image_topics:=[left, right]")
    executable.said("waiting for images")
    over, failures, sent = threading.Event(), [], {"/left": set[int](), "/right": set[int]()}
    chance = random.Random(7)
    first_answer = len(client.faces)

    parameters = caller("tuner", set_parameters=SetParameters, set_parameters_atomically=SetParametersAtomically)
    reader = caller("reader", get_parameters=GetParameters, get_state=GetState)
    resetter = caller("resetter", reset=Trigger)
    manager, rival = (caller(name, change_state=ChangeState, get_state=GetState) for name in ("manager", "rival"))
    cameras = caller("cameras")
    publishers = {topic: cameras.node.create_publisher(Image, topic, 1) for topic in sent}

    def tune() -> None:
        timeout = chance.choice((0.5, 1.0, 2.0))
        together = _parameters(track_timeout=timeout, max_time_gap=2.0 * timeout, max_faces=chance.choice((1, 16)))
        result = parameters.call("set_parameters_atomically", SetParametersAtomically.Request(parameters=together))
        assert result.result.successful
        wrong = parameters.call("set_parameters", SetParameters.Request(parameters=_parameters(max_faces=0)))
        assert not wrong.results[0].successful

    def read() -> None:
        names = ["track_timeout", "max_time_gap"]
        values = reader.call("get_parameters", GetParameters.Request(names=names)).values
        jump, timeout = values[1].double_value, values[0].double_value
        assert jump in (2.0 * timeout, 5.0), f"track_timeout {timeout} beside max_time_gap {jump}: a torn change"

    def reset() -> None:
        answer = resetter.call("reset", Trigger.Request())
        assert answer.success == answer.message.startswith("reset "), answer.message

    def change(one: Caller) -> Callable[[], None]:
        def step() -> None:
            state = one.call("get_state", GetState.Request()).current_state.id
            ways = WAYS.get(state, [Transition.TRANSITION_CONFIGURE])
            # Not always made: the rival may have been faster, and then it must be refused and nothing else.
            one.call("change_state", ChangeState.Request(transition=Transition(id=chance.choice(ways))))
            over.wait(chance.uniform(0.0, 0.5))

        return step

    def film() -> None:
        for topic, publisher in publishers.items():
            stamp = time.time_ns()
            sent[topic].add(stamp)
            header = Header(stamp=time_message(stamp), frame_id=topic)
            publisher.publish(image_message(header, face_frames[len(sent[topic]) % len(face_frames)]))
        over.wait(0.04)

    def until_over(act: Callable[[], None]) -> None:
        try:
            while not over.is_set():
                act()
        except BaseException as failure:
            failures.append(failure)
            over.set()

    acts = (tune, read, reset, change(manager), change(rival), film)
    threads = [threading.Thread(target=until_over, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    over.wait(SECONDS)
    over.set()
    for thread in threads:
        thread.join(2 * WATCHDOG)
        assert not thread.is_alive(), "a client hangs"
    if failures:
        raise failures[0]

    _bring_to_work(client, manager)
    assert client.set_parameter("max_faces", 16).successful and client.set_parameter("track_timeout", 1.0).successful
    assert len(client.show(face_frames[0], step=100.0).faces) == 1, "the node works as before"
    counts = client.camera()
    assert int(counts["received"]) == int(counts["processed"]) + int(counts["dropped, newer image arrived"])
    _check_answers(client.faces[first_answer:], sent)
    for word in ("Traceback", "callback failed", "inference failed", "a transition failed"):
        assert word not in executable.log, executable.log[-3000:]
    calls = {one.node.get_name(): one.answered for one in (parameters, reader, resetter, manager, rival)}
    print(calls, f"slowest {max(one.slowest for one in (parameters, reader, resetter, manager, rival)):.2f} s")
    assert min(calls.values()) >= 3, calls
    assert executable.end() == 0


def _bring_to_work(client: Any, manager: Caller) -> None:
    for _ in range(3):
        state = manager.call("get_state", GetState.Request()).current_state.id
        if state == State.PRIMARY_STATE_ACTIVE:
            return
        way = WAYS[state][0]
        manager.call("change_state", ChangeState.Request(transition=Transition(id=way)))
    assert client.state() == "active"


def _check_answers(answers: list[ValenceArousalArray], sent: dict[str, set[int]]) -> None:
    """Each answers an image of its own camera, once and in order, and no face is in two cameras."""
    cameras_of: dict[str, set[str]] = {}
    for topic, stamps in sent.items():
        own = [answer for answer in answers if answer.source == topic]
        answered = [nanoseconds(answer.header.stamp) for answer in own]
        assert set(answered) <= stamps and answered == sorted(set(answered)) and answered
        for answer in own:
            for face in answer.faces:
                assert face.header == answer.header and answer.header.frame_id == topic
                assert all(map(math.isfinite, (face.valence, face.arousal, face.confidence, face.state_age)))
                cameras_of.setdefault(face.face_id, set()).add(topic)
    assert all(len(topics) == 1 for topics in cameras_of.values())


def test_subscribers_that_come_and_go_cost_others_nothing(
    client: Any, start: Any, face_frames: list[np.ndarray]
) -> None:
    executable = start("ast_net_node")
    executable.said("waiting for images")
    client.show(face_frames[0], step=100.0)
    before = int(client.camera()["processed"])
    begin = len(client.faces)
    reliable = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
    for round_ in range(8):
        guest = Caller(f"guest{round_}")
        guest.node.create_subscription(ValenceArousalArray, "ast_net/faces", lambda message: None, reliable)
        guest.node.create_subscription(Image, "ast_net/debug_image", lambda message: None, 1)
        for index in range(3):
            client.show(face_frames[(round_ + index) % len(face_frames)])
        guest.end()
    time.sleep(0.5)
    processed = int(client.camera()["processed"]) - before
    assert len(client.faces) - begin == processed >= 24

"""The node's lifecycle, driven by a real lifecycle client, the failing transitions included."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.conversions import image_message, time_message
from ast_net_ros.ros.node import AstNetNode
from ast_net_ros.ros.runtime.spinning import StartError


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any) -> Any:
    return start_for_module(
        "ast_net_node", "--ros-args", "-p", "autostart:=false", "-p", "weights:=/nowhere.safetensors"
    )


def test_a_life_of_the_node(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    """One story, as every step needs the one before."""
    assert client.state() == "unconfigured"
    assert not client.reset().success, "there is nothing to reset yet"

    assert not client.transition(Transition.TRANSITION_CONFIGURE), "weights that are not there"
    assert client.state() == "unconfigured"
    node.said("weights '/nowhere.safetensors': no such file")

    assert client.set_parameter("weights", "").successful
    assert client.set_parameter("device", "cuda:99").successful
    assert not client.transition(Transition.TRANSITION_CONFIGURE), "a GPU that is not there"
    node.said("device 'cuda:99'")
    assert client.set_parameter("device", "cpu").successful

    assert client.transition(Transition.TRANSITION_CONFIGURE)
    assert client.state() == "inactive"
    assert not client.set_parameter("weights", "other.safetensors").successful
    assert client.count_subscribers("image") == 0, "an inactive node takes no images"

    assert client.transition(Transition.TRANSITION_ACTIVATE)
    assert client.state() == "active"
    assert len(client.show(face_frames[0]).faces) == 1

    assert not client.transition(Transition.TRANSITION_ACTIVATE), "it is active already"
    assert client.state() == "active"
    assert len(client.show(face_frames[1]).faces) == 1, "a request that cannot be does no harm"

    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    before = len(client.faces)
    for _ in range(5):
        client.images.publish(Image())
        time.sleep(0.05)
    assert len(client.faces) == before and client.count_subscribers("image") == 0

    assert client.transition(Transition.TRANSITION_ACTIVATE)
    assert client.show(face_frames[2]).faces[0].state_age == 0, "faces are forgotten while inactive"
    assert client.transition(Transition.TRANSITION_DEACTIVATE)
    assert client.transition(Transition.TRANSITION_CLEANUP)
    assert client.state() == "unconfigured"
    assert client.count_publishers("ast_net/faces") == 0, "cleanup takes the topics back"


def test_an_incompatible_publisher_is_named_with_both_policies(client: Any, node: Any) -> None:
    assert client.state() == "unconfigured"
    assert client.set_parameter("qos_reliability", "reliable").successful
    best_effort = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    publisher = client.create_publisher(Image, "image", best_effort)
    assert client.transition(Transition.TRANSITION_CONFIGURE) and client.transition(Transition.TRANSITION_ACTIVATE)
    node.said("publisher /client offers best effort, requested reliable; set qos_reliability to best_effort")
    client.destroy_publisher(publisher)


def test_the_process_ends_in_order_after_shutdown(client: Any, node: Any) -> None:
    assert client.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert client.state() == "finalized"
    assert node.end() == 0
    assert "Traceback" not in node.log


# Of a node in this process the middleware remembers the name: it must not be that of the other tests' nodes.
IN_THIS_PROCESS = "/within"


def test_a_failed_configuration_removes_its_topics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ast_net_ros.ros.node.bridge_logging", lambda logger: None)  # it would outlive the test
    context = Context()
    override = "qos_overrides./within/ast_net/valence_arousal.publisher.reliability:=nonsense"
    rclpy.init(context=context, args=["--ros-args", "-p", override])
    node = AstNetNode(context=context, namespace=IN_THIS_PROCESS)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert node.count_publishers("ast_net/faces") == 0
    finally:
        node.end()
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture
def own_context(monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setattr("ast_net_ros.ros.node.bridge_logging", lambda logger: None)  # it would outlive the test
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


def spin_until(node: Any, condition: Callable[[], bool]) -> None:
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


@pytest.mark.parametrize("autostart, state", [(True, "active"), (False, "unconfigured")])
def test_autostart_works_in_somebodys_executor(own_context: Context, autostart: bool, state: str) -> None:
    given = [Parameter("autostart", value=autostart)]
    node = AstNetNode(context=own_context, namespace=IN_THIS_PROCESS, parameter_overrides=given)
    ticks: list[int] = []
    node.create_timer(0.5, lambda: ticks.append(1))
    spin_until(node, lambda: len(ticks) >= 2)
    assert node._state_machine.current_state[1] == state
    node.end()
    node.destroy_node()


def test_an_error_transition_at_start_is_reported(own_context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    node = AstNetNode(context=own_context, namespace=IN_THIS_PROCESS)
    monkeypatch.setattr(node, "trigger_configure", lambda: TransitionCallbackReturn.ERROR)
    with pytest.raises(StartError, match="transition failed"):
        node.start()
    node.end()
    node.destroy_node()


def test_reset_does_not_wait_for_the_batch_in_progress(
    own_context: Context, monkeypatch: pytest.MonkeyPatch, face_frames: list[np.ndarray]
) -> None:
    started, release = threading.Event(), threading.Event()
    node = AstNetNode(context=own_context, namespace=IN_THIS_PROCESS)
    node.start()
    process_batch = AffectPipeline.process_batch

    def slow(self: AffectPipeline, *given: Any, **options: Any) -> Any:
        started.set()
        assert release.wait(30)
        return process_batch(self, *given, **options)

    monkeypatch.setattr(AffectPipeline, "process_batch", slow)
    camera = Camera("/image")
    node._images.put(camera, image_message(Header(stamp=time_message(10**9)), face_frames[0]), 0)
    assert started.wait(30)
    before = time.monotonic()
    assert node._on_reset(Trigger.Request(), Trigger.Response()).success
    assert time.monotonic() - before < 1.0
    release.set()
    node.end()
    node.destroy_node()


def _fail(*_: Any) -> Any:
    raise KeyError("a key that is not there")


def test_an_unexpected_error_is_named_and_can_be_overcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ast_net_ros.ros.node.bridge_logging", lambda logger: None)  # it would outlive the test
    context = Context()
    rclpy.init(context=context)
    node = AstNetNode(context=context, namespace=IN_THIS_PROCESS)
    try:
        with monkeypatch.context() as broken:
            broken.setattr("ast_net_ros.ros.pipeline_factory.load_model", _fail)
            with pytest.raises(StartError, match="cannot configure: KeyError: 'a key that is not there'"):
                node.start()
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    finally:
        node.end()
        node.destroy_node()
        rclpy.shutdown(context=context)

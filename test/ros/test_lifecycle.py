"""The node's lifecycle, driven by a real lifecycle client, the failing transitions included."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

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


def test_shutdown_frees_everything_and_the_process_still_ends_well(client: Any, node: Any) -> None:
    assert client.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert client.state() == "finalized"
    assert node.end() == 0
    assert "Traceback" not in node.log


# Of a node in this process the middleware remembers the name: it must not be that of the other tests' nodes.
IN_THIS_PROCESS = "/within"


def test_a_configuration_that_fails_half_way_takes_back_the_topics_it_had_offered(
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


def _fail(*_: Any) -> Any:
    raise KeyError("a key that is not there")


def test_an_error_that_nobody_foresaw_is_said_with_its_kind_and_the_node_can_be_configured_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ast_net_ros.ros.node.bridge_logging", lambda logger: None)  # it would outlive the test
    context = Context()
    rclpy.init(context=context)
    node = AstNetNode(context=context, namespace=IN_THIS_PROCESS)
    try:
        with monkeypatch.context() as broken:
            broken.setattr("ast_net_ros.ros.node.load_model", _fail)
            with pytest.raises(StartError, match="cannot configure: KeyError: 'a key that is not there'"):
                node.start()
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    finally:
        node.end()
        node.destroy_node()
        rclpy.shutdown(context=context)

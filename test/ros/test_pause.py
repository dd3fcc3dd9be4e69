"""Pausing the running node: what it costs, what it says, and which faces are known again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from lifecycle_msgs.msg import Transition
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.conversions import image_message, time_message

ESTIMATION, CAMERA = keys.estimation_status("ast_net"), keys.camera_status("ast_net", "/image")
SECONDS = 4.0  # for which processor time is measured


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any) -> Any:
    executable = start_for_module(
        "ast_net_node", "--ros-args", "-p", "max_time_gap:=2.0", "-p", "no_image_timeout:=1.0"
    )
    executable.said("waiting for images")
    return executable


def pause(client: Any, paused: bool) -> Any:
    return client.call(SetBool, "ast_net/pause", SetBool.Request(data=paused))


@pytest.fixture
def camera(client: Any, face_frames: list[np.ndarray]) -> Iterator[None]:
    """A camera that publishes 30 images a second of 640x360."""
    over = threading.Event()

    def film() -> None:
        while not over.wait(1 / 30):
            header = Header(stamp=time_message(client.next_stamp(1 / 30)))
            client.images.publish(image_message(header, face_frames[0]))

    thread = threading.Thread(target=film)
    thread.start()
    yield
    over.set()
    thread.join()


def processor_seconds(node: Any) -> float:
    times = psutil.Process(node.process.pid).cpu_times()
    return times.user + times.system


def test_a_paused_node_costs_next_to_nothing_and_says_so(client: Any, node: Any, camera: None, wait_until: Any) -> None:
    wait_until(lambda: client.faces, "an estimate")
    answer = pause(client, True)
    assert answer.success and answer.message == "paused"
    wait_until(lambda: client.sentences.get(ESTIMATION) == client.sentences.get(CAMERA) == "paused", "paused")
    answered, before, began = len(client.faces), processor_seconds(node), time.monotonic()
    time.sleep(SECONDS)
    share = (processor_seconds(node) - before) / (time.monotonic() - began)
    assert share < 0.02, f"{share:.1%} of a core"
    assert len(client.faces) == answered
    assert client.sentences[CAMERA] == "paused" and client.levels[CAMERA] == b"\0", "no image is no fault then"
    assert client.diagnostics[ESTIMATION][keys.STATE] == "active"
    assert client.diagnostics[ESTIMATION][keys.TRACKS] == "0", "after max_time_gap nothing is known of the faces"
    assert pause(client, False).message == "resumed"
    wait_until(lambda: len(client.faces) > answered, "an estimate after the pause")
    time.sleep(2.0)
    assert int(client.camera()[keys.LOST]) < 30 * SECONDS / 2, "images of the pause are not lost"


def test_a_short_pause_continues_the_states_of_the_faces(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    before = [client.show(image, step=step).faces[0] for image, step in zip(face_frames, (100.0, 0.04, 0.04))][-1]
    assert pause(client, True).success and pause(client, True).success, "a second request changes nothing"
    assert pause(client, False).success
    after = client.show(face_frames[3]).faces[0]
    assert after.face_id == before.face_id and after.state_age > before.state_age
    assert pause(client, True).success and pause(client, False).success
    assert client.show(face_frames[3], step=3.0).faces[0].state_age == 0, "the stamps tell how long the pause was"


def test_only_an_active_node_pauses_and_activation_ends_a_pause(
    client: Any, node: Any, face_frames: list[np.ndarray]
) -> None:
    assert pause(client, True).success and client.transition(Transition.TRANSITION_DEACTIVATE)
    refused = pause(client, False)
    assert not refused.success and refused.message == "the node is inactive: it processes no images"
    assert client.transition(Transition.TRANSITION_ACTIVATE)
    assert len(client.show(face_frames[0], step=100.0).faces) == 1
    assert pause(client, True).success
    assert client.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN), "a paused node ends in order"
    assert node.end() == 0 and "Traceback" not in node.log

"""The running node, over real DDS and on real frames: what goes out for what comes in."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from ast_net_ros.ros.conversions import compressed_message, image_message, nanoseconds, time_message


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any) -> Any:
    executable = start_for_module(
        "ast_net_node", "--ros-args", "-p", "image_topics:=[left, right/compressed]", "-p", "no_image_timeout:=1.0"
    )
    executable.said("waiting for images on /image, /left, /right/compressed")
    return executable


@pytest.fixture(autouse=True)
def fresh(node: Any, client: Any) -> None:
    client.reset()


def test_estimates_carry_stamp_and_frame_id_of_the_image(client: Any, face_frames: list[np.ndarray]) -> None:
    answers = []
    for number, image in enumerate(face_frames):
        answers.append(client.show(image, frame_id=f"optical_{number}"))
        # The stamps' last digits are what a float would lose.
        assert nanoseconds(answers[-1].header.stamp) == client._stamp_ns
        assert answers[-1].header.frame_id == f"optical_{number}"
    assert all(answer.source == "/image" and len(answer.faces) == 1 for answer in answers)
    assert all(face.header == answer.header for answer in answers for face in answer.faces)
    stamps = {nanoseconds(answer.header.stamp) for answer in answers}
    primaries = [m for m in client.primary if nanoseconds(m.header.stamp) in stamps]
    assert {m.face_id for m in primaries} == {answers[0].faces[0].face_id}


def test_estimates_are_in_range_and_the_face_keeps_its_id(client: Any, face_frames: list[np.ndarray]) -> None:
    faces = [client.show(image).faces[0] for image in face_frames]
    height, width = face_frames[0].shape[:2]
    assert len({face.face_id for face in faces}) == 1
    for face in faces:
        assert -1 <= face.valence <= 1 and -1 <= face.arousal <= 1 and 0 <= face.confidence <= 1
        assert math.isclose(float(np.sum(face.emotions)), 1, abs_tol=1e-3)
        assert 0 < face.roi.width and face.roi.x_offset + face.roi.width <= width
        assert 0 < face.roi.height and face.roi.y_offset + face.roi.height <= height
    ages = [face.state_age for face in faces]
    assert ages[0] == 0 and ages == sorted(ages)
    assert ages[-1] == pytest.approx(0.04 * (len(faces) - 1), abs=1e-3)


def test_an_image_without_a_face_gives_an_empty_array(client: Any, empty_frames: list[np.ndarray]) -> None:
    before = len(client.primary)
    assert all(client.show(image).faces == [] for image in empty_frames)
    assert len(client.primary) == before


def test_reset_gives_new_ids_and_new_states(client: Any, face_frames: list[np.ndarray]) -> None:
    old = [client.show(image) for image in face_frames[:4]][-1].faces[0]
    response = client.reset()
    assert response.success and response.message == "reset 1 face"
    new = client.show(face_frames[4]).faces[0]
    assert old.state_age > 0 and new.state_age == 0
    assert new.face_id != old.face_id


@pytest.mark.parametrize("jump", [-30.0, 60.0])
def test_a_stamp_jump_resets_the_state_and_is_logged(
    client: Any, node: Any, face_frames: list[np.ndarray], jump: float
) -> None:
    time.sleep(1.1)  # a second jump within a second would be counted only
    assert [client.show(image) for image in face_frames[:4]][-1].faces[0].state_age > 0
    assert client.show(face_frames[4], step=jump).faces[0].state_age == 0
    assert f"stamps jumped by {jump:+.3f} s" in node.log


def test_images_without_stamps_work_with_one_warning(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    for image in face_frames[:3]:
        answer = client.answer_to(image_message(Header(frame_id="unstamped"), image))
        assert nanoseconds(answer.header.stamp) == 0 and len(answer.faces) == 1
        time.sleep(0.05)
    assert node.log.count("images have a stamp of 0") == 1


def bad_image(kind: str, image: np.ndarray) -> Image:
    message = image_message(Header(), image)
    height, width = image.shape[:2]
    if kind == "encoding":
        message.encoding = "32FC1"
    elif kind == "size":
        message.height = message.width = message.step = 0
        message.data = message.data[:0]
    elif kind == "step":
        message.step = width
    elif kind == "data":
        message.data = message.data[: height * width]
    return message


@pytest.mark.parametrize(
    "kind, reason", [("encoding", "'32FC1'"), ("size", "0x0"), ("step", "step"), ("data", "too short")]
)
def test_a_bad_image_is_counted_and_the_next_is_processed(
    client: Any, face_frames: list[np.ndarray], kind: str, reason: str
) -> None:
    client.show(face_frames[0])
    before = int(client.camera()["dropped, bad image"])
    client.images.publish(bad_image(kind, face_frames[0]))
    deadline = time.monotonic() + 30
    while (after := client.camera())["dropped, bad image"] == str(before) and time.monotonic() < deadline:
        client.images.publish(bad_image(kind, face_frames[0]))
    assert int(after["dropped, bad image"]) > before
    assert reason in after["last problem"]
    assert len(client.show(face_frames[1]).faces) == 1


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_too_large_an_image_is_dropped_naming_the_parameter(
    client: Any, face_frames: list[np.ndarray], kind: type
) -> None:
    height, width = face_frames[0].shape[:2]
    topic, make = ("image", image_message) if kind is Image else ("right/compressed", compressed_message)
    publisher = client.create_publisher(kind, topic, 1)

    def message() -> Any:
        return make(Header(stamp=time_message(client.next_stamp())), face_frames[0])

    assert client.set_parameter("max_image_pixels", width * height - 1).successful
    try:
        before = int(client.camera(f"/{topic}")["dropped, bad image"])
        deadline = time.monotonic() + 30
        while (
            int((after := client.camera(f"/{topic}"))["dropped, bad image"]) == before and time.monotonic() < deadline
        ):
            publisher.publish(message())
        assert int(after["dropped, bad image"]) > before
        assert f"{width}x{height}: more than the {width * height - 1} pixels allowed" in after["last problem"]
        assert "max_image_pixels" in after["last problem"]
        assert client.set_parameter("max_image_pixels", width * height).successful
        assert len(client.answer_to(message(), publisher).faces) == 1, "exactly as many are allowed"
    finally:
        client.set_parameter("max_image_pixels", 64_000_000)
        client.destroy_publisher(publisher)


def test_size_and_encoding_may_change_between_images(client: Any, face_frames: list[np.ndarray]) -> None:
    first = client.show(face_frames[0]).faces[0]
    halved = client.show(np.ascontiguousarray(face_frames[1][::2, ::2])).faces[0]
    assert halved.roi.width == pytest.approx(first.roi.width / 2, abs=0.15 * first.roi.width)
    grey = image_message(Header(stamp=time_message(client.next_stamp())), face_frames[2][:, :, 1:2])
    grey.encoding, grey.step = "mono8", grey.width
    assert len(client.answer_to(grey).faces) == 1


def test_live_parameters_take_effect_on_the_next_frame(client: Any, face_frames: list[np.ndarray]) -> None:
    assert client.set_parameter("min_face_pixels", 5000.0).successful
    assert client.show(face_frames[0]).faces == []
    assert client.set_parameter("min_face_pixels", 24.0).successful
    assert len(client.show(face_frames[1]).faces) == 1


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("score_threshold", 1.5, "1.5"),
        ("score_threshold", float("nan"), "nan"),
        ("max_faces", 0, "0"),
        ("track_timeout", "1 s", "Wrong parameter type"),
        ("device", "cuda:0", "clean up"),
        ("autostart", False, "read"),
    ],
)
def test_an_invalid_value_is_rejected_with_the_reason(client: Any, name: str, value: Any, reason: str) -> None:
    result = client.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason


def test_a_camera_on_its_side_is_read_with_image_rotation(client: Any, face_frames: list[np.ndarray]) -> None:
    upright = client.show(face_frames[0]).faces[0].roi
    sideways = np.rot90(face_frames[0])  # the camera lies on its right side
    assert client.set_parameter("image_rotation", 90).successful
    refused = client.set_parameter("image_rotation", 45)
    answer = client.show(sideways)
    assert client.set_parameter("image_rotation", 0).successful
    assert not refused.successful and "use one of 0, 90, 180, 270" in refused.reason
    (face,) = answer.faces
    width = face_frames[0].shape[1]
    expected = (upright.y_offset, width - upright.x_offset - upright.width, upright.height, upright.width)
    roi = (face.roi.x_offset, face.roi.y_offset, face.roi.width, face.roi.height)
    assert roi == pytest.approx(expected, abs=2), "in pixels of the image as it was sent"


def test_a_topic_name_can_select_compressed_images(client: Any, face_frames: list[np.ndarray]) -> None:
    publisher = client.create_publisher(CompressedImage, "right/compressed", 1)
    header = Header(stamp=time_message(client.next_stamp()), frame_id="right")
    answer = client.answer_to(compressed_message(header, face_frames[0]), publisher)
    client.destroy_publisher(publisher)
    assert answer.source == "/right/compressed" and answer.header == header
    assert len(answer.faces) == 1


def test_the_publishers_type_selects_compressed_images(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    publisher = client.create_publisher(CompressedImage, "left", 1)
    header = Header(stamp=time_message(client.next_stamp()))
    answer = client.answer_to(compressed_message(header, face_frames[0]), publisher)
    client.destroy_publisher(publisher)
    assert answer.source == "/left" and len(answer.faces) == 1
    node.said("camera /left: subscribed to sensor_msgs/msg/CompressedImage")


def test_a_face_has_different_ids_in_different_cameras(client: Any, face_frames: list[np.ndarray]) -> None:
    publisher = client.create_publisher(CompressedImage, "right/compressed", 1)
    here = client.show(face_frames[0]).faces[0]
    header = Header(stamp=time_message(client.next_stamp()))
    there = client.answer_to(compressed_message(header, face_frames[1]), publisher).faces[0]
    client.destroy_publisher(publisher)
    assert here.face_id != there.face_id
    assert client.show(face_frames[2]).faces[0].face_id == here.face_id


def test_the_debug_image_is_published_to_subscribers(client: Any, face_frames: list[np.ndarray]) -> None:
    received: list[Any] = []
    subscription = client.create_subscription(Image, "ast_net/debug_image", received.append, 1)
    while not received:
        answer = client.show(face_frames[0])
        time.sleep(0.05)
    client.destroy_subscription(subscription)
    drawn = np.frombuffer(received[0].data, np.uint8).reshape(face_frames[0].shape)
    assert received[0].header.frame_id == answer.header.frame_id
    assert np.count_nonzero(drawn != face_frames[0]) > 1000


def test_two_cameras_on_one_topic_are_reported_once(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    lines = len(node.log.splitlines())
    for index in range(20):
        assert len(client.show(face_frames[index], step=1.0 if index % 2 else -0.9).faces) == 1
    counts = client.camera()
    assert int(counts["stamps that went back"]) >= 9
    assert "give each its own topic" in client.sentences["ast_net: camera /image"]
    assert len(node.log.splitlines()) - lines <= 5


def test_a_publisher_of_another_type_is_reported(client: Any, node: Any) -> None:
    publisher = client.create_publisher(String, "right/compressed", 1)
    node.said("camera /right/compressed: publisher /client sends std_msgs/msg/String, expected sensor_msgs/msg/Image")
    client.destroy_publisher(publisher)


def test_a_camera_without_images_is_reported(client: Any, node: Any) -> None:
    node.said("camera /right/compressed: no publisher")
    assert client.camera("/right/compressed")["publishers"] == "0"
    assert "no publisher" in client.sentences["ast_net: camera /right/compressed"]


def test_diagnostics_report_device_and_weights(client: Any, node: Any, face_frames: list[np.ndarray]) -> None:
    client.show(face_frames[0])
    client.camera()
    about = client.diagnostics["ast_net: estimation"]
    assert about["state"] == "active" and about["device"] in ("cpu", "cuda:0") and about["precision"] == "float32"
    assert about["runtime"] == ("onnxruntime" if about["device"] == "cpu" else "torch")
    node.said(f"network runs on {about['device']} in float32 with {about['runtime']}")
    assert Path(about["weights"]).name == "ast_net.safetensors" and len(about["weights SHA-256"]) == 64
    assert float(about["receipt to publish, p95 (ms)"]) > 0 and float(about["stage detect, mean (ms)"]) > 0

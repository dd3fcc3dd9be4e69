"""Foxglove annotations of the running node, with the installed foxglove_msgs or, without one, one built here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

POINT = "Point2 position\n"
TIME = "builtin_interfaces/Time timestamp\n"
# The names and fields of foxglove_msgs, as far as they are used.
MESSAGES = {
    "Point2": "float64 x\nfloat64 y\n",
    "Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n",
    "PointsAnnotation": TIME
    + "".join(f"uint8 {name}={number}\n" for number, name in enumerate(("UNKNOWN", "POINTS", "LINE_LOOP")))
    + "uint8 type\nPoint2[] points\nColor outline_color\nColor[] outline_colors\nColor fill_color\nfloat64 thickness\n",
    "TextAnnotation": f"{TIME}{POINT}string text\nfloat64 font_size\nColor text_color\nColor background_color\n",
    "ImageAnnotations": "PointsAnnotation[] points\nTextAnnotation[] texts\n",
}


@pytest.fixture(scope="module")
def foxglove_msgs(message_package: Any) -> Iterator[Any]:
    with message_package.usable("foxglove_msgs", MESSAGES, ["builtin_interfaces"]) as messages:
        yield messages


def test_annotations_outline_name_and_mark_every_face(
    client: Any,
    foxglove_msgs: Any,
    start: Any,
    face_frames: list[np.ndarray],
    empty_frames: list[np.ndarray],
    policies: Any,
    wait_until: Any,
) -> None:
    node = start("ast_net_node", "--ros-args", "-p", "annotations:=true")
    node.said("waiting for images")
    received: list[Any] = []
    subscription = client.create_subscription(
        foxglove_msgs.ImageAnnotations, "ast_net/annotations", received.append, 10
    )
    wait_until(lambda: client.count_publishers("ast_net/annotations"), "a publisher of annotations")

    def annotations_of(answer: Any) -> Any:
        def found() -> Any:
            return next((m for m in received if m.texts and m.texts[0].timestamp == answer.header.stamp), None)

        return wait_until(found, "annotations of the image")

    answer = client.show(face_frames[0], step=100.0)  # the first may precede the discovery of the subscriber
    wait_until(lambda: received or not client.show(face_frames[0]), "annotations")
    answer = client.show(face_frames[1])
    (face,), message = answer.faces, annotations_of(answer)
    box, marks = message.points
    assert (box.type, marks.type) == (foxglove_msgs.PointsAnnotation.LINE_LOOP, foxglove_msgs.PointsAnnotation.POINTS)
    corners = np.array([(point.x, point.y) for point in box.points])
    roi = face.roi
    assert [*corners.min(axis=0), *np.ptp(corners, axis=0)] == pytest.approx(
        [roi.x_offset, roi.y_offset, roi.width, roi.height], abs=1.0
    )
    assert [value for point in marks.points for value in (point.x, point.y)] == pytest.approx(list(face.landmarks))
    (text,) = message.texts
    assert text.text.startswith(face.face_id) and f"V {face.valence:+.2f}" in text.text
    assert box.outline_color == text.text_color and box.outline_color.a == 1.0

    answer, count = client.show(empty_frames[0], step=30.0), len(received)
    wait_until(lambda: len(received) >= count and not received[-1].points, "annotations that clear the panel")
    assert not policies.denied(client, "ast_net")
    client.destroy_subscription(subscription)
    assert node.end() == 0 and "Traceback" not in node.log


@pytest.mark.skipif(importlib.util.find_spec("foxglove_msgs") is not None, reason="foxglove_msgs is installed here")
def test_without_foxglove_msgs_the_option_is_refused_clearly(start: Any, monkeypatch: Any) -> None:
    for variable in ("PYTHONPATH", "AMENT_PREFIX_PATH"):  # another test of this run may have put it there
        parts = os.environ[variable].split(os.pathsep)
        monkeypatch.setenv(variable, os.pathsep.join(part for part in parts if "foxglove_msgs" not in part))
    node = start("ast_net_node", "--ros-args", "-p", "annotations:=true")
    assert node.process.wait(60) == 1
    assert "cannot configure: parameter annotations requires the package foxglove_msgs" in node.log
    assert "Traceback" not in node.log

"""Estimates and images as messages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from ast_net_ros.face_affect import FaceAffect, HeadPose
from ast_net_ros.model import EMOTIONS
from ast_net_ros.msg import ValenceArousal
from ast_net_ros.ros.conversions import (
    affect_array,
    affect_message,
    compressed_message,
    face_affect,
    image_message,
    nanoseconds,
    region_of_interest,
    seconds,
    time_message,
)
from ast_net_ros.vision.image_decoding import decode_image

FACE = FaceAffect(
    "face_7",
    (10.0, 20.0, 30.0, 40.0),
    *(0.5, -0.25, 0.75, (0.5, 0.5, 0, 0, 0, 0, 0, 0), 1.5),
    detection_score=0.875,
    landmarks=((20.5, 30.0), (32.0, 30.0), (26.0, 36.0), (21.0, 44.0), (31.0, 44.0)),
    head_pose=HeadPose(0.125, -0.25, 0.5, (0.125, 0.25, 0.0625)),
    engagement=0.625,
    person_id="person_3",
)
SIZE = (640, 480)


def test_a_face_survives_the_way_through_a_message() -> None:
    assert face_affect(affect_message(Header(), FACE, SIZE)) == FACE


def test_what_is_not_known_stays_unknown_in_a_message() -> None:
    plain = replace(FACE, landmarks=(), head_pose=None)
    assert face_affect(affect_message(Header(), plain, SIZE)) == plain


def test_the_message_names_the_emotions_in_the_models_order() -> None:
    assert [getattr(ValenceArousal, name.upper()) for name in EMOTIONS] == list(range(8))


def test_an_array_without_faces_is_empty_and_has_the_header() -> None:
    header = Header(stamp=time_message(1_700_000_000_123_456_789), frame_id="optical")
    message = affect_array(header, "/image", [], SIZE)
    assert message.header == header and message.source == "/image" and message.faces == []
    assert (message.image_width, message.image_height) == SIZE


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 1_795_451_440_536_039_295])
def test_stamps_are_exact_in_nanoseconds(stamp_ns: int) -> None:
    assert nanoseconds(time_message(stamp_ns)) == stamp_ns
    assert seconds(time_message(stamp_ns)) == pytest.approx(stamp_ns / 1e9)


@pytest.mark.parametrize(
    "box, expected",
    [
        ((10.4, 20.6, 30.0, 40.0), (10, 21, 30, 40)),
        ((-5.0, -5.0, 20.0, 20.0), (0, 0, 15, 15)),
        ((630.0, 470.0, 50.0, 50.0), (630, 470, 10, 10)),
        ((700.0, 500.0, 5.0, 5.0), (640, 480, 0, 0)),
        ((-1e9, -1e9, 2e9, 2e9), (0, 0, 640, 480)),
    ],
)
def test_a_box_is_clipped_to_the_picture(box: tuple[float, ...], expected: tuple[int, ...]) -> None:
    roi = region_of_interest(box, SIZE)  # type: ignore[arg-type]
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == expected


def test_values_are_clamped_in_the_precision_of_messages() -> None:
    message = affect_message(Header(), replace(FACE, valence=1.0000001, arousal=-1.2, confidence=-1e-9), SIZE)
    assert (message.valence, message.arousal, message.confidence) == (1.0, -1.0, 0.0)


@pytest.mark.parametrize("field", ["valence", "arousal", "confidence", "state_age"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_seen(field: str, value: float) -> None:
    broken: dict[str, Any] = {field: value}
    assert FACE.is_finite and not replace(FACE, **broken).is_finite
    assert not replace(FACE, emotions=(math.nan, *FACE.emotions[1:])).is_finite
    assert not replace(FACE, box=(math.nan, 0, 1, 1)).is_finite
    assert not replace(FACE, landmarks=((0.0, math.inf), *FACE.landmarks[1:])).is_finite
    assert not replace(FACE, head_pose=HeadPose(math.nan, 0.0, 0.0, (1.0, 1.0, 1.0))).is_finite


def test_pictures_come_out_of_their_messages_as_they_went_in() -> None:
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3), dtype=np.uint8)
    assert np.array_equal(decode_image(image_message(Header(), image)), image)
    assert np.array_equal(decode_image(image_message(Header(), image[:, ::2])), image[:, ::2])
    smooth = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    assert np.abs(decode_image(compressed_message(Header(), smooth)).astype(int) - smooth).max() <= 3

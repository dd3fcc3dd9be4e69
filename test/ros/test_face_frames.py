"""Face poses from landmarks and a calibration: exact geometry, and every calibration that cannot be is refused."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.ros.frames.calibrations import CalibrationError, calibration_of, camera_info_topic, is_rectified
from ast_net_ros.ros.frames.face_frames import face_transforms
from ast_net_ros.ros.frames.geometry import Calibration, FacePose, face_pose, quaternion
from ast_net_ros.vision.head_pose import MODEL

SIZE, EYES = (640, 480), 0.063
K = np.array([[520.0, 0, 322], [0, 510, 238], [0, 0, 1]])
NO_LENS, LENS, FISHEYE = (
    np.zeros(0),
    np.array([-0.28, 0.09, 0.001, -0.0005, 0.0]),
    np.array([0.05, -0.01, 0.003, -0.001]),
)
# A head that looks at the camera along the optical axis: x out of the face is backward, y left is right in the image.
FACING = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])


def info(**changes: Any) -> CameraInfo:
    values: dict[str, Any] = {"width": 640, "height": 480, "k": K.ravel(), "distortion_model": "plumb_bob"}
    projection = np.zeros((3, 4))
    projection[:, :3] = K
    return CameraInfo(**{**values, "p": projection.ravel(), "d": [0.0] * 5, **changes})


def turned(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """The rotation of a head, about its own axes, in degrees."""
    vectors = np.diag(np.deg2rad([roll, pitch, yaw]))
    about_x, about_y, about_z = (cv2.Rodrigues(vector)[0] for vector in vectors)
    return about_z @ about_y @ about_x


def seen(position: np.ndarray, rotation: np.ndarray, lens: np.ndarray, fisheye: bool = False) -> np.ndarray:
    """The landmarks of a mean head, with the point between its eyes at `position`, in pixels."""
    points = position + EYES * (MODEL - (MODEL[0] + MODEL[1]) / 2) @ rotation.T
    if fisheye:
        return cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), K, lens)[0][:, 0]
    return cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, lens if lens.size else None)[0][:, 0]


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -15, 30), (-20, 10, -40), (90, 5, 10)])
@pytest.mark.parametrize("place", [(0.0, 0.0, 1.0), (0.5, -0.3, 1.2), (-1.0, 0.4, 2.0)])
@pytest.mark.parametrize("lens, fisheye", [(NO_LENS, False), (LENS, False), (FISHEYE, True)])
def test_a_mean_head_is_found_where_it_is(angles: Any, place: Any, lens: np.ndarray, fisheye: bool) -> None:
    position = np.array(place)
    away = position / np.linalg.norm(position)
    axis = np.cross([0, 0, 1], away)
    angle = math.asin(min(float(np.linalg.norm(axis)), 1.0))
    to_head = cv2.Rodrigues(axis / max(float(np.linalg.norm(axis)), 1e-9) * angle)[0]
    rotation = to_head @ FACING @ turned(*angles)
    found = face_pose(seen(position, rotation, lens, fisheye), Calibration(K, lens, fisheye), EYES)
    assert found is not None
    assert np.linalg.norm(found.position - position) < 0.03 * np.linalg.norm(position)
    cosine = (np.trace(found.rotation.T @ rotation) - 1) / 2
    assert math.degrees(math.acos(min(cosine, 1.0))) < 3


def test_the_distance_is_proportional_to_the_distance_of_the_eyes() -> None:
    landmarks = seen(np.array([0.1, 0.0, 1.0]), FACING, NO_LENS)
    near, far = (face_pose(landmarks, Calibration(K, NO_LENS), eyes) for eyes in (0.06, 0.09))
    assert near is not None and far is not None
    assert far.position == pytest.approx(1.5 * near.position)


@pytest.mark.parametrize("landmarks", [np.zeros((5, 2)), np.full((5, 2), math.nan)])
def test_landmarks_that_are_none_have_no_pose(landmarks: np.ndarray) -> None:
    assert face_pose(landmarks, Calibration(K, NO_LENS), EYES) is None


def test_pixels_without_a_direction_have_no_pose() -> None:
    # Beyond about 500 pixels from its centre this lens folds back.
    landmarks = seen(np.array([0.0, 0.0, 1.0]), FACING, NO_LENS) + 1500
    assert face_pose(landmarks, Calibration(K, LENS), EYES) is None


@pytest.mark.parametrize("angles", [(0, 0, 0), (180, 0, 0), (0, 180, 0), (0, 0, 180), (30, -100, 170), (1, 2, 3)])
def test_quaternions_are_those_of_the_rotation(angles: Any) -> None:
    rotation = turned(*angles)
    x, y, z, w = quaternion(rotation)
    assert math.hypot(x, y, z, w) == pytest.approx(1) and w >= 0
    vector = np.array([x, y, z])
    angle = 2 * math.atan2(float(np.linalg.norm(vector)), w)
    axis = vector / max(float(np.linalg.norm(vector)), 1e-12)
    assert cv2.Rodrigues(axis * angle)[0] == pytest.approx(rotation, abs=1e-6)


def test_gaze_points_out_of_the_face_in_the_optical_convention() -> None:
    header = Header(frame_id="optical")
    face, gaze = face_transforms(header, "face_7", FacePose(np.array([0.1, 0.2, 1.0]), FACING))
    assert (face.child_frame_id, gaze.child_frame_id) == ("face_face_7", "gaze_face_7")
    assert face.header == gaze.header == header
    assert face.transform.translation == gaze.transform.translation
    turn = gaze.transform.rotation
    # Somebody who looks straight into the camera: z towards it, x (to the person's right) left in the image, y down.
    assert [turn.x, turn.y, turn.z, turn.w] == pytest.approx([0, 1, 0, 0], abs=1e-9)


def test_the_calibration_lies_beside_the_image_topic() -> None:
    assert camera_info_topic("/camera/color/image_raw") == "/camera/color/camera_info"
    assert camera_info_topic("/camera/image_rect/compressed") == "/camera/camera_info"
    assert camera_info_topic("/image") == "/camera_info"
    assert is_rectified("/c/image_rect_color/compressed") and not is_rectified("/rect/image_raw")


def test_binning_and_region_move_the_camera_matrix() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=400, height=300)
    found = calibration_of(info(roi=roi, binning_x=2, binning_y=2), (200, 150), False)
    assert found.matrix == pytest.approx(np.array([[260, 0, 111], [0, 255, 99], [0, 0, 1]]))


def test_a_rectified_image_has_the_projection_and_no_distortion() -> None:
    projection = np.array([[400.0, 0, 300, 0], [0, 400, 200, 0], [0, 0, 1, 0]])
    found = calibration_of(info(d=LENS.tolist(), p=projection.ravel()), SIZE, True)
    assert found.matrix[0, 0] == 400 and not found.distortion.size
    assert calibration_of(info(d=LENS.tolist(), p=projection.ravel()), SIZE, False).distortion.tolist() == LENS.tolist()


@pytest.mark.parametrize(
    ("changes", "size", "rectified", "reason"),
    [
        ({"k": [0.0] * 9}, SIZE, False, "not calibrated"),
        ({}, (640, 360), False, "is for images of 640 x 480 pixels, but they have 640 x 360"),
        ({"binning_x": 2, "binning_y": 2}, SIZE, False, "is for images of 320 x 240"),
        ({"roi": RegionOfInterest(width=100, height=100)}, SIZE, False, "is for images of 100 x 100"),
        ({"width": 0, "height": 0}, SIZE, False, "is for images of 0 x 0"),
        ({"k": np.diag([0.0, 500, 1]).ravel()}, SIZE, False, "focal lengths 0 and 500 in K"),
        ({"k": np.diag([-500.0, 500, 1]).ravel()}, SIZE, False, "focal lengths -500 and 500"),
        ({"k": np.diag([math.nan, 500, 1]).ravel()}, SIZE, False, "focal lengths nan"),
        ({"p": [0.0] * 12}, SIZE, True, "focal lengths 0 and 0 in P"),
        ({"d": [0.1] * 5, "distortion_model": "magic"}, SIZE, False, "distortion model 'magic'"),
        ({"d": [0.1] * 3}, SIZE, False, "plumb_bob needs 4 or 5 finite numbers"),
        ({"d": [0.1, math.nan, 0.0, 0.0, 0.0]}, SIZE, False, "finite numbers"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(changes: Any, size: Any, rectified: bool, reason: str) -> None:
    with pytest.raises(CalibrationError, match=reason):
        calibration_of(info(**changes), size, rectified)


ANY = st.floats(width=64) | st.sampled_from([0.0, 1.0, 500.0, -0.3, 1e300, math.nan, math.inf])
COUNT = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2, 320, 480, 640])


@settings(max_examples=300, deadline=None)
@given(
    k=st.lists(ANY, min_size=9, max_size=9),
    d=st.lists(ANY, max_size=14),
    model=st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "magic"]),
    roi=st.tuples(COUNT, COUNT, COUNT, COUNT),
    binning=st.tuples(COUNT, COUNT),
    size=st.sampled_from([SIZE, (320, 240), (0, 0)]),
    points=st.lists(ANY, min_size=10, max_size=10),
)
def test_no_calibration_and_no_landmarks_give_a_frame_that_is_not_finite(
    k: Any, d: Any, model: str, roi: Any, binning: Any, size: Any, points: Any
) -> None:
    x, y, width, height = roi
    region = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
    message = info(k=k, d=d, distortion_model=model, roi=region, binning_x=binning[0], binning_y=binning[1])
    plain = info(k=k, d=d, distortion_model=model)
    for one in (message, plain):
        try:
            found = calibration_of(one, size, False)
        except CalibrationError:
            continue
        for landmarks in (np.array(points).reshape(5, 2), seen(np.array([0.1, 0.0, 1.0]), FACING, NO_LENS)):
            pose = face_pose(landmarks, found, EYES)
            if pose is not None:
                assert np.isfinite(pose.position).all() and math.hypot(*quaternion(pose.rotation)) == pytest.approx(1)

"""Head pose: exact for the model's own face, honest about its uncertainty, signs as in REP-103."""

import math

import numpy as np
import pytest

from ast_net_ros.vision.head_pose import LANDMARK_SIGMA, MODEL, estimate_head_pose, fit_head

FRONTAL = np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.0], [-0.4, 0.5], [0.4, 0.5]]) * 60 + 200


def _turned(roll: float, pitch: float, yaw: float, model: np.ndarray = MODEL) -> np.ndarray:
    """Landmarks of a head that is turned by these degrees, 60 pixels between the eyes."""
    r, p, y = np.deg2rad([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]])
    about_y = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    about_z = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    turned = model @ (about_z @ about_y @ about_x).T
    return np.stack([turned[:, 1], -turned[:, 2]], axis=1) * 60 + 200


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, 0, 0), (0, -15, 0), (0, 0, 35), (-25, 20, -40), (10, -20, 55)])
def test_the_pose_of_the_mean_face_is_exact(angles):
    pose = estimate_head_pose(_turned(*angles))
    assert np.rad2deg([pose.roll, pose.pitch, pose.yaw]) == pytest.approx(angles, abs=0.1)


def test_a_nose_to_the_right_in_the_image_is_a_positive_yaw():
    assert estimate_head_pose(FRONTAL + np.array([[0, 0], [0, 0], [15, 0], [0, 0], [0, 0]])).yaw > 0.1


def test_a_nose_further_down_is_a_positive_pitch():
    lowered = estimate_head_pose(FRONTAL + np.array([[0, 0], [0, 0], [0, 10], [0, 0], [0, 0]]))
    assert lowered.pitch > estimate_head_pose(FRONTAL).pitch + 0.1


def test_the_pose_does_not_depend_on_place_and_size():
    near, far = (estimate_head_pose(_turned(5, 10, 20) * factor + 31) for factor in (3.0, 0.3))
    assert (near.roll, near.pitch, near.yaw) == pytest.approx((far.roll, far.pitch, far.yaw), abs=1e-6)
    assert near.sigma == pytest.approx(far.sigma, rel=1e-6)


def test_sigma_is_the_spread_over_faces():
    rng = np.random.default_rng(0)
    errors, sigmas = [], []
    for _ in range(300):
        own = MODEL + rng.normal(0, LANDMARK_SIGMA, MODEL.shape)
        pose = estimate_head_pose(_turned(5, 5, 25, own))
        errors.append(np.array([pose.roll, pose.pitch, pose.yaw]) - np.deg2rad([5, 5, 25]))
        sigmas.append(pose.sigma)
    ratio = np.std(errors, axis=0) / np.mean(sigmas, axis=0)
    assert (ratio > 0.4).all() and (ratio < 1.3).all()


def test_a_face_that_fits_badly_is_less_certain():
    odd = _turned(0, 0, 0) + np.array([[12, 0], [-12, 9], [0, 0], [-9, 9], [12, -9]])
    assert min(estimate_head_pose(odd).sigma) > max(estimate_head_pose(_turned(0, 0, 0)).sigma)


@pytest.mark.parametrize("landmarks", [np.zeros((5, 2)), np.full((5, 2), math.nan)])
def test_landmarks_that_are_none_are_refused(landmarks):
    with pytest.raises(ValueError, match="coincide or are not finite"):
        estimate_head_pose(landmarks)


@pytest.mark.parametrize("last", [(0, 1), (1, 0), (1, 1)])
def test_landmarks_on_a_line_give_a_rotation(last):
    rotation, _, _ = fit_head(np.array([[0, 0]] * 4 + [last], float))
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-9) and np.linalg.det(rotation) > 0


def test_landmarks_on_a_line_give_finite_numbers():
    pose = estimate_head_pose(np.array([[0, 0], [10, 0], [5, 0], [2, 0], [8, 0]], float))
    assert np.isfinite([pose.roll, pose.pitch, pose.yaw, *pose.sigma]).all()

"""Head pose from the five landmarks of a face, and for how long the face was turned to the camera.

In: landmarks in pixels. Out: a :class:`HeadPose`: roll, pitch and yaw with their uncertainty; and from the poses of one
face from frame to frame its :class:`Engagement`, which says nothing about the eyes.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ast_net_ros.face_affect import HeadPose

# Where the landmarks lie in a head, as the detector places them: left eye, right eye, nose tip, left and right mouth
# corner as they lie in the image. x forward, y to the head's left (right in the image), z up. Distance of the eyes 1.
# Fitted to the detector's landmarks on rendered `anny` heads with known pose, and made symmetric.
MODEL = np.array(
    [
        [-0.143, -0.5, 0.537],
        [-0.143, 0.5, 0.537],
        [0.408, 0.0, 0.003],
        [-0.061, -0.397, -0.539],
        [-0.061, 0.397, -0.539],
    ]
)
LANDMARK_SIGMA = 0.05
"""By how much a person's landmarks deviate from the model in each direction, in distances of the eyes."""

TURNED_BELOW = math.radians(20.0)
"""A face begins to count as turned to the camera when it is turned away from it by less than this, radians.

People move the eyes alone for glances up to about 20 degrees; a head that is turned further attends to something else.
"""
TURNED_UNTIL = math.radians(30.0)
"""It counts so until it is turned away by more than this: twice the median error of the head pose further."""

_CENTRED = MODEL - MODEL.mean(axis=0)
_TO_AFFINE = np.linalg.pinv(_CENTRED)


def estimate_head_pose(landmarks: np.ndarray) -> HeadPose:
    """Estimate the pose of a head.

    Least squares between the landmarks and a mean face under scaled orthographic projection: in closed form first
    (POS, DeMenthon and Davis 1995), then by Gauss-Newton steps over rotation and scale. The standard deviation
    follows from the Jacobian, the spread of faces about the mean one, and how badly this face fits.

    Args:
        landmarks: 5 x 2 in pixels: left eye, right eye, nose tip, left and right mouth corner as they lie in the image.

    Raises:
        ValueError: The landmarks coincide or are not finite.
    """
    rotation, scale, points = fit_head(landmarks)
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    pitch = math.asin(min(max(-float(rotation[2, 0]), -1.0), 1.0))
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    projected, jacobian = _linearise(rotation, scale)
    residual = points - projected
    variance = (LANDMARK_SIGMA * scale) ** 2 + float((residual**2).sum()) / 4  # ten coordinates, six unknowns
    covariance = variance * np.linalg.inv(jacobian.T @ jacobian + 1e-6 * scale * scale * np.eye(4))[:3, :3]
    # A small turn is a sum of turns about the axes of roll, pitch and yaw.
    sine, cosine, slope = math.sin(yaw), math.cos(yaw), math.tan(pitch)
    level = max(math.cos(pitch), 1e-3)
    to_angles = np.array(
        [[cosine / level, sine / level, 0.0], [-sine, cosine, 0.0], [cosine * slope, sine * slope, 1.0]]
    )
    variances = np.diag(to_angles @ covariance @ to_angles.T).tolist()
    sigma_roll, sigma_pitch, sigma_yaw = (min(math.sqrt(max(value, 0.0)), math.pi) for value in variances)
    return HeadPose(roll, pitch, yaw, (sigma_roll, sigma_pitch, sigma_yaw))


def fit_head(landmarks: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Fit the mean face to the landmarks, as `estimate_head_pose` does.

    Returns:
        The rotation (3 x 3) from the head's axes to the image's: towards the camera, right, up; the distance of the
        eyes in pixels, as it would be if the face were turned to the camera; and the landmarks about their centre.

    Raises:
        ValueError: The landmarks coincide or are not finite.
    """
    points = np.asarray(landmarks, float)
    points = points - points.mean(axis=0)
    spread = float(np.abs(points).max())
    if not math.isfinite(spread) or spread < 1e-3:
        raise ValueError(f"landmarks {np.asarray(landmarks).tolist()}: they coincide or are not finite")
    rotation, scale = _closed_form(points)
    damping = 1e-6 * scale * scale * np.eye(4)
    for _ in range(2):
        projected, jacobian = _linearise(rotation, scale)
        step = np.linalg.solve(jacobian.T @ jacobian + damping, jacobian.T @ (points - projected).ravel())
        rotation = _rotation(step[:3]) @ rotation
        scale *= math.exp(min(max(step[3], -0.5), 0.5))
    return rotation, scale, points


def _closed_form(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation and scale of the affine projection nearest to the points."""
    affine = (_TO_AFFINE @ points).T  # 2 x 3: image right and down from the head's axes
    right, up = affine[0], -affine[1]
    scale = (np.linalg.norm(right) + np.linalg.norm(up)) / 2
    # The nearest pair of orthogonal unit vectors has the same bisectors.
    right, up = right / max(float(np.linalg.norm(right)), 1e-9), up / max(float(np.linalg.norm(up)), 1e-9)
    along, across = right + up, right - up
    along /= max(float(np.linalg.norm(along)), 1e-9) * math.sqrt(2)
    across /= max(float(np.linalg.norm(across)), 1e-9) * math.sqrt(2)
    right, up = along + across, along - across
    forward = [
        right[1] * up[2] - right[2] * up[1],
        right[2] * up[0] - right[0] * up[2],
        right[0] * up[1] - right[1] * up[0],
    ]
    if sum(value * value for value in forward) < 0.99:  # landmarks on a line, which many poses fit
        return np.eye(3), float(scale)
    return np.array([forward, right, up]), float(scale)


def _linearise(rotation: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Project the model; and how the 10 coordinates change with a small turn about each axis and with log scale."""
    turned = scale * _CENTRED @ rotation.T
    x, y, z = turned.T
    projected = np.empty((5, 2))
    projected[:, 0], projected[:, 1] = y, -z
    jacobian = np.zeros((5, 2, 4))
    jacobian[:, 0, 0], jacobian[:, 1, 0] = -z, -y
    jacobian[:, 1, 1] = jacobian[:, 0, 2] = x
    jacobian[:, :, 3] = projected
    return projected, jacobian.reshape(10, 4)


def _rotation(vector: np.ndarray) -> np.ndarray:
    """The rotation about a vector by its length, at most half a radian (Rodrigues)."""
    angle = math.sqrt(float(vector @ vector))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = vector / angle
    angle = min(angle, 0.5)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def angle_to_camera(pose: HeadPose) -> float:
    """Return the angle between where the face points and the line to the camera, radians, in [0, pi]."""
    return math.acos(min(max(math.cos(pose.yaw) * math.cos(pose.pitch), -1.0), 1.0))


class Engagement:
    """The engagement of one face.

    Time before the first update counts as turned away, so that the value of a new face rises from 0. Between two
    updates the state of the earlier one holds.
    """

    def __init__(self) -> None:
        self._turned = False
        self._stamp: float | None = None
        self._periods: deque[tuple[float, float]] = deque()  # of being turned to the camera: first and last stamp

    def update(self, stamp: float, pose: HeadPose | None, window: float) -> float:
        """Take in the next observation of the face.

        Args:
            stamp: Of the frame, seconds; not before the last one.
            pose: None where it is not known, which counts as turned away.
            window: Seconds over which the share is taken, above 0.

        Returns:
            The engagement, in [0, 1].
        """
        if self._turned and self._stamp is not None:
            # Joined with a period that ended here, so that their number stays small.
            start = self._periods.pop()[0] if self._periods and self._periods[-1][1] == self._stamp else self._stamp
            self._periods.append((start, stamp))
        self._stamp = stamp
        self._turned = pose is not None and angle_to_camera(pose) < (TURNED_UNTIL if self._turned else TURNED_BELOW)
        began = stamp - window
        while self._periods and self._periods[0][1] <= began:
            self._periods.popleft()
        turned = sum(end - max(start, began) for start, end in self._periods)
        return min(max(turned / window, 0.0), 1.0)

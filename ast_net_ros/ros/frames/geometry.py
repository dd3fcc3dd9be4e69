"""Where a face is and how it is turned, in the optical frame of a calibrated camera.

In: five landmarks in pixels and a :class:`Calibration`. Out: a :class:`FacePose`. Optical frame: x right, y down, z
forward (REP-103). Knows no ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ast_net_ros.vision.head_pose import MODEL, fit_head

_LARGEST_RESIDUE = 1.0  # pixels by which an undistorted point may miss its pixel
_NEAREST, _FARTHEST = 0.05, 100.0  # metres; what lies outside was no face
# From the axes that head poses refer to (towards the camera, image right, image up) to those of an optical frame.
_TO_OPTICAL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
_BETWEEN_EYES = (MODEL[0] + MODEL[1]) / 2 - MODEL.mean(axis=0)


@dataclass(frozen=True)
class Calibration:
    """How the pixels of a camera's images map to directions."""

    matrix: np.ndarray  # 3 x 3, the camera matrix of the image as it arrives
    distortion: np.ndarray  # coefficients of OpenCV's model; empty for a rectified image
    fisheye: bool = False  # whether they are those of the equidistant model

    def directions(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return the directions of pixels (N x 2) as N x 2: x and y where z is 1.

        None where the distortion model has no direction for a pixel: at the edge of a wide lens.
        """
        points = np.asarray(pixels, float).reshape(-1, 1, 2)
        if not self.distortion.size:
            return (points[:, 0] - self.matrix[:2, 2]) / self.matrix[[0, 1], [0, 1]]
        model = cv2.fisheye if self.fisheye else cv2
        found = model.undistortPoints(points, self.matrix, self.distortion)[:, 0]
        if self.fisheye:
            again = cv2.fisheye.distortPoints(found[:, None], self.matrix, self.distortion)[:, 0]
        else:
            rays = np.column_stack([found, np.ones(len(found))])
            again = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), self.matrix, self.distortion)[0][:, 0]
        residue = float(np.abs(again - points[:, 0]).max())
        return found if residue <= _LARGEST_RESIDUE else None


@dataclass(frozen=True)
class FacePose:
    """A face in the optical frame."""

    position: np.ndarray  # of the point between the eyes, metres
    rotation: np.ndarray  # 3 x 3; its columns are the axes of the head: x forward out of the face, y left, z up


def face_pose(landmarks: np.ndarray, calibration: Calibration, eye_distance: float) -> FacePose | None:
    """Return the pose of a face.

    The landmarks are seen by a virtual camera that looks straight at the face, to which head poses refer. The
    distance follows from the apparent size, so its relative error is that of `eye_distance`.

    Args:
        landmarks: 5 x 2 in pixels, as those of a Detection.
        calibration: Of the image.
        eye_distance: Distance between the pupils of the person, metres.

    Returns:
        None where the landmarks or the lens allow no pose.
    """
    found = calibration.directions(landmarks)
    if found is None or not np.isfinite(found).all():
        return None
    rays = np.column_stack([found, np.ones(5)])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turn = _turn_to(rays.mean(axis=0))
    rays = rays @ turn
    focal = float(calibration.matrix[[0, 1], [0, 1]].mean())
    points = focal * rays[:, :2] / rays[:, 2:]
    try:
        rotation, scale, _ = fit_head(points)
    except ValueError:
        return None
    rotation = _TO_OPTICAL @ rotation
    depth = focal * eye_distance / scale if scale > 0 else math.inf
    middle = np.append(points.mean(axis=0) / focal, 1.0) * depth
    position = turn @ (middle + eye_distance * rotation @ _BETWEEN_EYES)
    if not _NEAREST < float(np.linalg.norm(position)) < _FARTHEST:  # also refuses NaN
        return None
    return FacePose(position, turn @ rotation)


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Return a 3 x 3 rotation as x, y, z, w; w is not negative."""
    turn = cv2.Rodrigues(rotation)[0].ravel()  # axis times angle
    angle = float(np.linalg.norm(turn))  # at most pi
    x, y, z = (turn * (math.sin(angle / 2) / angle if angle else 0.5)).tolist()
    return x, y, z, max(math.cos(angle / 2), 0.0)


def _turn_to(direction: np.ndarray) -> np.ndarray:
    """Return the least rotation that turns the z axis to a direction in front of the camera."""
    x, y, z = direction / np.linalg.norm(direction)
    xx, xy, yy = np.array([x * x, x * y, y * y]) / (1 + z)
    return np.array([[1 - xx, -xy, x], [-xy, 1 - yy, y], [-x, -y, z]])

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
    """How the pixels of a camera's images map to directions.

    Attributes:
        matrix: 3 x 3, the camera matrix of the image as it arrives.
        distortion: Coefficients of OpenCV's model; empty for a rectified image.
        fisheye: Whether they are those of the equidistant model.
    """

    matrix: np.ndarray
    distortion: np.ndarray
    fisheye: bool = False

    def directions(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return the directions of pixels as N x 2, x and y where z is 1.

        Args:
            pixels: N x 2.

        Returns:
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
    """A face in the optical frame.

    Attributes:
        position: Of the point between the eyes, metres.
        rotation: 3 x 3; its columns are the axes of the head: x forward out of the face, y left, z up.
    """

    position: np.ndarray
    rotation: np.ndarray


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
    # Of the four equal forms, the one that divides by the largest component.
    trace = float(np.trace(rotation))
    squares = np.maximum(np.append(1 - trace + 2 * np.diag(rotation), 1 + trace), 0.0)  # 4 x^2, 4 y^2, 4 z^2, 4 w^2
    largest = int(squares.argmax())
    r, size = rotation, 2 * math.sqrt(squares[largest])
    off = {
        (0, 1): r[0, 1] + r[1, 0], (0, 2): r[0, 2] + r[2, 0], (1, 2): r[1, 2] + r[2, 1],
        (0, 3): r[2, 1] - r[1, 2], (1, 3): r[0, 2] - r[2, 0], (2, 3): r[1, 0] - r[0, 1],
    }  # fmt: skip
    x, y, z, w = (
        size / 4 if index == largest else float(off[min(index, largest), max(index, largest)]) / size
        for index in range(4)
    )
    return (-x, -y, -z, -w) if w < 0 else (x, y, z, w)


def _turn_to(direction: np.ndarray) -> np.ndarray:
    """Return the least rotation that turns the z axis to a direction in front of the camera."""
    x, y, z = direction / np.linalg.norm(direction)
    return np.array(
        [
            [1 - x * x / (1 + z), -x * y / (1 + z), x],
            [-x * y / (1 + z), 1 - y * y / (1 + z), y],
            [-x, -y, z],
        ]
    )

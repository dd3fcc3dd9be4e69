"""Measure head pose on rendered heads: `python tools/run.py head_pose`."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from ast_net_ros.ros.frames.geometry import Calibration, face_pose
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.head_pose import estimate_head_pose
from head_pose.heads import FOCAL, Head, make_heads, render, rotation

_REPEATS = 20  # of a measured call
_SIDE = 240  # of an image, pixels
_BINS = ((0, 10), (10, 20), (20, 30), (30, 40), (0, 40), (40, 60))


def main() -> int:
    """Print the median errors by yaw. The heads are others than those that the mean face was fitted to."""
    parser = argparse.ArgumentParser(prog="head_pose", description=__doc__)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--poses", type=int, default=22, help="of each head")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    rng, detector = np.random.default_rng(arguments.seed), make_detector()
    angles, errors, sigmas, places, seconds, missed = [], [], [], [], 0.0, 0
    for head in make_heads(arguments.heads, arguments.seed):
        for number in range(arguments.poses):
            widest = 60 if number % 4 == 0 else 40
            true = (float(rng.uniform(-25, 25)), float(rng.uniform(-25, 25)), float(rng.uniform(-widest, widest)))
            distance = float(rng.uniform(0.6, 2))
            faces = detector.detect(render(head, true, distance, _SIDE))
            if not faces:
                missed += 1
                continue
            began = time.process_time()
            for _ in range(_REPEATS):
                pose = estimate_head_pose(faces[0].landmarks)
            seconds += (time.process_time() - began) / _REPEATS
            angles.append(true)
            errors.append(np.rad2deg([pose.roll, pose.pitch, pose.yaw]) - true)
            sigmas.append(np.rad2deg(pose.sigma))
            places.append(_place_errors(head, true, distance, faces[0].landmarks))
    absolute, yaw = np.abs(errors), np.abs(np.array(angles)[:, 2])
    print(f"{len(errors)} faces, {missed} missed; median |error| of roll, pitch, yaw in degrees")
    for low, high in _BINS:
        inside = (yaw >= low) & (yaw < high)
        print(f"yaw {low:2d} to {high}: {np.round(np.median(absolute[inside], axis=0), 1)}, {inside.sum()} faces")
    print(f"median |error| / sigma (0.67 when sigma is right): {np.round(np.median(absolute / sigmas, axis=0), 2)}")
    inside = yaw < 40
    along, across = np.median(np.array(places)[inside], axis=0)
    print(f"yaw 0 to 40: median error of the distance {100 * along:.1f} %, across {1000 * across:.0f} mm")
    print(f"{1000 * seconds / len(errors):.2f} ms of processor time per face")
    return 0


def _place_errors(head: Head, true: tuple[float, float, float], distance: float, landmarks: np.ndarray) -> list[float]:
    """Error of a face's distance, relative, and of its place across the line of sight, metres.

    The distance of the eyes is known.
    """
    eyes = head.eyes @ rotation(*true).T
    x, right, up = eyes.mean(axis=0)
    between = np.array([right, -up, distance - x])
    focal = FOCAL * _SIDE
    calibration = Calibration(np.array([[focal, 0, _SIDE / 2], [0, focal, _SIDE / 2], [0, 0, 1]]), np.zeros(0))
    pose = face_pose(landmarks, calibration, float(np.linalg.norm(head.eyes[0] - head.eyes[1])))
    if pose is None:
        return [np.inf, np.inf]
    return [
        abs(pose.position[2] / between[2] - 1),
        float(np.linalg.norm(pose.position[:2] * between[2] / pose.position[2] - between[:2])),
    ]


if __name__ == "__main__":
    sys.exit(main())

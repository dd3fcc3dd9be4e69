"""Measure head pose on rendered heads: `python tools/run.py head_pose`."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.head_pose import estimate_head_pose
from head_pose.heads import make_heads, render

_REPEATS = 20  # of a measured call
_BINS = ((0, 10), (10, 20), (20, 30), (30, 40), (0, 40), (40, 60))


def main() -> int:
    """Print the median errors by yaw. The heads are others than those that the mean face was fitted to."""
    parser = argparse.ArgumentParser(prog="head_pose", description=__doc__)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--poses", type=int, default=22, help="of each head")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    rng, detector = np.random.default_rng(arguments.seed), make_detector()
    angles, errors, sigmas, seconds, missed = [], [], [], 0.0, 0
    for head in make_heads(arguments.heads, arguments.seed):
        for number in range(arguments.poses):
            widest = 60 if number % 4 == 0 else 40
            true = (float(rng.uniform(-25, 25)), float(rng.uniform(-25, 25)), float(rng.uniform(-widest, widest)))
            faces = detector.detect(render(head, true, float(rng.uniform(0.6, 2))))
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
    absolute, yaw = np.abs(errors), np.abs(np.array(angles)[:, 2])
    print(f"{len(errors)} faces, {missed} missed; median |error| of roll, pitch, yaw in degrees")
    for low, high in _BINS:
        inside = (yaw >= low) & (yaw < high)
        print(f"yaw {low:2d} to {high}: {np.round(np.median(absolute[inside], axis=0), 1)}, {inside.sum()} faces")
    print(f"median |error| / sigma (0.67 when sigma is right): {np.round(np.median(absolute / sigmas, axis=0), 2)}")
    print(f"{1000 * seconds / len(errors):.2f} ms of processor time per face")
    return 0


if __name__ == "__main__":
    sys.exit(main())

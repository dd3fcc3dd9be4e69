"""Engagement of a face: for which share of the last seconds it was turned to the camera.

In: the head pose of one face from frame to frame. Out: a number in [0, 1]. It says nothing about the eyes.
"""

from __future__ import annotations

import math
from collections import deque

from ast_net_ros.face_affect import HeadPose

TURNED_BELOW = math.radians(20.0)
"""A face begins to count as turned to the camera when it is turned away from it by less than this, radians.

People move the eyes alone for glances up to about 20 degrees; a head that is turned further attends to something else.
"""
TURNED_UNTIL = math.radians(30.0)
"""It counts so until it is turned away by more than this: twice the median error of the head pose further."""


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

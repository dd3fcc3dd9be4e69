"""The topics and message classes of ROS4HRI (REP-155).

The messages come from the package hri_msgs, which is imported only when ROS4HRI input or output is enabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import RegionOfInterest

FACES = "/humans/faces"
TRACKED = f"{FACES}/tracked"
DEPTH = 10


class HriError(RuntimeError):
    """ROS4HRI is asked for and cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class HriMessages:
    """The message classes. roi: NormalizedRegionOfInterest2D, or sensor_msgs/RegionOfInterest before hri_msgs 0.8."""

    ids_list: Any
    expression: Any
    roi: Any


def load_hri_messages() -> HriMessages:
    """The classes of the installed hri_msgs. Raises HriError."""
    try:
        from hri_msgs import msg
    except ImportError as error:
        raise HriError(
            f"parameters hri and face_source: hri need the package hri_msgs, which cannot be loaded ({error}); install "
            "ros-$ROS_DISTRO-hri-msgs or build it in your workspace and source that, or leave both at their defaults"
        ) from error
    return HriMessages(msg.IdsList, msg.Expression, getattr(msg, "NormalizedRegionOfInterest2D", RegionOfInterest))

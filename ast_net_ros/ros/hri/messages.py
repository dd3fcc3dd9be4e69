"""Topics and message classes of ROS4HRI (REP-155); hri_msgs is imported only where ROS4HRI is enabled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import RegionOfInterest

from ast_net_ros.ros.runtime.optional_packages import MissingPackageError, required_package

FACES = "/humans/faces"
PERSONS = "/humans/persons"
TRACKED = f"{FACES}/tracked"
QUEUE_DEPTH = 10


@dataclass(frozen=True)
class HriMessages:
    """The message classes."""

    ids_list: Any  # hri_msgs/IdsList
    ids_match: Any  # hri_msgs/IdsMatch
    expression: Any  # hri_msgs/Expression
    engagement: Any  # hri_msgs/EngagementLevel
    landmarks: Any  # hri_msgs/FacialLandmarks
    point: Any  # hri_msgs/NormalizedPointOfInterest2D
    roi: Any  # hri_msgs/NormalizedRegionOfInterest2D, or sensor_msgs/RegionOfInterest before hri_msgs 0.8


def hri_messages_for(values: Mapping[str, Any]) -> HriMessages | None:
    """Import the message classes if the node's parameters need or can use them; None if not, or if dispensable.

    Raises:
        MissingPackageError: They are needed and hri_msgs is not installed or cannot be imported.
    """
    if values["hri"] or values["face_source"] == "hri":
        return load_hri_messages()
    with suppress(MissingPackageError):
        return load_hri_messages() if values["persons"] else None
    return None


def load_hri_messages() -> HriMessages:
    """Import the message classes. MissingPackageError: hri_msgs is not installed or cannot be imported."""
    with required_package("hri_msgs", "parameters hri and face_source: hri require", "leave both at their defaults"):
        from hri_msgs import msg
    return HriMessages(
        msg.IdsList,
        msg.IdsMatch,
        msg.Expression,
        msg.EngagementLevel,
        msg.FacialLandmarks,
        msg.NormalizedPointOfInterest2D,
        getattr(msg, "NormalizedRegionOfInterest2D", RegionOfInterest),
    )

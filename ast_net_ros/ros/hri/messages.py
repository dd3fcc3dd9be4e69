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
    """The message classes.

    Attributes:
        ids_list: hri_msgs/IdsList.
        ids_match: hri_msgs/IdsMatch.
        expression: hri_msgs/Expression.
        engagement: hri_msgs/EngagementLevel.
        landmarks: hri_msgs/FacialLandmarks.
        point: hri_msgs/NormalizedPointOfInterest2D.
        roi: hri_msgs/NormalizedRegionOfInterest2D, or sensor_msgs/RegionOfInterest before hri_msgs 0.8.
    """

    ids_list: Any
    ids_match: Any
    expression: Any
    engagement: Any
    landmarks: Any
    point: Any
    roi: Any


def hri_messages_for(values: Mapping[str, Any]) -> HriMessages | None:
    """Import the message classes where the node's parameters need them or can use them.

    Args:
        values: The node's parameters.

    Returns:
        None where they are not needed, or dispensable and not installed.

    Raises:
        MissingPackageError: They are needed and hri_msgs is not installed or cannot be imported.
    """
    if values["hri"] or values["face_source"] == "hri":
        return load_hri_messages()
    with suppress(MissingPackageError):
        return load_hri_messages() if values["persons"] else None
    return None


def load_hri_messages() -> HriMessages:
    """Import the message classes.

    Raises:
        MissingPackageError: hri_msgs is not installed or cannot be imported.
    """
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

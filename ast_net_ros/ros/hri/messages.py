"""Topics of ROS4HRI (REP-155), and its messages: hri_msgs is imported only where ROS4HRI is enabled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from sensor_msgs.msg import RegionOfInterest

from ast_net_ros.ros.runtime.optional_packages import MissingPackageError, required_package

FACES = "/humans/faces"
PERSONS = "/humans/persons"
TRACKED = f"{FACES}/tracked"
QUEUE_DEPTH = 10


def hri_messages_for(values: Mapping[str, Any]) -> ModuleType | None:
    """Import hri_msgs.msg if the node's parameters need or can use them; None if not, or if dispensable.

    Raises:
        MissingPackageError: They are needed and hri_msgs is not installed or cannot be imported.
    """
    if values["hri"] or values["face_source"] == "hri":
        return load_hri_messages()
    with suppress(MissingPackageError):
        return load_hri_messages() if values["persons"] else None
    return None


def load_hri_messages() -> ModuleType:
    """Import hri_msgs.msg. MissingPackageError: it is not installed or cannot be imported."""
    with required_package("hri_msgs", "parameters hri and face_source: hri require", "leave both at their defaults"):
        from hri_msgs import msg
    return msg


def roi_type(messages: Any) -> Any:
    """Return the type of a face's region: NormalizedRegionOfInterest2D, or RegionOfInterest before hri_msgs 0.8."""
    return getattr(messages, "NormalizedRegionOfInterest2D", RegionOfInterest)

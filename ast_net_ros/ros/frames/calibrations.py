"""The `camera_info` of each camera: checked, and kept for the next image."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from ast_net_ros.ros.camera import image_qos
from ast_net_ros.ros.frames.geometry import Calibration

_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}  # model -> numbers of D


class CalibrationError(ValueError):
    """A camera_info that cannot be used; the message says why."""


def camera_info_topic(image_topic: str) -> str:
    """Return the topic beside an image topic that carries its calibration, by the convention of image_transport."""
    return image_topic.removesuffix("/compressed").rpartition("/")[0] + "/camera_info"


def is_rectified(image_topic: str) -> bool:
    """Return whether the images of a topic are free of distortion, by the convention of image_proc: `image_rect`."""
    return "rect" in image_topic.removesuffix("/compressed").rpartition("/")[2]


def calibration_of(info: CameraInfo, size: tuple[int, int], rectified: bool) -> Calibration:
    """Return the calibration of an image.

    Args:
        info: Of the camera; refers to its full resolution, of which the image is the part `roi`, binned.
        size: (width, height) of the image in pixels.
        rectified: Whether the image is rectified: P applies, and no distortion.

    Raises:
        CalibrationError: The message is unset, impossible, or belongs to images of another size.
    """
    if not any(info.k):
        raise CalibrationError("is not calibrated (K is all 0)")
    binning = max(info.binning_x, 1), max(info.binning_y, 1)
    expected = ((info.roi.width or info.width) // binning[0], (info.roi.height or info.height) // binning[1])
    if expected != size:
        raise CalibrationError(
            f"is for images of {expected[0]} x {expected[1]} pixels, but they have {size[0]} x {size[1]}"
        )
    values = np.array(info.p, float).reshape(3, 4)[:, :3] if rectified else np.array(info.k, float).reshape(3, 3)
    (fx, _, cx), (_, fy, cy) = values[:2]
    if not np.isfinite(values[:2]).all() or not (fx > 0 and fy > 0):
        name = "P" if rectified else "K"
        raise CalibrationError(f"has focal lengths {fx:g} and {fy:g} in {name}; both must be above 0")
    cx, cy = (cx - info.roi.x_offset) / binning[0], (cy - info.roi.y_offset) / binning[1]
    matrix = np.array([[fx / binning[0], 0.0, cx], [0.0, fy / binning[1], cy], [0.0, 0.0, 1.0]])
    distortion = np.zeros(0) if rectified else np.array(info.d, float)
    if not distortion.any():  # no coefficients, or none that does anything
        return Calibration(matrix, np.zeros(0))
    model = info.distortion_model
    if model not in _COEFFICIENTS:
        raise CalibrationError(f"has the distortion model '{model}'; use one of {', '.join(_COEFFICIENTS)}")
    if len(distortion) not in _COEFFICIENTS[model] or not np.isfinite(distortion).all():
        wanted = " or ".join(map(str, _COEFFICIENTS[model]))
        raise CalibrationError(f"has D = {distortion.tolist()}; {model} needs {wanted} finite numbers")
    return Calibration(matrix, distortion, fisheye=model == "equidistant")


@dataclass
class _Camera:
    """One camera's subscription, newest message, and what was made of it for images of one size."""

    subscription: Subscription
    info: CameraInfo | None = None
    checked: tuple[CameraInfo, tuple[int, int]] | None = None
    result: Calibration | CalibrationError | None = None
    since: float = field(default_factory=time.monotonic)


class Calibrations:
    """Subscribes to the calibration of each camera."""

    def __init__(self, node: Node):
        self._node = node
        self._cameras: dict[str, _Camera] = {}

    def add(self, image_topic: str) -> None:
        """Subscribe to the calibration beside an image topic (its fully resolved name)."""
        topic, qos = camera_info_topic(image_topic), image_qos("best_effort", depth=1)

        def keep(message: Any) -> None:
            camera = self._cameras.get(image_topic)
            message.header = Header()  # otherwise every message differs from the one before
            if camera is not None and camera.info != message:
                camera.info = message

        self._cameras[image_topic] = _Camera(self._node.create_subscription(CameraInfo, topic, keep, qos))

    def clear(self) -> None:
        """Unsubscribe from all cameras."""
        while self._cameras:
            self._node.destroy_subscription(self._cameras.popitem()[1].subscription)

    def find(self, image_topic: str, size: tuple[int, int]) -> Calibration | None:
        """Return the calibration of an image of `size` (width, height) in pixels; None before the first message.

        Raises:
            CalibrationError: The calibration cannot be used; the message names its topic.
        """
        camera = self._cameras.get(image_topic)
        if camera is None or (info := camera.info) is None:
            return None
        if camera.checked is None or camera.checked[0] is not info or camera.checked[1] != size:
            try:
                camera.result = calibration_of(info, size, is_rectified(image_topic))
            except CalibrationError as error:
                camera.result = CalibrationError(f"{camera.subscription.topic_name} {error}")
            camera.checked = (info, size)
        if isinstance(camera.result, CalibrationError):
            raise camera.result
        return camera.result

    def missing(self, image_topic: str, timeout: float) -> str:
        """Return that nothing has come on the calibration's topic for `timeout` seconds; empty if something has."""
        camera = self._cameras.get(image_topic)
        if camera is None or camera.info is not None or time.monotonic() - camera.since < timeout:
            return ""
        return f"no message on {camera.subscription.topic_name}; start its publisher, or remap it"

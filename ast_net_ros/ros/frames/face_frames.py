"""TF frames of faces as REP-155 defines them: `face_<id>` and `gaze_<id>`, children of the image's optical frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from ast_net_ros.ros.conversions import nanoseconds
from ast_net_ros.ros.frames.calibrations import CalibrationError, Calibrations
from ast_net_ros.ros.frames.geometry import FacePose, face_pose, quaternion
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.ros.runtime.optional_packages import required_package

# Axes of `gaze` in those of `face`: z out of the face, x to the head's right, y down.
_GAZE = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def face_transforms(header: Header, face_id: str, pose: FacePose) -> list[TransformStamped]:
    """Return the frames of one face.

    Args:
        header: Of the image: the frames have its stamp, and its frame_id as parent.
        face_id: As in /humans/faces/tracked.
        pose: In the image's optical frame.
    """
    translation = Vector3(**dict(zip("xyz", pose.position.tolist())))
    frames = []
    for name, rotation in (("face", pose.rotation), ("gaze", pose.rotation @ _GAZE)):
        transform = Transform(translation=translation, rotation=Quaternion(**dict(zip("xyzw", quaternion(rotation)))))
        frames.append(TransformStamped(header=header, child_frame_id=f"{name}_{face_id}", transform=transform))
    return frames


class FaceFrames:
    """Publishes the frames of all faces on /tf; `values` are the node's parameters, read at every use.

    Raises:
        MissingPackageError: tf2_msgs is not installed or cannot be imported.
    """

    def __init__(self, node: LifecycleNode, values: Mapping[str, Any]):
        self._node, self._values = node, values
        with required_package("tf2_msgs", "parameter publish_tf requires", "leave publish_tf false"):
            from tf2_msgs.msg import TFMessage
        self._message_type = TFMessage
        self._calibrations = Calibrations(node)
        self._issues: dict[str, str] = {}  # by image topic
        self._publisher: Any = node.create_lifecycle_publisher(TFMessage, "/tf", 100)  # as tf2_ros has it

    def add(self, image_topic: str) -> None:
        """Subscribe to the calibration of a camera."""
        self._calibrations.add(image_topic)

    def publish(self, estimate: Estimate) -> None:
        """Publish the frames of the faces in one image, if its camera is calibrated."""
        topic, header = estimate.camera.topic, estimate.header
        height, width = estimate.image_bgr.shape[:2]
        try:
            calibration = self._calibrations.find(topic, (width, height))
            self._issues[topic] = _header_issue(header)
        except CalibrationError as error:
            self._issues[topic] = str(error)
            return
        if calibration is None or self._issues[topic]:
            return
        transforms: list[TransformStamped] = []
        for face in estimate.faces:
            if face.landmarks:
                pose = face_pose(np.array(face.landmarks), calibration, self._values["eye_distance"])
                transforms += face_transforms(header, face.face_id, pose) if pose else []
        if transforms:
            self._publisher.publish(self._message_type(transforms=transforms))

    def issue(self, image_topic: str) -> str:
        """Return why a camera's faces have no frames; empty when they have."""
        if image_topic not in self._issues:  # no image yet
            return ""
        reason = self._issues[image_topic] or self._calibrations.missing(image_topic, self._values["no_image_timeout"])
        return f"no TF frames: {reason}" if reason else ""

    def clear(self) -> None:
        """Unsubscribe from all cameras."""
        self._calibrations.clear()
        self._issues.clear()

    def destroy(self) -> None:
        """Unsubscribe and destroy the publisher."""
        self.clear()
        if self._publisher is not None:
            self._node.destroy_lifecycle_publisher(self._publisher)
            self._publisher = None


def _header_issue(header: Header) -> str:
    if not header.frame_id:
        return "the images have no frame_id; make the camera driver set header.frame_id to its optical frame"
    if not nanoseconds(header.stamp):
        return "the images have a stamp of 0; make the camera driver set header.stamp"
    return ""

"""What the node publishes of each image: all faces, the primary face, debug images, annotations, and ROS4HRI topics."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.msg import ValenceArousal, ValenceArousalArray
from ast_net_ros.ros.conversions import affect_array, compressed_message, image_message
from ast_net_ros.ros.frames.face_frames import FaceFrames
from ast_net_ros.ros.hri.output import HriOutput
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.ros.output.annotations import Annotations, load_foxglove_messages
from ast_net_ros.vision.drawing import AffectPlane, draw_faces

QUEUE_DEPTH = 10


class DebugImages:
    """`~/debug_image`, while somebody subscribes to it: boxes, labels, and a valence-arousal plane with trails."""

    def __init__(self, raw: LifecyclePublisher, compressed: LifecyclePublisher):
        self._raw, self._compressed = raw, compressed
        self._planes: dict[str, AffectPlane] = {}

    def publish(self, estimate: Estimate) -> None:
        """Draw the faces of one image on a copy of it and publish that; trails start with the first subscriber."""
        wants_raw, wants_compressed = (p.get_subscription_count() > 0 for p in (self._raw, self._compressed))
        if not wants_raw and not wants_compressed:
            self._planes.clear()
            return
        image = estimate.image_bgr.copy()
        plane = self._planes.setdefault(estimate.camera.topic, AffectPlane())
        plane.update(estimate.faces, estimate.stamp)
        draw_faces(image, estimate.faces)
        plane.draw(image)
        if wants_raw:
            self._raw.publish(image_message(estimate.header, image))
        if wants_compressed:
            self._compressed.publish(compressed_message(estimate.header, image))


class Outputs:
    """The lifecycle publishers of the estimates, from configuring to cleaning up.

    Args:
        node: The node that publishes.
        values: The node's parameters; read at every use.
        hri_messages: hri_msgs.msg, if ROS4HRI is used.
    """

    def __init__(self, node: LifecycleNode, values: Mapping[str, Any], hri_messages: ModuleType | None):
        self._node, self._values = node, values
        self._publishers: list[LifecyclePublisher] = []
        self._annotations: Annotations | None = None
        self._hri: HriOutput | None = None
        self._frames: FaceFrames | None = None
        try:
            self._faces = self._create(ValenceArousalArray, "~/faces")
            self._primary = self._create(ValenceArousal, "~/valence_arousal")
            self._debug = DebugImages(
                self._create(Image, "~/debug_image"), self._create(CompressedImage, "~/debug_image/compressed")
            )
            if values["annotations"]:
                messages = load_foxglove_messages()
                self._annotations = Annotations(self._create(messages.ImageAnnotations, "~/annotations"), messages)
            if values["hri"]:
                assert hri_messages is not None
                self._hri = HriOutput(node, hri_messages, values["face_source"] == "detector")
            # The crops of another detector do not tell where a face is.
            if values["publish_tf"] and values["face_source"] == "detector":
                self._frames = FaceFrames(node, values)
        except BaseException:
            self.destroy()
            raise

    def publish(self, estimate: Estimate, primary: FaceAffect | None) -> None:
        """Publish the faces of one image, of which `primary` is the primary face, if any."""
        height, width = estimate.image_bgr.shape[:2]
        array = affect_array(estimate.header, estimate.camera.topic, estimate.faces, (width, height))
        self._faces.publish(array)
        if primary is not None:
            self._primary.publish(array.faces[estimate.faces.index(primary)])
        if self._values["debug_image"]:
            self._debug.publish(estimate)
        if self._annotations is not None:
            self._annotations.publish(estimate)
        if self._hri is not None:
            self._hri.publish(estimate, self._values["track_timeout"])
        if self._frames is not None:
            self._frames.publish(estimate)

    def add_camera(self, topic: str) -> None:
        """Prepare for the images of a topic."""
        if self._frames is not None:
            self._frames.add(topic)

    def issue(self, topic: str) -> str:
        """Return what prevents an output of the images of a topic; empty when nothing does."""
        return "" if self._frames is None else self._frames.issue(topic)

    def expire(self) -> None:
        """Remove the ROS4HRI faces of cameras that have become silent. Call it once a second."""
        if self._hri is not None:
            self._hri.expire(self._values["track_timeout"])

    def clear(self) -> None:
        """Remove all ROS4HRI faces and cameras."""
        if self._hri is not None:
            self._hri.clear()
        if self._frames is not None:
            self._frames.clear()

    def destroy(self) -> None:
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())
        if self._hri is not None:
            self._hri.destroy()
            self._hri = None
        if self._frames is not None:
            self._frames.destroy()
            self._frames = None

    def _create(self, message_type: type, topic: str) -> LifecyclePublisher:
        qos, overrides = QoSProfile(depth=QUEUE_DEPTH), QoSOverridingOptions.with_default_policies()
        publisher = self._node.create_lifecycle_publisher(message_type, topic, qos, qos_overriding_options=overrides)
        self._publishers.append(publisher)
        return publisher

"""`~/debug_image`: the image with boxes, labels, and a valence-arousal plane with a trail for each face."""

from __future__ import annotations

from rclpy.lifecycle import LifecyclePublisher

from ast_net_ros.ros.conversions import compressed_message, image_message
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.vision.drawing import AffectPlane, draw_faces


class DebugImages:
    """Draws and publishes debug images while somebody subscribes to them; trails start with the first subscriber.

    Args:
        raw: Publisher of sensor_msgs/Image.
        compressed: Publisher of sensor_msgs/CompressedImage.
    """

    def __init__(self, raw: LifecyclePublisher, compressed: LifecyclePublisher):
        self._raw = raw
        self._compressed = compressed
        self._planes: dict[str, AffectPlane] = {}

    def publish(self, estimate: Estimate) -> None:
        """Draw the faces of one image on a copy of it and publish that."""
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

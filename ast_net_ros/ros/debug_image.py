"""The debug picture: boxes, ids, values and a valence-arousal plane with a trail for each face.

In: estimates with their pictures. Out: `~/debug_image` and `~/debug_image/compressed`, each made only while
somebody subscribes to it; otherwise the cost is two look-ups an image.
"""

from __future__ import annotations

from rclpy.lifecycle import LifecyclePublisher

from ast_net_ros.ros.conversions import compressed_message, image_message
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.vision.drawing import AffectPlane, draw_faces


class DebugImages:
    """Draws and publishes. Trails begin when somebody subscribes."""

    def __init__(self, raw: LifecyclePublisher, compressed: LifecyclePublisher):
        self.publishers = (raw, compressed)
        self._raw = raw
        self._compressed = compressed
        self._planes: dict[str, AffectPlane] = {}

    def publish(self, estimate: Estimate) -> None:
        wants_raw, wants_compressed = (p.get_subscription_count() > 0 for p in self.publishers)
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

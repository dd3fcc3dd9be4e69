"""`~/annotations`: boxes, landmarks and values for Foxglove's image panel, which draws them over the camera's image.

foxglove_msgs is imported only where annotations are enabled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.lifecycle import LifecyclePublisher

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.inference_thread import Estimate
from ast_net_ros.ros.runtime.optional_packages import required_package
from ast_net_ros.vision.drawing import face_color


def load_foxglove_messages() -> Any:
    """Import foxglove_msgs.msg. MissingPackageError: it is not installed or cannot be imported."""
    with required_package("foxglove_msgs", "parameter annotations requires", "set annotations to false"):
        from foxglove_msgs import msg
    return msg


class Annotations:
    """Publishes foxglove_msgs/ImageAnnotations while somebody subscribes; `messages` is foxglove_msgs.msg."""

    def __init__(self, publisher: LifecyclePublisher, messages: Any):
        self._publisher, self._messages = publisher, messages

    def publish(self, estimate: Estimate) -> None:
        """Publish the faces of one image."""
        if not self._publisher.get_subscription_count():
            return
        stamp, messages = estimate.header.stamp, self._messages
        message = messages.ImageAnnotations()
        if hasattr(message, "timestamp"):  # since 2026
            message.timestamp = stamp
        for face in estimate.faces:
            left, top, width, height = face.box
            corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
            message.points.append(self._points(stamp, face, messages.PointsAnnotation.LINE_LOOP, corners))
            if face.landmarks:
                message.points.append(self._points(stamp, face, messages.PointsAnnotation.POINTS, face.landmarks))
            message.texts.append(self._text(stamp, face))
        self._publisher.publish(message)

    def _points(self, stamp: Any, face: FaceAffect, kind: int, points: Sequence[tuple[float, float]]) -> Any:
        return self._messages.PointsAnnotation(
            timestamp=stamp,
            type=kind,
            points=[self._messages.Point2(x=x, y=y) for x, y in points],
            outline_color=self._color(face),
            thickness=2.0,  # pixels
        )

    def _text(self, stamp: Any, face: FaceAffect) -> Any:
        left, top, _, _ = face.box
        return self._messages.TextAnnotation(
            timestamp=stamp,
            position=self._messages.Point2(x=left, y=top),
            text=f"{face.face_id}  V {face.valence:+.2f}  A {face.arousal:+.2f}  {face.confidence:.0%}",
            font_size=14.0,  # pixels
            text_color=self._color(face),
            background_color=self._messages.Color(a=0.7),
        )

    def _color(self, face: FaceAffect) -> Any:
        blue, green, red = (value / 255 for value in face_color(face.face_id))
        return self._messages.Color(r=red, g=green, b=blue, a=1.0)

"""ROS4HRI output: publish faces in the form that other nodes for human-robot interaction expect (REP-155).

`/humans/faces/tracked` lists the faces; each has `/humans/faces/<id>/roi`, `.../cropped` and `.../expression`. The topics
of a face are removed when it is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.model import EMOTIONS
from ast_net_ros.pipeline import FaceAffect
from ast_net_ros.ros.conversions import image_message, region_of_interest
from ast_net_ros.ros.hri.messages import DEPTH, FACES, TRACKED, HriMessages
from ast_net_ros.ros.inference_thread import Estimate

CROP_SIDE = 128  # pixels; the default of REP-155
# Of the expressions that REP-155 lists, those that the discrete emotions have; contempt is not among them.
EXPRESSIONS = {
    "neutral": "NEUTRAL",
    "happiness": "HAPPY",
    "surprise": "SURPRISED",
    "sadness": "SAD",
    "anger": "ANGRY",
    "disgust": "DISGUSTED",
    "fear": "SCARED",
}


def expression_of(emotions: Sequence[float]) -> str:
    """The most probable of EXPRESSIONS, as the name of its constant in hri_msgs/Expression."""
    return EXPRESSIONS[max((p, name) for name, p in zip(EMOTIONS, emotions) if name in EXPRESSIONS)[1]]


def face_picture(image_bgr: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """What REP-155 calls `cropped`: the pixels in `box`, scaled and padded with black to CROP_SIDE x CROP_SIDE."""
    region = region_of_interest(box, (image_bgr.shape[1], image_bgr.shape[0]))
    picture = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    if not region.width or not region.height:
        return picture
    rows = slice(region.y_offset, region.y_offset + region.height)
    face = image_bgr[rows, region.x_offset : region.x_offset + region.width]
    scale = CROP_SIDE / max(region.width, region.height)
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    left, top = (CROP_SIDE - size[0]) // 2, (CROP_SIDE - size[1]) // 2
    resized = cv2.resize(face, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    picture[top : top + size[1], left : left + size[0]] = resized
    return picture


@dataclass
class _PublishedFace:
    """One face's topics; stamp: of the last image that showed it, in seconds."""

    camera: str
    stamp: float
    publishers: dict[str, Any] = field(default_factory=dict)


class HriOutput:
    """Publishes faces as REP-155 wants them. Safe to be called from any thread.

    owns_faces: false where another detector publishes which faces there are, and only expressions are added.
    """

    def __init__(self, node: Node, messages: HriMessages, owns_faces: bool):
        self._node, self._messages, self._owns_faces = node, messages, owns_faces
        self._faces: dict[str, _PublishedFace] = {}
        self._images_at: dict[str, float] = {}  # camera -> when its last image was processed, monotonic
        self._lock = threading.Lock()
        self._tracked = node.create_publisher(messages.ids_list, TRACKED, DEPTH) if owns_faces else None

    def publish(self, estimate: Estimate, timeout: float, certainty: float) -> None:
        """The faces of one image. timeout: seconds unseen until a face is lost. certainty: the least of a region."""
        camera, header = estimate.camera.topic, estimate.header
        height, width = estimate.image_bgr.shape[:2]
        with self._lock:
            self._images_at[camera] = time.monotonic()
            for face in estimate.faces:
                known = self._faces.get(face.face_id)
                if known is None:
                    known = self._faces[face.face_id] = self._begin(face.face_id, camera)
                known.stamp = estimate.stamp
                known.publishers["expression"].publish(self._expression(header, face))
                if self._owns_faces:
                    known.publishers["roi"].publish(self._roi(header, face, (width, height), certainty))
                    if known.publishers["cropped"].get_subscription_count():
                        picture = face_picture(estimate.image_bgr, face.box)
                        known.publishers["cropped"].publish(image_message(header, picture))
            before = [(face_id, known) for face_id, known in self._faces.items() if known.camera == camera]
            # Stamps that went backward (a looped bag) have ended every face of before.
            self._end([i for i, known in before if not 0 <= estimate.stamp - known.stamp <= timeout])
            self._publish_tracked(header)

    def sweep(self, timeout: float) -> None:
        """Lose the faces of cameras that are silent for `timeout` seconds, as no image of theirs will tell."""
        with self._lock:
            since = time.monotonic() - timeout
            silent = {camera for camera, moment in self._images_at.items() if moment < since}
            lost = [face_id for face_id, known in self._faces.items() if known.camera in silent]
            self._end(lost)
            for camera in silent:
                del self._images_at[camera]
            if lost:
                self._publish_tracked(Header(stamp=self._node.get_clock().now().to_msg()))

    def clear(self) -> None:
        """Lose every face."""
        with self._lock:
            self._end(list(self._faces))
            self._images_at.clear()
            self._publish_tracked(Header(stamp=self._node.get_clock().now().to_msg()))

    def destroy(self) -> None:
        """Take all topics back."""
        self.clear()
        if self._tracked is not None:
            self._node.destroy_publisher(self._tracked)
            self._tracked = None

    def _begin(self, face_id: str, camera: str) -> _PublishedFace:
        wanted = {"expression": self._messages.expression}
        if self._owns_faces:
            wanted |= {"roi": self._messages.roi, "cropped": Image}
        offer = self._node.create_publisher
        publishers = {name: offer(kind, f"{FACES}/{face_id}/{name}", DEPTH) for name, kind in wanted.items()}
        return _PublishedFace(camera, 0.0, publishers)

    def _end(self, face_ids: Iterable[str]) -> None:
        for face_id in face_ids:
            for publisher in self._faces.pop(face_id).publishers.values():
                self._node.destroy_publisher(publisher)

    def _publish_tracked(self, header: Header) -> None:
        if self._tracked is not None:
            self._tracked.publish(self._messages.ids_list(header=header, ids=list(self._faces)))

    def _expression(self, header: Header, face: FaceAffect) -> Any:
        kind = self._messages.expression
        values = {"valence": face.valence, "arousal": face.arousal, "confidence": face.confidence}
        name = getattr(kind, expression_of(face.emotions))
        return kind(header=header, expression=name, **{key: float(value) for key, value in values.items()})

    def _roi(self, header: Header, face: FaceAffect, image_size: tuple[int, int], certainty: float) -> Any:
        if self._messages.roi is RegionOfInterest:
            return region_of_interest(face.box, image_size)
        (x, y, width, height), (columns, rows) = face.box, image_size
        corners = {"xmin": x / columns, "ymin": y / rows, "xmax": (x + width) / columns, "ymax": (y + height) / rows}
        bounded = {name: min(max(float(value), 0.0), 1.0) for name, value in corners.items()}
        return self._messages.roi(header=header, c=float(certainty), **bounded)

"""ROS4HRI output: publish faces as REP-155 specifies.

`/humans/faces/tracked` lists the faces; each has `/humans/faces/<id>/roi`, `.../cropped` and `.../expression`. A lost
face's topics are removed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.face_affect import Box, FaceAffect
from ast_net_ros.model import EMOTIONS
from ast_net_ros.ros.conversions import image_message, region_of_interest
from ast_net_ros.ros.hri.messages import FACES, QUEUE_DEPTH, TRACKED, HriMessages
from ast_net_ros.ros.inference_thread import Estimate

CROP_SIDE = 128  # pixels; the default of REP-155
# Emotion -> constant of hri_msgs/Expression. REP-155 does not list contempt.
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
    """Return the most probable expression that REP-155 lists, as the name of its constant in hri_msgs/Expression."""
    return EXPRESSIONS[max((p, name) for name, p in zip(EMOTIONS, emotions) if name in EXPRESSIONS)[1]]


def cropped_face(image_bgr: np.ndarray, box: Box) -> np.ndarray:
    """Return what REP-155 calls `cropped`: the box scaled and padded with black to CROP_SIDE x CROP_SIDE pixels."""
    region = region_of_interest(box, (image_bgr.shape[1], image_bgr.shape[0]))
    crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    if not region.width or not region.height:
        return crop
    rows = slice(region.y_offset, region.y_offset + region.height)
    face = image_bgr[rows, region.x_offset : region.x_offset + region.width]
    scale = CROP_SIDE / max(region.width, region.height)
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    left, top = (CROP_SIDE - size[0]) // 2, (CROP_SIDE - size[1]) // 2
    resized = cv2.resize(face, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    crop[top : top + size[1], left : left + size[0]] = resized
    return crop


@dataclass
class _PublishedFace:
    camera: str
    stamp: float  # of the last image with this face, in seconds
    publishers: dict[str, Any] = field(default_factory=dict)


class HriOutput:
    """Publishes faces and their topics with lifecycle publishers. Thread-safe.

    Args:
        node: The node that publishes.
        messages: The message classes.
        owns_faces: False if another detector publishes the faces, so that only expressions are added.
    """

    def __init__(self, node: LifecycleNode, messages: HriMessages, owns_faces: bool):
        self._node, self._messages, self._owns_faces = node, messages, owns_faces
        self._faces: dict[str, _PublishedFace] = {}
        self._images_at: dict[str, float] = {}  # camera -> monotonic time of its last processed image
        self._lock = threading.Lock()
        self._tracked = node.create_lifecycle_publisher(messages.ids_list, TRACKED, QUEUE_DEPTH) if owns_faces else None

    def publish(self, estimate: Estimate, timeout: float) -> None:
        """Publish the faces of one image.

        Args:
            estimate: The image and its faces.
            timeout: Seconds unseen after which a face is lost.
        """
        camera, header = estimate.camera.topic, estimate.header
        with self._lock:
            self._images_at[camera] = time.monotonic()
            for face in estimate.faces:
                known = self._faces.get(face.face_id)
                if known is None:
                    known = self._faces[face.face_id] = self._add(face.face_id, camera)
                known.stamp = estimate.stamp
                self._publish_face(known.publishers, estimate, face)
            of_camera = [(face_id, known) for face_id, known in self._faces.items() if known.camera == camera]
            # Stamps that went back (a looped bag) end every earlier face.
            self._remove([i for i, known in of_camera if not 0 <= estimate.stamp - known.stamp <= timeout])
            self._publish_tracked(header)

    def expire(self, timeout: float) -> None:
        """Remove the faces of cameras whose last image was processed more than `timeout` seconds ago."""
        with self._lock:
            since = time.monotonic() - timeout
            silent = {camera for camera, last in self._images_at.items() if last < since}
            lost = [face_id for face_id, known in self._faces.items() if known.camera in silent]
            self._remove(lost)
            for camera in silent:
                del self._images_at[camera]
            if lost:
                self._publish_tracked(self._header_now())

    def clear(self) -> None:
        """Remove all faces."""
        with self._lock:
            self._remove(list(self._faces))
            self._images_at.clear()
            self._publish_tracked(self._header_now())

    def destroy(self) -> None:
        """Remove all topics."""
        with self._lock:
            self._remove(list(self._faces))
            if self._tracked is not None:
                self._node.destroy_lifecycle_publisher(self._tracked)
                self._tracked = None

    def _add(self, face_id: str, camera: str) -> _PublishedFace:
        types = {"expression": self._messages.expression}
        if self._owns_faces:
            types |= {"roi": self._messages.roi, "cropped": Image}
        publishers = {}
        for name, message_type in types.items():
            topic = f"{FACES}/{face_id}/{name}"
            publisher = self._node.create_lifecycle_publisher(message_type, topic, QUEUE_DEPTH)
            publisher.on_activate(None)  # the node is active already
            publishers[name] = publisher
        return _PublishedFace(camera, 0.0, publishers)

    def _remove(self, face_ids: Iterable[str]) -> None:
        for face_id in face_ids:
            for publisher in self._faces.pop(face_id).publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)

    def _publish_face(self, publishers: dict[str, Any], estimate: Estimate, face: FaceAffect) -> None:
        publishers["expression"].publish(self._expression(estimate.header, face))
        if not self._owns_faces:
            return
        height, width = estimate.image_bgr.shape[:2]
        publishers["roi"].publish(roi_message(self._messages.roi, estimate.header, face, (width, height)))
        if publishers["cropped"].get_subscription_count():
            crop = cropped_face(estimate.image_bgr, face.box)
            publishers["cropped"].publish(image_message(estimate.header, crop))

    def _publish_tracked(self, header: Header) -> None:
        if self._tracked is not None:
            self._tracked.publish(self._messages.ids_list(header=header, ids=list(self._faces)))

    def _header_now(self) -> Header:
        return Header(stamp=self._node.get_clock().now().to_msg())

    def _expression(self, header: Header, face: FaceAffect) -> Any:
        message_type = self._messages.expression
        name = getattr(message_type, expression_of(face.emotions))
        values = {key: float(getattr(face, key)) for key in ("valence", "arousal", "confidence")}
        return message_type(header=header, expression=name, **values)


def roi_message(message_type: Any, header: Header, face: FaceAffect, image_size: tuple[int, int]) -> Any:
    """Return a face's region: normalised to [0, 1] with the detection's score, or in pixels before hri_msgs 0.8.

    Args:
        message_type: NormalizedRegionOfInterest2D or RegionOfInterest.
        header: The image's header.
        face: The face.
        image_size: (width, height) of the image in pixels.
    """
    if message_type is RegionOfInterest:
        return region_of_interest(face.box, image_size)
    (x, y, width, height), (columns, rows) = face.box, image_size
    corners = {"xmin": x / columns, "ymin": y / rows, "xmax": (x + width) / columns, "ymax": (y + height) / rows}
    bounded = {name: min(max(float(value), 0.0), 1.0) for name, value in corners.items()}
    return message_type(header=header, c=float(face.detection_score), **bounded)

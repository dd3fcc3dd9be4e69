"""What ROS4HRI messages say of one face: region, landmarks, expression, engagement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from ast_net_ros.face_affect import Box, FaceAffect
from ast_net_ros.model import EMOTIONS
from ast_net_ros.ros.conversions import region_of_interest

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
# Our landmarks, in their order, as constants of hri_msgs/FacialLandmarks; its left and right are the person's own.
LANDMARKS = ("RIGHT_PUPIL", "LEFT_PUPIL", "NOSE", "MOUTH_OUTER_RIGHT", "MOUTH_OUTER_LEFT")
LANDMARK_COUNT = 70  # of hri_msgs/FacialLandmarks

# Level -> (next level, whether the engagement must be above the limit, limit). They are those of the ROS4HRI package
# hri_engagement, whose mean of -1 and 1 is twice our share less 1.
_LEVEL_CHANGES = {
    "DISENGAGED": (("ENGAGING", True, 0.3),),
    "ENGAGING": (("DISENGAGED", False, 0.2), ("ENGAGED", True, 0.75)),
    "ENGAGED": (("DISENGAGING", False, 0.7),),
    "DISENGAGING": (("ENGAGED", True, 0.8), ("DISENGAGED", False, 0.25)),
}


def expression_of(emotions: Sequence[float]) -> str:
    """Return the most probable expression that REP-155 lists, as the name of its constant in hri_msgs/Expression."""
    return EXPRESSIONS[max((p, name) for name, p in zip(EMOTIONS, emotions) if name in EXPRESSIONS)[1]]


def engagement_level(face: FaceAffect, before: str) -> str:
    """Return the level of engagement, as the name of its constant in hri_msgs/EngagementLevel.

    Args:
        face: The estimate. Without a head pose nothing is known.
        before: The level in the image before; "UNKNOWN" for a new face.
    """
    if face.head_pose is None:
        return "UNKNOWN"
    for level, above, limit in _LEVEL_CHANGES.get(before, ()):
        if (face.engagement > limit) if above else (face.engagement < limit):
            return level
    return "DISENGAGED" if before == "UNKNOWN" else before


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


def expression_message(message_type: Any, header: Header, face: FaceAffect) -> Any:
    """Return a face's expression; `message_type` is hri_msgs/Expression."""
    expression = getattr(message_type, expression_of(face.emotions))
    values = {name: float(getattr(face, name)) for name in ("valence", "arousal", "confidence")}
    return message_type(header=header, expression=expression, **values)


def landmarks_message(messages: Any, header: Header, face: FaceAffect, image_size: tuple[int, int]) -> Any:
    """Return a face's landmarks, normalised to [0, 1]; those that we do not have are 0 with confidence 0.

    `messages` is hri_msgs.msg, `image_size` (width, height) in pixels.
    """
    width, height = image_size
    message = messages.FacialLandmarks(header=header, width=width, height=height)
    message.landmarks = [messages.NormalizedPointOfInterest2D() for _ in range(LANDMARK_COUNT)]
    for name, (x, y) in zip(LANDMARKS, face.landmarks):
        if 0 <= x <= width and 0 <= y <= height:
            point = messages.NormalizedPointOfInterest2D(x=x / width, y=y / height, c=float(face.detection_score))
            message.landmarks[getattr(messages.FacialLandmarks, name)] = point
    return message


def roi_message(message_type: Any, header: Header, face: FaceAffect, image_size: tuple[int, int]) -> Any:
    """Return a face's region: normalised to [0, 1] with the detection's score, or in pixels before hri_msgs 0.8.

    `message_type` is NormalizedRegionOfInterest2D or RegionOfInterest, `image_size` (width, height) in pixels.
    """
    if message_type is RegionOfInterest:
        return region_of_interest(face.box, image_size)
    (x, y, width, height), (columns, rows) = face.box, image_size
    corners = {"xmin": x / columns, "ymin": y / rows, "xmax": (x + width) / columns, "ymax": (y + height) / rows}
    bounded = {name: min(max(float(value), 0.0), 1.0) for name, value in corners.items()}
    return message_type(header=header, c=float(face.detection_score), **bounded)

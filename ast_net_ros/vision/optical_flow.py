"""Faces between two detections: their landmarks moved along with the picture.

In: the last image and its faces, and the present image. Out: the faces where they are now, or word that they are lost.
Costs a fraction of a detection; drift is bounded by detecting anew at intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import cv2
import numpy as np

from ast_net_ros.vision.alignment import similarity_transform
from ast_net_ros.vision.detection import Detection

_FACE_SIDE = 64.0  # pixels to which the smallest face is reduced before its motion is measured
_GRID = np.stack(np.meshgrid([0.2, 0.5, 0.8], [0.25, 0.5, 0.75]), axis=-1).reshape(-1, 2)  # of the box
_LARGEST_RETURN_ERROR = 0.02  # of the face's width: how far a point may miss its start on the way back
_LEAST_POINTS = 0.6  # share of the points that must hold
_LARGEST_CHANGE_OF_SIZE = 1.15
_MARGIN = 0.6  # of the largest face's side: what is looked at around the faces


class MotionReference:
    """An image that motion is measured from, and its faces. Of the image only the part around the faces is kept."""

    def __init__(self, image_bgr: np.ndarray, faces: Sequence[Detection]):
        smallest = min((face.box[2] for face in faces), default=_FACE_SIDE)
        self.scale = min(1.0, _FACE_SIDE / max(smallest, 1.0))
        self.shape = image_bgr.shape
        self.faces = list(faces)
        self.region = _region_around(faces, image_bgr.shape)
        self.grey = self.look_at(image_bgr) if self.faces else None

    def look_at(self, image_bgr: np.ndarray) -> np.ndarray:
        """The part of an image of the same size that motion is looked for in, grey and reduced."""
        left, top, right, bottom = self.region
        grey = cv2.cvtColor(image_bgr[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
        if self.scale == 1:
            return grey
        size = [max(1, round(side * self.scale)) for side in (right - left, bottom - top)]
        return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)

    def moved_on(self, grey: np.ndarray, faces: list[Detection]) -> MotionReference:
        """The reference for the image after: `grey` of what `look_at` gave for this one. Nothing is computed twice."""
        after = copy(self)
        after.grey, after.faces = grey, faces
        return after


def follow_faces(reference: MotionReference, image_bgr: np.ndarray) -> MotionReference | None:
    """The reference's faces in `image_bgr` (H x W x 3 uint8), in their order; None when one of them is lost.

    A face that leaves the region around its place at the last detection counts as lost.

    The five landmarks and a grid of points in each box are followed by pyramidal Lucas-Kanade flow
    (Bouguet 2001), there and back; the similarity transform of those that return carries the face.
    """
    if image_bgr.shape != reference.shape or reference.grey is None:
        return None
    grey = reference.look_at(image_bgr)
    scale = _exact_scale(reference.region, grey)
    origin = np.array(reference.region[:2])
    points = [(np.vstack([face.landmarks, _grid(face)]) - origin) * scale for face in reference.faces]
    start = np.vstack(points).astype(np.float32).reshape(-1, 1, 2)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(reference.grey, grey, start, None, winSize=(15, 15), maxLevel=3)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, reference.grey, moved, None, winSize=(15, 15), maxLevel=3)
    held = (found.ravel() == 1) & (returned.ravel() == 1)
    missed = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    faces, first = [], 0
    for face, own in zip(reference.faces, points):
        part = slice(first, first + len(own))
        first += len(own)
        good = held[part] & (missed[part] < max(0.5, _LARGEST_RETURN_ERROR * face.box[2] * reference.scale))
        if good.mean() < _LEAST_POINTS:
            return None
        now = _carry(face, own[good] / scale + origin, moved[part].reshape(-1, 2)[good] / scale + origin)
        if now is None:
            return None
        faces.append(now)
    return reference.moved_on(grey, faces)


def _region_around(faces: Sequence[Detection], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what holds all faces with a margin; at least two pixels of the image."""
    height, width = shape[:2]
    boxes = np.array([face.box for face in faces] or [(0, 0, width, height)])
    margin = _MARGIN * boxes[:, 2:].max()
    low = np.floor(boxes[:, :2].min(axis=0) - margin)
    high = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(axis=0) + margin)
    left, top = (int(np.clip(v, 0, max(limit - 2, 0))) for v, limit in zip(low, (width, height)))
    right, bottom = (int(np.clip(v, first + 2, limit)) for v, first, limit in zip(high, (left, top), (width, height)))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _exact_scale(region: tuple[int, int, int, int], grey: np.ndarray) -> np.ndarray:
    """Reduced pixels in a pixel, across and down: sides are rounded to whole pixels."""
    left, top, right, bottom = region
    return np.array([grey.shape[1] / (right - left), grey.shape[0] / (bottom - top)])


def _grid(face: Detection) -> np.ndarray:
    return np.array(face.box[:2]) + _GRID * np.array(face.box[2:])


def _carry(face: Detection, before: np.ndarray, after: np.ndarray) -> Detection | None:
    """`face` moved as the points moved; None when it would change its size at once."""
    motion = similarity_transform(before, after)
    size = float(np.hypot(motion[0, 0], motion[1, 0]))
    if not 1 / _LARGEST_CHANGE_OF_SIZE < size < _LARGEST_CHANGE_OF_SIZE:
        return None
    landmarks = face.landmarks @ motion[:, :2].T + motion[:, 2]
    x, y, width, height = face.box
    centre = motion[:, :2] @ np.array([x + width / 2, y + height / 2]) + motion[:, 2]
    width, height = width * size, height * size
    box = (float(centre[0] - width / 2), float(centre[1] - height / 2), width, height)
    return replace(face, box=box, landmarks=landmarks.astype(np.float32))

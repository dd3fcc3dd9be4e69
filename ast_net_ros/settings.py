"""The defaults of node, library and command line, each in one place.

Imports nothing heavy, so that parameter tables and `--help` can read it at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

Kind = TypeVar("Kind")

IMAGE_ROTATIONS = (0, 90, 180, 270)
"""Allowed values of `image_rotation`, degrees clockwise."""

CHOICES: dict[str, tuple[str | int, ...]] = {
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "runtime": ("auto", "torch", "onnxruntime"),
    "image_rotation": IMAGE_ROTATIONS,
}
"""The values of a setting that commands and node accept."""

LIMITS: dict[str, tuple[float, float]] = {
    "score_threshold": (0, 1),
    "max_faces": (1, 256),
    "min_face_pixels": (1, 10_000),
    "detector_input_size": (64, 4096),
    "detection_interval": (0, 10),
    "track_timeout": (0.05, 60),
    "max_time_gap": (0.1, 3600),
    "smoothing_time_constant": (0, 60),
    "personal_baseline": (0, 0.5),
    "engagement_window": (0.1, 60),
}
"""Likewise the smallest and the largest value, both inclusive."""


@dataclass(frozen=True)
class ModelSettings:
    """Which weights are loaded, and what computes the network. Fixed once the model is loaded.

    Attributes:
        weights: Path of a weights file (.safetensors); None for the packaged one.
        device: "auto" (the first GPU that the runtime can use, else the CPU), "cpu", "cuda" or "cuda:N".
        precision: Arithmetic of the CNN: "auto" (float32), "float32", "bfloat16", or "float16" (GPU only). The LSTM
            always runs in float32, so that rounding errors do not accumulate.
        runtime: What computes the CNN: "auto", "onnxruntime" or "torch". The results differ by rounding only.
    """

    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"


@dataclass(frozen=True)
class PipelineSettings:
    """How frames are processed. May change between two frames.

    Attributes:
        image_rotation: Degrees by which frames must be turned clockwise so that faces stand upright, for a camera that
            is mounted on its side or upside down; one of IMAGE_ROTATIONS. Boxes stay those of the frame as it is.
        score_threshold: Minimum score of a face detection, in [0, 1]. A face that has a track may score less than
            half of it for a while: it is turned, blurred or partly hidden.
        max_faces: Number of faces processed in a frame; the largest ones. At least 1.
        min_face_pixels: Faces narrower than this in the frame are ignored. Pixels, at least 1.
        detector_input_size: Frames are scaled down until their longer side has this many pixels before detection.
            More finds smaller faces; cost grows with its square. Pixels, in [64, 4096].
        detection_interval: Time between two detections; optical flow tracks the faces in between. New faces
            appear with the next detection. Seconds, at least 0; 0 detects in every frame.
        track_timeout: A track and its state end when the face has not been seen for longer than this. Seconds, above 0.
        max_time_gap: Reset the face states of a source when its stamps jump forward by more than this, or
            backward. Seconds, above 0.
        smoothing_time_constant: Time constant of an exponential filter over valence and arousal. Seconds, at least 0;
            0 publishes the estimates unfiltered.
        personal_baseline: Largest correction of a person's resting valence, which is learned while the face is at rest.
            In [0, 0.5]; 0 switches it off.
        engagement_window: Engagement is the share of this time for which a face was turned to the camera. Seconds,
            above 0.
    """

    image_rotation: int = 0
    score_threshold: float = 0.7
    max_faces: int = 16
    min_face_pixels: float = 24.0
    detector_input_size: int = 320
    detection_interval: float = 0.2
    track_timeout: float = 1.0
    max_time_gap: float = 5.0
    smoothing_time_constant: float = 0.0
    personal_baseline: float = 0.0
    engagement_window: float = 3.0


def from_values(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """Make the dataclass `kind` of the values that are named like its fields; other fields keep their defaults."""
    names = [field.name for field in fields(kind) if field.name in values]  # type: ignore[arg-type]
    return kind(**{name: values[name] for name in names})

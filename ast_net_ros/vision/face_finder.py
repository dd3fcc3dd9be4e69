"""Finds the faces of each frame and cuts their chips: by detection at intervals, by optical flow in between."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import Detection, Detector, detect_rotated
from ast_net_ros.vision.optical_flow import FlowReference, follow_faces, make_reference
from ast_net_ros.vision.tracking import CONTINUING_SCORE, intersection_over_union

_STAMP_TOLERANCE = 1e-4  # seconds; cameras do not stamp to the microsecond
_CONTINUING_OVERLAP = 0.3  # of an unlikely detection with a face of the last frame
_CROSSING_OVERLAP = 0.05  # of two followed faces: optical flow would drift from the hidden one onto the other


@dataclass(frozen=True)
class Frame:
    """What the pipeline takes in.

    Attributes:
        image: H x W x 3 uint8, BGR.
        stamp: When it was taken, in seconds.
        source: Name of the camera or file.
        detections: The faces in it where they are known already; None leaves finding them to the pipeline.
    """

    image: np.ndarray
    stamp: float
    source: str = ""
    detections: Sequence[Detection] | None = None

    def check(self) -> None:
        """Raise ValueError where the image has another shape or type, or no pixels, or the stamp is not finite."""
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"frame of '{self.source}' is {what}; expected height x width x 3 uint8 in BGR order")
        if 0 in image.shape:
            raise ValueError(f"frame of '{self.source}' is {image.shape}: it has no pixels")
        if not math.isfinite(self.stamp):
            raise ValueError(
                f"frame of '{self.source}' has the stamp {self.stamp}; expected a finite number of seconds"
            )


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one frame, largest first.

    Attributes:
        frame: The frame they are in.
        detections: One for each face.
        chips: One for each face, S x S uint8.
        timings: Seconds that each stage took: detect, align.
        followed: For each face its index in the last frame of the source, from which optical flow has followed it;
            None when the faces were detected.
        last_stamp: Of that frame, in seconds; minus infinity for the first one.
    """

    frame: Frame
    detections: list[Detection]
    chips: list[np.ndarray]
    timings: dict[str, float]
    followed: list[int] | None = None
    last_stamp: float = -math.inf


@dataclass
class _Source:
    """The state kept for one camera."""

    stamp: float = -math.inf
    last_stamp: float = -math.inf  # of the frame before
    detected: float = -math.inf  # stamp of the last detection
    settings: PipelineSettings | None = None  # of the last detection
    faces: list[Detection] = field(default_factory=list)  # in the last frame
    reference: FlowReference | None = None  # None when there was no face
    followed: list[int] | None = None  # of the last frame, see FoundFaces


class FaceFinder:
    """Finds the faces of frames of several sources. One thread at a time may call it.

    `chip_side` is in pixels.
    """

    def __init__(self, detector: Detector, chip_side: int):
        self.detector = detector
        self._chip_side = chip_side
        self._sources: dict[str, _Source] = {}

    def find(self, frame: Frame, settings: PipelineSettings) -> FoundFaces:
        """Find the faces of a frame.

        Args:
            frame: Its detections are used where it has any; else its faces are detected when the detection interval
                has passed, when the settings have changed, when a face was lost or when two faces overlap, and followed
                otherwise. Those below `score_threshold` are near a face of the last frame and meant to continue its
                track only.
            settings: Apply to this frame.

        Raises:
            ValueError: See `Frame.check`.
        """
        frame.check()
        began = time.perf_counter()
        source = self._locate(frame, settings)
        located = time.perf_counter()
        chips = [align_face(frame.image, face.landmarks, self._chip_side) for face in source.faces]
        timings = {"detect": located - began, "align": time.perf_counter() - located}
        return FoundFaces(frame, source.faces, chips, timings, source.followed, source.last_stamp)

    def reset(self, source: str | None = None) -> None:
        """Forget the last frame of `source`, or of all sources."""
        for name in list(self._sources) if source is None else [source]:
            self._sources.pop(name, None)

    def _locate(self, frame: Frame, settings: PipelineSettings) -> _Source:
        """Update the faces of the frame's source."""
        source = self._sources.setdefault(frame.source, _Source())
        if not 0 <= frame.stamp - source.stamp <= settings.max_time_gap:
            source = self._sources[frame.source] = _Source()
        source.last_stamp, source.stamp = source.stamp, frame.stamp
        # New settings apply at once: they may show faces that the old ones left out.
        due = frame.stamp >= source.detected + settings.detection_interval - _STAMP_TOLERANCE
        detect = due or source.settings != settings or frame.detections is not None
        if not detect and _follow(source, frame, settings):
            return source
        source.detected, source.settings = frame.stamp, settings
        found = self._detect(frame, source.faces, settings) if frame.detections is None else frame.detections
        source.faces, source.followed = [found[index] for index in _select(found, settings)], None
        follow = settings.detection_interval > 0 and source.faces
        source.reference = make_reference(frame.image, source.faces) if follow else None
        return source

    def _detect(self, frame: Frame, last: Sequence[Detection], settings: PipelineSettings) -> list[Detection]:
        """Detect faces; unlikely ones count only where the last frame had a face, which may have turned or blurred."""
        score = settings.score_threshold * CONTINUING_SCORE
        found = detect_rotated(self.detector, frame.image, settings.image_rotation, score, settings.detector_input_size)
        return [
            face
            for face in found
            if face.score >= settings.score_threshold
            or any(intersection_over_union(face.box, known.box) > _CONTINUING_OVERLAP for known in last)
        ]


def _follow(source: _Source, frame: Frame, settings: PipelineSettings) -> bool:
    """Follow the faces of the last frame to this one; False when one is lost."""
    if not source.faces:
        source.followed = []
        return True
    followed = follow_faces(source.reference, frame.image) if source.reference else None
    if followed is None:
        return False
    pairs = itertools.combinations(followed.faces, 2)
    if any(intersection_over_union(a.box, b.box) > _CROSSING_OVERLAP for a, b in pairs):
        return False
    source.followed = _select(followed.faces, settings)
    source.faces = [followed.faces[index] for index in source.followed]
    source.reference = replace(followed, faces=source.faces)
    return True


def _select(faces: Sequence[Detection], settings: PipelineSettings) -> list[int]:
    """Choose faces that are large enough by their indices, the largest first."""
    # A face is higher than wide, and lies on its side in a rotated image.
    wide = [index for index, face in enumerate(faces) if min(face.box[2:]) >= settings.min_face_pixels]
    return sorted(wide, key=lambda index: -faces[index].box[2] * faces[index].box[3])[: settings.max_faces]

"""Frames in, affect estimates out: detection, tracking, chips, AST-Net and each face's recurrent state.

In: BGR frames with a stamp and the name of their source. Out: one :class:`FaceAffect` for every face.
No ROS, no files: the node, the video and bag commands and the benchmark all call this one class.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ast_net_ros.face_affect import FaceAffect, primary_face
from ast_net_ros.model.config import confidence
from ast_net_ros.model.inference import AffectModel, load_model
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.model.resting_baseline import RestingBaseline
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import Detection, Detector, make_detector
from ast_net_ros.vision.optical_flow import MotionReference, follow_faces
from ast_net_ros.vision.quality import QUALITY_THRESHOLD, face_quality
from ast_net_ros.vision.tracking import FaceTracker

__all__ = ["AffectPipeline", "FaceAffect", "Frame", "PipelineSettings", "primary_face"]

logger = logging.getLogger(__name__)
_STAMP_TOLERANCE = 1e-4  # seconds; cameras do not stamp to the microsecond


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


@dataclass
class _Source:
    """The tracks and states of one camera."""

    tracker: FaceTracker = field(default_factory=FaceTracker)
    names: dict[int, str] = field(default_factory=dict)  # track number -> face_id
    states: dict[str, FaceState] = field(default_factory=dict)  # face_id -> recurrent state
    smoothed: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # face_id -> stamp, valence, arousal
    baselines: dict[str, RestingBaseline] = field(default_factory=dict)  # face_id -> resting valence
    stamp: float | None = None
    detected: float | None = None  # stamp of the last detection
    settings: PipelineSettings | None = None  # of the last detection
    reference: MotionReference | None = None

    def reset(self) -> None:
        self.tracker.reset()
        self.names.clear()
        self.states.clear()
        self.smoothed.clear()
        self.baselines.clear()
        self.stamp = self.detected = self.reference = None


@dataclass
class FaceObservation:
    """One face on its way through a call of the pipeline."""

    frame: int
    detection: Detection
    chip: np.ndarray
    quality: float
    face_id: str = ""
    state: FaceState | None = None


class AffectPipeline:
    """Follows every face of every source and estimates its valence and arousal.

    Not thread-safe: one thread calls it. `settings` may be replaced between calls (from any thread).
    timings: seconds each stage of the last call took: detect, align, track, encode, step.
    id_prefix: what every face_id begins with; a node sets one of its own at every start.
    """

    def __init__(
        self,
        model: AffectModel | None = None,
        detector: Detector | None = None,
        settings: PipelineSettings | None = None,
        id_prefix: str = "face_",
    ):
        self.model = model or load_model()
        self.settings = settings or PipelineSettings()
        self.detector = detector or make_detector()
        self.timings: dict[str, float] = {}
        self._id_prefix = id_prefix
        self._numbers = itertools.count(1)
        self._sources: dict[str, _Source] = {}

    def process(
        self,
        frame_bgr: np.ndarray,
        stamp: float,
        source: str = "",
        detections: Sequence[Detection] | None = None,
    ) -> list[FaceAffect]:
        """Estimate the faces of one frame.

        Args:
            frame_bgr: H x W x 3 uint8, BGR.
            stamp: When it was taken, in seconds.
            source: Name of the camera or file. Each source has tracks and states of its own.
            detections: The faces in the frame where they are known already; None runs the detector or, between two
                detections, optical flow.

        Returns:
            The faces, largest first.

        Raises:
            ValueError: The frame has another shape or type, or the stamp is not finite.
        """
        return self.process_batch([Frame(frame_bgr, stamp, source, detections)])[0]

    def process_batch(self, frames: Sequence[Frame]) -> list[list[FaceAffect]]:
        """The faces of several frames, those of all frames in one pass of the network; a list for each frame.

        Frames of one source must be in one batch only once.
        """
        for frame in frames:
            _check(frame)
        if len({frame.source for frame in frames}) < len(frames):
            raise ValueError("a batch holds two frames of one source; pass them one after the other")
        settings = self.settings
        self.timings = dict.fromkeys(("detect", "align", "track", "encode", "step"), 0.0)
        sightings: list[FaceObservation] = []
        for index, frame in enumerate(frames):
            source = self._enter(frame, settings)
            found = self._find(index, frame, source, settings)
            with self._timed("track"):
                self._follow(source, frame, found)
            sightings += found
        results: list[list[FaceAffect]] = [[] for _ in frames]
        if sightings:
            for sighting, affect in zip(sightings, self._estimate(sightings, frames)):
                frame = frames[sighting.frame]
                affect = self._subtract_baseline(affect, frame, settings.personal_baseline)
                results[sighting.frame].append(self._smooth(affect, frame, settings.smoothing_time_constant))
        return results

    def reset(self, source: str | None = None) -> None:
        """Forget the faces of `source`, or of all sources. Ids go on; none is given again."""
        for name in list(self._sources) if source is None else [source]:
            self._sources.pop(name, None)

    def track_count(self, source: str | None = None) -> int:
        """Faces followed at the moment, in `source` or in all."""
        return sum(len(s.tracker.tracks) for name, s in self._sources.items() if source in (None, name))

    def _find(self, index: int, frame: Frame, source: _Source, settings: PipelineSettings) -> list[FaceObservation]:
        """The faces of one frame, largest first, with their chips."""
        with self._timed("detect"):
            followed = self._followed(frame, source, settings)
            if followed is not None:
                detections = followed.faces
            else:
                if frame.detections is not None:
                    detections = list(frame.detections)
                else:
                    detections = self.detector.detect(
                        frame.image, settings.score_threshold, settings.detector_input_size
                    )
                source.detected, source.settings = frame.stamp, settings
            detections = [d for d in detections if d.box[2] >= settings.min_face_pixels]
            detections = sorted(detections, key=lambda d: -d.box[2] * d.box[3])[: settings.max_faces]
            source.reference = _reference(frame, followed, detections) if settings.detection_interval else None
        with self._timed("align"):
            side = self.model.config.chip_side
            chips = [align_face(frame.image, d.landmarks, side) for d in detections]
            return [FaceObservation(index, d, chip, face_quality(d, chip).score) for d, chip in zip(detections, chips)]

    def _followed(self, frame: Frame, source: _Source, settings: PipelineSettings) -> MotionReference | None:
        """The last frame's faces moved to this one; None when it is time to detect, or a face was lost on the way.

        New settings may show faces that the old ones left out: they take effect at once.
        """
        if frame.detections is not None or source.reference is None or source.detected is None:
            return None
        if source.settings != settings:
            return None
        if frame.stamp - source.detected >= settings.detection_interval - _STAMP_TOLERANCE:
            return None
        if not source.reference.faces:
            return source.reference
        return follow_faces(source.reference, frame.image)

    def _subtract_baseline(self, affect: FaceAffect, frame: Frame, limit: float) -> FaceAffect:
        """Valence relative to the person's own at rest."""
        baselines = self._sources[frame.source].baselines
        if limit <= 0:
            baselines.clear()
            return affect
        baseline = baselines.get(affect.face_id)
        if baseline is None or baseline.limit != limit:
            baseline = baselines[affect.face_id] = RestingBaseline(limit)
        resting = baseline.update(frame.stamp, affect.valence, affect.arousal, affect.emotions)
        return replace(affect, valence=min(max(affect.valence - resting, -1.0), 1.0), baseline=resting)

    def _smooth(self, affect: FaceAffect, frame: Frame, time_constant: float) -> FaceAffect:
        """Valence and arousal through the exponential filter of their face."""
        memory = self._sources[frame.source].smoothed
        before = memory.get(affect.face_id)
        if time_constant > 0 and before is not None:
            share = 1 - math.exp(-(frame.stamp - before[0]) / time_constant)
            valence = before[1] + share * (affect.valence - before[1])
            arousal = before[2] + share * (affect.arousal - before[2])
            affect = replace(affect, valence=valence, arousal=arousal)
        memory[affect.face_id] = (frame.stamp, affect.valence, affect.arousal)
        return affect

    def _enter(self, frame: Frame, settings: PipelineSettings) -> _Source:
        """The source's memory, begun anew where its stamps went backward or leapt ahead."""
        source = self._sources.setdefault(frame.source, _Source())
        source.tracker.timeout = settings.track_timeout
        if source.stamp is not None and not 0 <= frame.stamp - source.stamp <= settings.max_time_gap:
            logger.warning(
                "source '%s': stamps jumped by %+.3f s; %d face states begin anew",
                frame.source, frame.stamp - source.stamp, len(source.states),
            )  # fmt: skip
            source.reset()
        source.stamp = frame.stamp
        return source

    def _follow(self, source: _Source, frame: Frame, found: list[FaceObservation]) -> None:
        """Give every sighting its id and its state; states of ended tracks are dropped."""
        tracks = source.tracker.update([s.detection for s in found], [s.chip for s in found], frame.stamp)
        for sighting, track in zip(found, tracks):
            if track.number not in source.names:
                source.names[track.number] = f"{self._id_prefix}{next(self._numbers)}"
            sighting.face_id = source.names[track.number]
            state = source.states.get(sighting.face_id)
            # A followed face is as good as unseen while the estimation fails.
            if state is None or frame.stamp - state.last > source.tracker.timeout:
                state = source.states[sighting.face_id] = FaceState(frame.stamp)
            sighting.state = state
        alive = {track.number for track in source.tracker.tracks}
        for number in [n for n in source.names if n not in alive]:
            ended = source.names.pop(number)
            source.states.pop(ended, None)
            source.smoothed.pop(ended, None)
            source.baselines.pop(ended, None)

    def _estimate(self, sightings: list[FaceObservation], frames: Sequence[Frame]) -> Iterator[FaceAffect]:
        """One pass of the network over all faces of all frames."""
        with self._timed("encode"):
            attributes, emotions = self.model.encode(np.stack([s.chip for s in sightings]))
        with self._timed("step"):
            states = [s.state for s in sightings if s.state is not None]
            output = advance(self.model, states, attributes, [frames[s.frame].stamp for s in sightings])
            sure = confidence(output.sigma)
        arrays = (output.affect, output.sigma, sure, emotions)
        values = zip(sightings, states, *(array.tolist() for array in arrays))
        for sighting, state, (valence, arousal), (valence_sigma, arousal_sigma), certainty, probabilities in values:
            height, width = frames[sighting.frame].image.shape[:2]
            yield FaceAffect(
                sighting.face_id,
                _clip(sighting.detection.box, width, height),
                valence,
                arousal,
                certainty * min(1.0, sighting.quality / QUALITY_THRESHOLD),
                tuple(probabilities),
                state.age,
                valence_sigma,
                arousal_sigma,
                sighting.detection.score,
                sighting.quality,
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.timings[stage] += time.perf_counter() - began


def _reference(frame: Frame, followed: MotionReference | None, detections: list[Detection]) -> MotionReference:
    """What the next frame's motion is measured from; the same faces need no second look at the picture."""
    if followed is None or not followed.faces:
        return followed or MotionReference(frame.image, detections)
    assert followed.grey is not None
    return followed.moved_on(followed.grey, detections)


def _check(frame: Frame) -> None:
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"frame of '{frame.source}' is {what}; wanted height x width x 3 uint8 in BGR order")
    if 0 in image.shape:
        raise ValueError(f"frame of '{frame.source}' is {image.shape}: it has no pixels")
    if not math.isfinite(frame.stamp):
        raise ValueError(f"frame of '{frame.source}' has the stamp {frame.stamp}; wanted seconds")


def _clip(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    left, top = min(max(box[0], 0.0), width), min(max(box[1], 0.0), height)
    right, bottom = min(max(box[0] + box[2], 0.0), width), min(max(box[1] + box[3], 0.0), height)
    return left, top, right - left, bottom - top

"""From frames to affect estimates: face finding, tracking, AST-Net and the recurrent state of each face.

Knows neither ROS nor files: the node, the commands for videos and bags, and the benchmark all call `AffectPipeline`.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ast_net_ros.face_affect import Box, FaceAffect, primary_face
from ast_net_ros.model.config import confidence
from ast_net_ros.model.inference import AffectModel, load_model
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.model.resting_baseline import RestingBaseline
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.appearance import Appearance, describe
from ast_net_ros.vision.detection import Detection, Detector, make_detector
from ast_net_ros.vision.face_finder import FaceFinder, FoundFaces, Frame
from ast_net_ros.vision.head_pose import Engagement, estimate_head_pose
from ast_net_ros.vision.persons import PersonMemory
from ast_net_ros.vision.quality import QUALITY_THRESHOLD, face_quality
from ast_net_ros.vision.tracking import FaceTracker, Track

__all__ = ["AffectPipeline", "FaceAffect", "FoundFaces", "Frame", "PipelineSettings", "primary_face"]

logger = logging.getLogger(__name__)


@dataclass
class _FaceMemory:
    """The state kept for one face from frame to frame."""

    face_id: str
    state: FaceState
    engagement: Engagement = field(default_factory=Engagement)
    smoothed: tuple[float, float, float] | None = None  # stamp, valence, arousal
    baseline: RestingBaseline | None = None  # resting valence


@dataclass
class _Source:
    """The tracks and faces of one camera."""

    tracker: FaceTracker = field(default_factory=FaceTracker)
    tracks: Sequence[Track | None] = ()  # of the faces of the last frame
    names: dict[int, str] = field(default_factory=dict)  # track number -> face_id
    memories: dict[str, _FaceMemory] = field(default_factory=dict)  # by face_id
    stamp: float | None = None
    last_stamp: float | None = None  # of the frame before


@dataclass(frozen=True)
class _FaceObservation:
    """One face of one frame of a batch."""

    frame_index: int
    frame: Frame
    detection: Detection
    chip: np.ndarray
    memory: _FaceMemory
    shape: np.ndarray | None  # see Appearance; None where it was not described


class AffectPipeline:
    """Tracks the faces of every source and estimates their valence and arousal.

    One thread at a time may call it; `find` and `estimate` may run in one thread each. `settings` may be replaced at
    any time from any thread.

    Args:
        model: The network; None for the packaged weights on the best device.
        detector: Finds faces; None for the default detector.
        settings: None for the defaults.
        id_prefix: Start of every face id. A node chooses a new one at every start, so that ids of two runs differ.
        persons: Joins tracks of one person over gaps and sources; None leaves `person_id` empty.

    Attributes:
        model: The network.
        detector: Finds the faces of a frame.
        settings: Apply from the next frame on.
        persons: As given.
        timings: Seconds that each stage of the last call took: detect, align, track, encode, step.
    """

    def __init__(
        self,
        model: AffectModel | None = None,
        detector: Detector | None = None,
        settings: PipelineSettings | None = None,
        id_prefix: str = "face_",
        persons: PersonMemory | None = None,
    ):
        self.model = model or load_model()
        self.settings = settings or PipelineSettings()
        self.timings: dict[str, float] = {}
        self.persons = persons
        self.detector = detector or make_detector()
        self._finder = FaceFinder(self.detector, self.model.config.chip_side)
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
        """Estimate the faces of frames of different sources, all of them in one pass through the network.

        Returns:
            The faces of each frame, largest first.

        Raises:
            ValueError: As for `process`, or two frames are of one source.
        """
        return self.estimate(self.find(frames))

    def find(self, frames: Sequence[Frame]) -> list[FoundFaces]:
        """Find the faces of several frames: the first half of `process_batch`, which raises the same errors."""
        if len({frame.source for frame in frames}) < len(frames):
            raise ValueError("a batch has two frames of one source; process them one after the other")
        for frame in frames:
            frame.check()
        settings = self.settings
        return [self._finder.find(frame, settings) for frame in frames]

    def estimate(self, found: Sequence[FoundFaces]) -> list[list[FaceAffect]]:
        """Track and estimate faces that `find` has found: the second half of `process_batch`.

        Args:
            found: Of one batch. Batches must come in the order in which they were found.

        Returns:
            The faces of each frame, largest first.
        """
        settings = self.settings
        self.timings = dict.fromkeys(("detect", "align", "track", "encode", "step"), 0.0)
        observations: list[_FaceObservation] = []
        for index, faces in enumerate(found):
            for stage, seconds in faces.timings.items():
                self.timings[stage] += seconds
            with self._timed("track"):
                observations += self._track(index, faces, settings)
        results: list[list[FaceAffect]] = [[] for _ in found]
        if observations:
            for observation, affect in zip(observations, self._affect(observations, settings)):
                memory, stamp = observation.memory, observation.frame.stamp
                affect = _subtract_baseline(affect, memory, stamp, settings.personal_baseline)
                affect = _smooth(affect, memory, stamp, settings.smoothing_time_constant)
                results[observation.frame_index].append(affect)
        if self.persons is not None:
            with self._timed("track"):
                self._add_persons(results, observations, self.persons)
        return results

    def reset(self, source: str | None = None) -> None:
        """Forget the faces of `source`, or of all sources. Ids are never reused."""
        self._finder.reset(source)
        for name in list(self._sources) if source is None else [source]:
            self._forget(self._sources.pop(name, _Source()).memories)
        if source is None and self.persons is not None:
            self.persons.clear()

    def track_count(self, source: str | None = None) -> int:
        """Count the faces tracked at the moment, in `source` or in all."""
        return sum(len(s.tracker.tracks) for name, s in self._sources.items() if source in (None, name))

    def _enter(self, frame: Frame, settings: PipelineSettings) -> _Source:
        """Return the state of the frame's source, reset where its stamps jumped."""
        source = self._sources.setdefault(frame.source, _Source())
        if source.stamp is not None and not 0 <= frame.stamp - source.stamp <= settings.max_time_gap:
            logger.warning(
                "source '%s': stamps jumped by %+.3f s; %d face states are reset",
                frame.source, frame.stamp - source.stamp, len(source.memories),
            )  # fmt: skip
            self._forget(source.memories)
            source = self._sources[frame.source] = _Source()
        source.tracker.timeout = settings.track_timeout
        source.tracker.sure_score = settings.score_threshold if frame.detections is None else 0.0
        source.last_stamp, source.stamp = source.stamp, frame.stamp
        return source

    def _forget(self, face_ids: Iterable[str]) -> None:
        """Tell the memory of persons which tracks have ended."""
        if self.persons is not None:
            for face_id in face_ids:
                self.persons.end(face_id)

    def _assign_tracks(
        self, source: _Source, found: FoundFaces
    ) -> tuple[Sequence[Track | None], Sequence[Appearance | None]]:
        """Find the track of every face, and its appearance where optical flow has not followed it."""
        frame = found.frame
        if found.followed is not None and source.last_stamp == found.last_stamp:
            tracks = [source.tracks[index] for index in found.followed]
            if source.tracker.follow(tracks, found.detections, frame.stamp):
                return tracks, [None] * len(tracks)
        appearances = [describe(frame.image, face.landmarks, chip) for face, chip in zip(found.detections, found.chips)]
        return source.tracker.update(found.detections, appearances, frame.stamp), appearances

    def _track(self, index: int, found: FoundFaces, settings: PipelineSettings) -> list[_FaceObservation]:
        """Assign an id and a state to every face; drop the states of ended tracks."""
        frame = found.frame
        source = self._enter(frame, settings)
        source.tracks, appearances = self._assign_tracks(source, found)
        observations = []
        for detection, chip, track, appearance in zip(found.detections, found.chips, source.tracks, appearances):
            if track is None:
                continue
            if track.number not in source.names:
                source.names[track.number] = f"{self._id_prefix}{next(self._numbers)}"
            face_id = source.names[track.number]
            memory = source.memories.get(face_id)
            # A face that is tracked but not estimated, because the network fails, is forgotten like an unseen one.
            if memory is None or frame.stamp - memory.state.last > source.tracker.timeout:
                memory = source.memories[face_id] = _FaceMemory(face_id, FaceState(frame.stamp))
            shape = None if appearance is None else appearance.shape
            observations.append(_FaceObservation(index, frame, detection, chip, memory, shape))
        alive = {track.number for track in source.tracker.tracks}
        for number in [n for n in source.names if n not in alive]:
            ended = source.names.pop(number)
            source.memories.pop(ended, None)
            self._forget([ended])
        return observations

    def _affect(self, observations: list[_FaceObservation], settings: PipelineSettings) -> Iterator[FaceAffect]:
        """Run the network on all faces of all frames at once."""
        with self._timed("encode"):
            attributes, emotions = self.model.encode(np.stack([o.chip for o in observations]))
        with self._timed("step"):
            states, stamps = [o.memory.state for o in observations], [o.frame.stamp for o in observations]
            output = advance(self.model, states, attributes, stamps)
            arrays = (output.affect, output.sigma, confidence(output.sigma), emotions)
        rows = zip(observations, *(array.tolist() for array in arrays))
        for observation, (valence, arousal), sigma, certainty, probabilities in rows:
            frame, detection, memory = observation.frame, observation.detection, observation.memory
            quality = face_quality(detection, observation.chip).score
            try:
                pose = estimate_head_pose(detection.landmarks)
            except ValueError:  # no face has such landmarks
                pose = None
            yield FaceAffect(
                face_id=memory.face_id,
                box=_clip(detection.box, frame.image),
                valence=valence,
                arousal=arousal,
                confidence=certainty * min(1.0, quality / QUALITY_THRESHOLD),
                emotions=tuple(probabilities),
                state_age=memory.state.age,
                valence_sigma=sigma[0],
                arousal_sigma=sigma[1],
                detection_score=detection.score,
                quality=quality,
                landmarks=tuple((x, y) for x, y in detection.landmarks.tolist()),
                head_pose=pose,
                engagement=memory.engagement.update(frame.stamp, pose, settings.engagement_window),
            )

    @staticmethod
    def _add_persons(
        results: list[list[FaceAffect]], observations: list[_FaceObservation], persons: PersonMemory
    ) -> None:
        """Add the id of the person to the faces of each frame."""
        shapes: list[dict[str, np.ndarray | None]] = [{} for _ in results]
        for observation, affect in zip(observations, itertools.chain(*results)):
            clear = affect.quality >= QUALITY_THRESHOLD
            shapes[observation.frame_index][affect.face_id] = observation.shape if clear else None
        for faces, seen in zip(results, shapes):
            found = persons.observe(seen)
            faces[:] = [replace(face, person_id=found.get(face.face_id, "")) for face in faces]

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.timings[stage] += time.perf_counter() - began


def _subtract_baseline(affect: FaceAffect, memory: _FaceMemory, stamp: float, limit: float) -> FaceAffect:
    """Make valence relative to the person's own at rest."""
    if limit <= 0:
        memory.baseline = None
        return affect
    if memory.baseline is None or memory.baseline.limit != limit:
        memory.baseline = RestingBaseline(limit)
    resting = memory.baseline.update(stamp, affect.valence, affect.arousal, affect.emotions)
    return replace(affect, valence=min(max(affect.valence - resting, -1.0), 1.0), baseline=resting)


def _smooth(affect: FaceAffect, memory: _FaceMemory, stamp: float, time_constant: float) -> FaceAffect:
    """Apply the exponential filter to valence and arousal."""
    before = memory.smoothed
    if time_constant > 0 and before is not None:
        share = 1 - math.exp(-(stamp - before[0]) / time_constant)
        valence = before[1] + share * (affect.valence - before[1])
        arousal = before[2] + share * (affect.arousal - before[2])
        affect = replace(affect, valence=valence, arousal=arousal)
    memory.smoothed = (stamp, affect.valence, affect.arousal)
    return affect


def _clip(box: Box, image: np.ndarray) -> Box:
    """Clip a box to the image."""
    height, width = image.shape[:2]
    left, top = min(max(box[0], 0.0), width), min(max(box[1], 0.0), height)
    right, bottom = min(max(box[0] + box[2], 0.0), width), min(max(box[1] + box[3], 0.0), height)
    return left, top, right - left, bottom - top

"""Metrics of multi-object tracking, by py-motmetrics; a person who is split and people who are merged counted apart.

The referee is py-motmetrics 1.4. Its own distance functions do not run with NumPy 2, so distances are computed here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import motmetrics
import numpy as np

from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.detection import Detector
from ast_net_ros.vision.tracking import FaceTracker, intersection_over_union
from tracking.actors import Box
from tracking.observations import SURE_SCORE, AnyFrame, ObservedFrame, at_rate, observe
from tracking.scenes import Scene, TrueFace

Row = list[tuple[int, Box]]  # track numbers and boxes of one frame
DROPS = (0.0, 0.15)
_VISIBLE, _PRESENT = 0.5, 0.2  # share of a face that must be seen to count, and to be there at all
_MATCH = 0.5  # overlap


@dataclass(frozen=True)
class RenderedFrame:
    """One frame of a scene: time in seconds, BGR image, and who is where."""

    time: float
    image: np.ndarray
    truth: list[TrueFace]


@dataclass(frozen=True)
class Result:
    """Metrics of one scene or of several.

    Attributes:
        accumulators: py-motmetrics' records, one for each run.
        splits: Further tracks that one person got in one stay.
        merges: Further people that one track was given to.
    """

    accumulators: list[motmetrics.MOTAccumulator]
    splits: int
    merges: int

    def summary(self) -> dict[str, float]:
        """IDF1, id switches, fragments, splits and merges of all runs together."""
        names = ["idf1", "num_switches", "num_fragmentations"]
        host = motmetrics.metrics.create()
        table = host.compute_many(self.accumulators, metrics=names, generate_overall=True)
        overall = {name: float(table.loc["OVERALL", name]) for name in names}
        return overall | {"splits": self.splits, "merges": self.merges}


def evaluate(scene: Scene, number: int, rates: Sequence[int], detector: Detector) -> dict[int, Result]:
    """Track a scene at several rates, each without and with lost frames, from the detections in every frame.

    Args:
        scene: To render.
        number: Of the scene; decides which frames are lost.
        rates: Frames a second.
        detector: Finds the faces.
    """
    observed = observe(scene, detector).frames
    return {rate: combined(_lossy_runs(observed, number, rate, _track)) for rate in rates}


def evaluate_pipeline(scene: Scene, number: int, rates: Sequence[int], pipeline: AffectPipeline) -> dict[int, Result]:
    """Run a scene through the whole pipeline, with optical flow between detections; otherwise like `evaluate`."""
    frames = [RenderedFrame(*parts) for parts in scene.frames()]
    return {rate: combined(_lossy_runs(frames, number, rate, partial(_estimate, pipeline))) for rate in rates}


def combined(results: Iterable[Result]) -> Result:
    """Take several results together."""
    results = list(results)
    accumulators = [accumulator for result in results for accumulator in result.accumulators]
    return Result(accumulators, sum(r.splits for r in results), sum(r.merges for r in results))


def _lossy_runs(
    frames: Sequence[AnyFrame], number: int, rate: int, track: Callable[[Sequence[AnyFrame]], list[Row]]
) -> Iterator[Result]:
    for drop in DROPS:
        kept = at_rate(frames, rate, drop, seed=number)
        yield _referee(kept, track(kept))


def _estimate(pipeline: AffectPipeline, frames: Sequence[RenderedFrame]) -> list[Row]:
    pipeline.reset()
    rows = []
    for frame in frames:
        faces = pipeline.process(frame.image, frame.time)
        rows.append([(int(face.face_id.rpartition("_")[2]), face.box) for face in faces])
    return rows


def _track(frames: Sequence[ObservedFrame]) -> list[Row]:
    tracker = FaceTracker(sure_score=SURE_SCORE)
    rows = []
    for frame in frames:
        tracks = tracker.update(frame.detections, frame.appearances, frame.time)
        pairs = zip(tracks, frame.detections)
        rows.append([(track.number, detection.box) for track, detection in pairs if track is not None])
    return rows


def _referee(frames: Sequence[Any], rows: Sequence[Row], timeout: float = 1.0) -> Result:
    """Compare tracks with the truth. Who was away for longer than `timeout` begins another stay, as for the tracker."""
    accumulator = motmetrics.MOTAccumulator(auto_id=False)
    last_seen: dict[str, float] = {}
    stay_of: dict[str, int] = {}
    person_of: dict[int, str] = {}
    for number, (frame, row) in enumerate(zip(frames, rows)):
        seen: dict[int, Box] = {}
        hidden: list[Box] = []
        for face in frame.truth:
            if face.visible < _PRESENT:
                continue
            if frame.time - last_seen.get(face.person, -timeout - 1) > timeout + 0.1:
                stay_of[face.person] = len(person_of) + 1
                person_of[stay_of[face.person]] = face.person
            last_seen[face.person] = frame.time
            if face.visible >= _VISIBLE:
                seen[stay_of[face.person]] = face.box
            else:
                hidden.append(face.box)
        # A face that is mostly hidden may be found or not.
        row = [(i, box) for i, box in row if _overlap(box, seen.values()) >= _MATCH or _overlap(box, hidden) < 0.3]
        overlaps = [[intersection_over_union(box, place) for _, box in row] for place in seen.values()]
        distance = 1 - np.array(overlaps, float).reshape(len(seen), len(row))
        distance[distance > 1 - _MATCH] = np.nan
        accumulator.update(list(seen), [i for i, _ in row], distance, frameid=number)
    tracks: dict[int, set[int]] = defaultdict(set)
    people: dict[int, set[str]] = defaultdict(set)
    events = accumulator.mot_events
    for stay, track in events[events.Type.isin(["MATCH", "SWITCH"])][["OId", "HId"]].itertuples(index=False):
        tracks[int(stay)].add(int(track))
        people[int(track)].add(person_of[int(stay)])
    splits, merges = (sum(len(found) - 1 for found in sets) for sets in (tracks.values(), people.values()))
    return Result([accumulator], splits, merges)


def _overlap(box: Box, others: Iterable[Box]) -> float:
    return max((intersection_over_union(box, other) for other in others), default=0.0)

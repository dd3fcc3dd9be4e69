"""Reading, and looking for faces, one step ahead of the rest: the same results, sooner where a second core is free.

In: a recording's frames and the pipeline. Out: the frames in their order, each with its estimates.
Detection knows nothing of earlier frames, so that it can run in a thread of its own while the frame before is
estimated. Each stage still computes in one thread: not a bit of the results depends on it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import numpy as np

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.recording_result import seconds_since
from ast_net_ros.pipeline import AffectPipeline, FaceAffect
from ast_net_ros.vision.detection import Detection, FaceDetector

_HELD = 2  # frames that wait; a picture of 8K takes 100 MB


def estimate_ahead(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Generator[tuple[RecordedFrame, list[FaceAffect]], None, None]:
    """Each of `frames` with its faces, as `pipeline.process` gives them; time counts from the first frame's stamp.

    Close it when the frames are not taken to their end.
    """
    detector = pipeline.detector
    detector.score_threshold = pipeline.settings.score_threshold
    known = FoundFaces(detector)
    pipeline.detector = cast(FaceDetector, known)
    # With an interval, the pipeline decides by what it followed whether it detects.
    early = None if pipeline.settings.detection_interval else detector
    first_ns = None
    try:
        with closing(read_ahead(frames, early)) as frames_ahead:
            for ahead in frames_ahead:
                known.offer(ahead)
                frame = ahead.frame
                first_ns = frame.stamp_ns if first_ns is None else first_ns
                yield frame, pipeline.process(frame.image, seconds_since(frame.stamp_ns, first_ns), source)
    finally:
        pipeline.detector = detector


@dataclass(frozen=True)
class FrameAhead:
    """A frame and its faces; None where they were not looked for."""

    frame: RecordedFrame
    detections: list[Detection] | None


class FoundFaces:
    """Takes the detector's place in a pipeline: gives out what was found in the offered frame already."""

    def __init__(self, detector: FaceDetector):
        self._detector = detector
        self._offered: tuple[np.ndarray, list[Detection]] | None = None

    @property
    def score_threshold(self) -> float:
        return self._detector.score_threshold

    @score_threshold.setter
    def score_threshold(self, value: float) -> None:
        if value != self._detector.score_threshold:
            self._detector.score_threshold = value

    def offer(self, ahead: FrameAhead) -> None:
        """The frame that comes next."""
        self._offered = None if ahead.detections is None else (ahead.frame.image, ahead.detections)

    def detect(self, image_bgr: np.ndarray) -> list[Detection]:
        """As FaceDetector.detect."""
        if self._offered is not None and self._offered[0] is image_bgr:
            return self._offered[1]
        return self._detector.detect(image_bgr)


def read_ahead(frames: Iterator[RecordedFrame], detector: FaceDetector | None) -> Generator[FrameAhead, None, None]:
    """Reads `frames` in a thread of its own, and detects there too where a detector is given.

    What the thread raises is raised here. Closing the iterator ends the thread.
    """
    waiting: queue.Queue[FrameAhead | BaseException | None] = queue.Queue(_HELD)
    stopped = threading.Event()

    def put(item: FrameAhead | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for frame in frames:
                put(FrameAhead(frame, detector.detect(frame.image) if detector else None))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="read ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()

"""Reading, and looking for faces, one step ahead of the rest: the same results, sooner where a second core is free.

In: a recording's frames and the detector. Out: the frames in their order, each with what the detector found in it.
Detection knows nothing of earlier frames, so that it can run in a thread of its own while the frame before is
estimated. Each stage still computes in one thread: not a bit of the results depends on it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from ast_net_ros.evaluation.recordings import RecordedFrame
from ast_net_ros.vision.detection import Detection, FaceDetector

_HELD = 2  # frames that wait; a picture of 8K takes 100 MB


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

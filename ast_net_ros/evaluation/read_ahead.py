"""Reading, and looking for faces, one step ahead of the rest: the same results, sooner where a second core is free.

In: a recording's frames and the pipeline. Out: the frames in their order, each with its estimates.
Detection knows nothing of earlier frames, so that it can run in a thread of its own while the frame before is
estimated. Each stage still computes in one thread: not a bit of the results depends on it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.recording_result import seconds_since
from ast_net_ros.pipeline import AffectPipeline, FaceAffect
from ast_net_ros.vision.detection import Detection

_HELD = 2  # frames that wait; a picture of 8K takes 100 MB


def estimate_ahead(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Generator[tuple[RecordedFrame, list[FaceAffect]], None, None]:
    """Each of `frames` with its faces, as `pipeline.process` gives them; time counts from the first frame's stamp.

    Close it when the frames are not taken to their end.
    """
    # With an interval, the pipeline decides by what optical flow found whether it detects.
    detect = None if pipeline.settings.detection_interval else partial(_detect, pipeline)
    first_ns = None
    with closing(read_ahead(frames, detect)) as frames_ahead:
        for ahead in frames_ahead:
            frame = ahead.frame
            first_ns = frame.stamp_ns if first_ns is None else first_ns
            stamp = seconds_since(frame.stamp_ns, first_ns)
            yield frame, pipeline.process(frame.image, stamp, source, ahead.detections)


def _detect(pipeline: AffectPipeline, image_bgr: np.ndarray) -> list[Detection]:
    settings = pipeline.settings
    return pipeline.detector.detect(image_bgr, settings.score_threshold, settings.detector_input_size)


@dataclass(frozen=True)
class FrameAhead:
    """A frame and its faces; None where they were not looked for."""

    frame: RecordedFrame
    detections: list[Detection] | None


def read_ahead(
    frames: Iterator[RecordedFrame], detect: Callable[[np.ndarray], list[Detection]] | None
) -> Generator[FrameAhead, None, None]:
    """Read `frames` in a thread of its own, and detect their faces there where `detect` is given.

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
                put(FrameAhead(frame, detect(frame.image) if detect else None))
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

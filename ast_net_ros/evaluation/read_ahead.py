"""Read and decode the next frames in a second thread while the current one is processed.

Detection in every frame is independent of earlier frames and runs in that thread as well. Each stage computes in one
thread, so the results do not depend on it.
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
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.detection import Detection

_QUEUE_SIZE = 2  # frames; an 8K frame takes 100 MB


def estimate_ahead(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Generator[tuple[RecordedFrame, list[FaceAffect]], None, None]:
    """Yield each frame with its faces, as `pipeline.process` returns them; time counts from the first frame's stamp.

    Close the generator if the frames are not exhausted.

    Args:
        pipeline: A pipeline that has not seen this source.
        frames: Frames of a recording.
        source: Name of the source.
    """
    # With an interval, the result of optical flow decides whether the pipeline detects.
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
    """A frame and its detections; None if detection has not run."""

    frame: RecordedFrame
    detections: list[Detection] | None


def read_ahead(
    frames: Iterator[RecordedFrame], detect: Callable[[np.ndarray], list[Detection]] | None
) -> Generator[FrameAhead, None, None]:
    """Read `frames` in a thread, and run `detect` on them there if given.

    Exceptions of the thread are raised here. Closing the generator ends the thread.
    """
    waiting: queue.Queue[FrameAhead | BaseException | None] = queue.Queue(_QUEUE_SIZE)
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

"""Read and decode the next frames, and find their faces, in a second thread while the current one is estimated.

Finding faces does not depend on their estimates. Each stage computes in one thread, so the results are the same.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TypeVar

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.recording_result import seconds_since
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline, FoundFaces, Frame

_QUEUE_SIZE = 2  # frames; an 8K frame takes 100 MB

Item = TypeVar("Item")


def estimate_ahead(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Generator[tuple[RecordedFrame, list[FaceAffect]], None, None]:
    """Yield each frame with its faces, as `pipeline.process` returns them; time counts from the first frame's stamp.

    The pipeline must not have seen this source. Close the generator if the frames are not exhausted.
    """
    with closing(read_ahead(_find(pipeline, frames, source))) as found_ahead:
        for frame, found in found_ahead:
            yield frame, pipeline.estimate([found])[0]


def _find(
    pipeline: AffectPipeline, frames: Iterator[RecordedFrame], source: str
) -> Iterator[tuple[RecordedFrame, FoundFaces]]:
    first_ns = None
    for frame in frames:
        first_ns = frame.stamp_ns if first_ns is None else first_ns
        stamp = seconds_since(frame.stamp_ns, first_ns)
        yield frame, pipeline.find([Frame(frame.image, stamp, source)])[0]


def read_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield `items`, which are produced in a thread of their own, up to a few ahead.

    Exceptions of the thread are raised here. Closing the generator ends the thread.
    """
    waiting: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(_QUEUE_SIZE)
    stopped = threading.Event()

    def put(entry: tuple[Item] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item,))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="read ahead", daemon=True)
    thread.start()
    try:
        while (entry := waiting.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        stopped.set()
        thread.join()

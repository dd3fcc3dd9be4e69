"""Read and decode the next frames, and find their faces, in a second thread while the current one is estimated.

Finding faces does not depend on their estimates. Each stage computes in one thread, so the results are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.recording_result import seconds_since
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline, FoundFaces, Frame

_ITEMS_AHEAD = 3  # frames; an 8K frame takes 100 MB

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
    with ThreadPoolExecutor(1, "read ahead") as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(_ITEMS_AHEAD))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, items, None))
                yield item
        finally:
            for future in waiting:
                future.cancel()

"""Reading ahead changes the speed and nothing else."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ast_net_ros.bags.recordings import RecordedFrame
from ast_net_ros.evaluation.read_ahead import read_ahead
from ast_net_ros.vision.detection import Detection


class ScriptedDetector:
    """Finds the picture's shade; counts the calls of each thread."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def detect(self, image_bgr: np.ndarray) -> list[Detection]:
        self.threads.append(threading.current_thread().name)
        return [Detection((float(image_bgr[0, 0, 0]), 0, 1, 1), np.zeros((5, 2), np.float32), 0.9)]


def pictures(count, fail_at=None):
    for index in range(count):
        if index == fail_at:
            raise OSError("the disk is gone")
        yield RecordedFrame(index, index, np.full((4, 4, 3), index, np.uint8))


def test_frames_come_in_order_with_their_own_detections():
    detector = ScriptedDetector()
    for index, ahead in enumerate(read_ahead(pictures(50), detector.detect)):
        assert ahead.frame.index == index
        assert ahead.detections is not None and ahead.detections[0].box[0] == index
    assert detector.threads == ["read ahead"] * 50


def test_reading_errors_arrive_after_the_frames_before():
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(ahead.frame.index for ahead in read_ahead(pictures(9, fail_at=5), None))
    assert threading.active_count() == 1 or not any(t.name == "read ahead" for t in threading.enumerate())


def test_few_frames_are_held_and_the_thread_ends():
    taken = []

    def endless():
        for frame in pictures(10_000):
            taken.append(frame.index)
            yield frame

    frames = read_ahead(endless(), None)
    next(frames)
    time.sleep(0.3)
    assert len(taken) <= 5
    frames.close()
    assert not any(thread.name == "read ahead" for thread in threading.enumerate())

"""Reading ahead does not change the results."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ast_net_ros.bags.recordings import ReadAhead, RecordedFrame
from ast_net_ros.evaluation.offline import estimate_ahead
from ast_net_ros.evaluation.recording_result import seconds_since
from ast_net_ros.model import load_model
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.settings import PipelineSettings
from ast_net_ros.vision.video import open_video


def read_ahead(items):
    with ReadAhead(items) as ahead:
        yield from ahead


def make_frames(count, fail_at=None):
    for index in range(count):
        if index == fail_at:
            raise OSError("the disk is gone")
        yield RecordedFrame(index, index, np.full((4, 4, 3), index, np.uint8))


def test_items_come_in_order_from_one_other_thread():
    def work():
        for index in range(50):
            yield index, threading.current_thread().name

    assert [(index, name.startswith("read ahead")) for index, name in read_ahead(work())] == [
        (i, True) for i in range(50)
    ]


def test_reading_errors_arrive_after_the_frames_before():
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(frame.index for frame in read_ahead(make_frames(9, fail_at=5)))
    assert threading.active_count() == 1 or not any(t.name.startswith("read ahead") for t in threading.enumerate())


def test_few_frames_are_held_and_the_thread_ends():
    taken: list[int] = []
    third = threading.Event()

    def endless():
        for frame in make_frames(10_000):
            taken.append(frame.index)
            if frame.index == 2:
                third.set()
            yield frame

    frames = read_ahead(endless())
    next(frames)
    assert third.wait(10)  # the thread works while nothing is taken
    frames.close()
    assert len(taken) <= 5
    assert not any(thread.name.startswith("read ahead") for thread in threading.enumerate())


def test_reading_ahead_gives_the_results_of_process(media):
    model = load_model(device="cpu")
    settings = [PipelineSettings(), PipelineSettings(detection_interval=0.0)]
    for each in settings:
        with open_video(media / "single_face.mp4") as video:
            frames = [(index, round(t * 1e9), image) for index, (t, image) in zip(range(15), video)]
        plain = AffectPipeline(model, settings=each)
        expected = [plain.process(image, seconds_since(stamp, 0), "x") for _, stamp, image in frames]
        ahead = AffectPipeline(model, settings=each)
        recorded = (RecordedFrame(index, stamp, image) for index, stamp, image in frames)
        assert [faces for _, faces in estimate_ahead(ahead, recorded, "x")] == expected

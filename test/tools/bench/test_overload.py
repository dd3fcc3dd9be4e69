"""Cameras faster than the machine: what is published stays fresh, what is dropped is counted, cameras share.

The slots, the thread and the messages are the node's own; the pipeline is one that takes a known time.
"""

from __future__ import annotations

import statistics
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.ros.camera import Camera
from ast_net_ros.ros.conversions import image_message, time_message
from ast_net_ros.ros.inference_thread import InferenceThread
from ast_net_ros.ros.latest_images import LatestImages

PROCESSING = 0.05  # seconds that a batch takes, however many pictures it holds
FEEDING = 1.5  # seconds


class SlowPipeline:
    """Takes PROCESSING for a batch and finds no face. durations: what the batches really took."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}
        self.durations: list[float] = []

    def process_batch(self, frames):
        began = time.monotonic()
        time.sleep(PROCESSING)
        self.durations.append(time.monotonic() - began)
        return [[] for _ in frames]

    def track_count(self, source=None):
        return 0

    def reset(self, source=None):
        pass


@pytest.mark.parametrize("count", [1, 3])
def test_under_overload_latency_stays_near_one_processing_time_and_every_image_is_accounted_for(count):
    images, pipeline, stamps = LatestImages(), SlowPipeline(), []
    cameras = [Camera(f"/camera_{index}") for index in range(count)]
    logger = SimpleNamespace(warning=lambda text: None)
    thread = InferenceThread(
        pipeline,  # type: ignore[arg-type]
        images,
        lambda estimate: stamps.append((estimate.camera.topic, estimate.stamp)),
        time.time_ns,
        logger,
        max_consecutive_failures=lambda: 0,
        on_give_up=lambda: None,
    )
    picture, ends, sent = np.zeros((8, 8, 3), np.uint8), time.monotonic() + FEEDING, 0
    while time.monotonic() < ends:  # several times faster than the pipeline; one camera twice as fast as the others
        for camera in [*cameras, cameras[0]]:
            images.put(camera, _message(picture), time.time_ns())
            sent += 1
        time.sleep(PROCESSING / 12)
    time.sleep(3 * PROCESSING)
    thread.stop()

    counts = [camera.counts for camera in cameras]
    assert sum(c.received for c in counts) == sent > 4 * sum(c.processed for c in counts), "no overload"
    for c in counts:
        assert c.received == c.processed + c.late, "an image is neither processed nor counted as dropped"
    processed = [c.processed for c in counts]
    assert max(processed) - min(processed) <= 2, "the faster camera took the others' turns"
    summary = thread.latency.summary()
    assert summary is not None and summary[0] < 1.7 * statistics.mean(pipeline.durations), "pictures waited in a queue"
    for camera in cameras:
        own = [stamp for topic, stamp in stamps if topic == camera.topic]
        assert own == sorted(own) and len(own) > 5


def _message(picture: np.ndarray) -> Image:
    return image_message(Header(stamp=time_message(time.time_ns())), picture)

"""Cameras faster than the machine: estimates stay fresh, drops are counted, cameras are served evenly.

Image slots, inference thread and messages are the node's own; the pipeline takes a known time.
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

PROCESSING = 0.05  # seconds for a batch of any size
FEEDING = 1.5  # seconds


class SlowPipeline:
    """Takes PROCESSING seconds for a batch and finds no face; `durations` are the actual times."""

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
def test_overload_drops_and_counts_images_evenly(count):
    images, pipeline, stamps = LatestImages(), SlowPipeline(), []
    cameras = [Camera(f"/camera_{index}") for index in range(count)]
    logger, image = SimpleNamespace(warning=lambda text: None), np.zeros((8, 8, 3), np.uint8)
    thread = InferenceThread(
        pipeline,  # type: ignore[arg-type]
        images,
        lambda estimate: stamps.append((estimate.camera.topic, estimate.stamp)),
        time.time_ns,
        logger,
        {"max_consecutive_failures": 0, "max_image_pixels": image.size},
    )
    ends, sent = time.monotonic() + FEEDING, 0
    while time.monotonic() < ends:  # several times faster than the pipeline; one camera twice as fast as the others
        for camera in [*cameras, cameras[0]]:
            images.put(camera, _message(image), time.time_ns())
            sent += 1
        time.sleep(PROCESSING / 12)
    time.sleep(3 * PROCESSING)
    thread.stop()

    counts = [camera.counts for camera in cameras]
    assert sum(c.received for c in counts) == sent > 4 * sum(c.processed for c in counts), "no overload"
    for c in counts:
        assert c.received == c.processed + c.late, "an image is neither processed nor counted as dropped"
    processed = [c.processed for c in counts]
    assert max(processed) - min(processed) <= 2, "the faster camera was served more often"
    summary = thread.latency.summary()
    assert summary is not None and summary[0] < 1.7 * statistics.mean(pipeline.durations), "images waited in a queue"
    for camera in cameras:
        own = [stamp for topic, stamp in stamps if topic == camera.topic]
        assert own == sorted(own) and len(own) > 5


def _message(image: np.ndarray) -> Image:
    return image_message(Header(stamp=time_message(time.time_ns())), image)

"""A camera process for measurements: publishes prepared frames at any rate.

`tools/run.py bench.node_camera FRAMES.npy TOPIC` reads a line of JSON for every run: {"rate": frames per second,
"seconds": length}; {} waits for a subscriber. It writes one line when it is ready, and one after every request, with
the stamps of the published images. It does as little as possible, because on a small machine it slows down what is
measured: messages are made once, only their stamps change.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.ros.conversions import image_message, time_message

_DISCOVERY = 1.0  # seconds until a subscriber that is known here also knows this publisher


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the camera and return the exit code."""
    parser = argparse.ArgumentParser(prog="bench_camera", description="Publish prepared frames.")
    parser.add_argument("frames", help="N x H x W x 3 uint8 BGR, .npy")
    parser.add_argument("topic")
    options = parser.parse_args(arguments)
    frames = np.load(options.frames, mmap_mode="r")
    messages = [image_message(Header(frame_id=options.topic.strip("/")), np.asarray(image)) for image in frames]
    rclpy.init()
    node = Node("bench_camera_" + options.topic.strip("/").replace("/", "_"), start_parameter_services=False)
    qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=QoSReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, options.topic, qos)
    shown = _back_and_forth(messages)
    print(json.dumps({"topic": options.topic, "ready": True}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "rate" in wanted:
            print(json.dumps(_run(publisher, shown, wanted["rate"], wanted["seconds"])), flush=True)
        else:
            while publisher.get_subscription_count() == 0:
                time.sleep(0.02)
            time.sleep(_DISCOVERY)
            print(json.dumps({"topic": options.topic, "subscribed": True}), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


def _back_and_forth(messages: Sequence[Image]) -> Iterator[Image]:
    """Return the messages forward and backward, endlessly."""
    return itertools.cycle([*messages, *messages[-2:0:-1]])


def _run(publisher: Publisher, messages: Iterator[Image], rate: float, seconds: float) -> dict:
    """Publish; an image that is late by more than a period is counted, and the schedule continues from there."""
    stamps, late = [], 0
    processor, began = time.process_time(), time.monotonic()
    due = began
    while due < began + seconds:
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif -wait > 1 / rate:
            late += 1
            due = time.monotonic()
        message, stamp = next(messages), time.time_ns()
        message.header.stamp = time_message(stamp)
        publisher.publish(message)
        stamps.append(stamp)
        due += 1 / rate
    elapsed = time.monotonic() - began
    return {
        "stamps_ns": stamps,
        "late": late,
        "seconds": elapsed,
        "processor_seconds": time.process_time() - processor,
    }


if __name__ == "__main__":
    sys.exit(main())

"""A camera for measuring: publishes pictures that were made ready before, at any rate, and says what it did.

In: `python -m bench.node_camera FRAMES.npy TOPIC`, then on standard input one line of JSON for every run:
{"rate": pictures a second, "seconds": how long}. Out: one line of JSON when a subscriber is there, and one after every
run, with the stamp of every picture. It does as little as it can, because on a small machine it takes from what it
measures: messages are made once, only their stamps change.
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

_SETTLING = 1.0  # seconds until a subscriber that shows up here also knows of this publisher


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench_camera", description="Publishes prepared pictures, for measuring.")
    parser.add_argument("frames", help="N x H x W x 3 uint8 BGR, .npy")
    parser.add_argument("topic")
    options = parser.parse_args(arguments)
    pictures = np.load(options.frames, mmap_mode="r")
    messages = [image_message(Header(frame_id=options.topic.strip("/")), np.asarray(picture)) for picture in pictures]
    rclpy.init()
    node = Node("bench_camera_" + options.topic.strip("/").replace("/", "_"), start_parameter_services=False)
    qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=QoSReliabilityPolicy.RELIABLE)
    publisher = node.create_publisher(Image, options.topic, qos)
    shown = _to_and_fro(messages)
    print(json.dumps({"topic": options.topic, "ready": True}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "rate" in wanted:
            print(json.dumps(_run(publisher, shown, wanted["rate"], wanted["seconds"])), flush=True)
        else:
            while publisher.get_subscription_count() == 0:
                time.sleep(0.02)
            time.sleep(_SETTLING)
            print(json.dumps({"topic": options.topic, "heard": True}), flush=True)
    node.destroy_node()
    rclpy.shutdown()
    return 0


def _to_and_fro(messages: Sequence[Image]) -> Iterator[Image]:
    """For ever, without a jump in what is to be seen."""
    return itertools.cycle([*messages, *messages[-2:0:-1]])


def _run(publisher: Publisher, messages: Iterator[Image], rate: float, seconds: float) -> dict:
    """Publish; a picture whose turn has passed by more than a period is late, and the schedule goes on from there."""
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

"""`replay`: play a rosbag2 recording, a video file, or a repeated photograph as a camera's image topic.

Publishes sensor_msgs/Image (or CompressedImage) at the recording's own rate and prints a JSON summary at the end.
Stamps start at the present time and have the recording's intervals (divided by the rate). They continue through
loops, like a camera's, or repeat, like those of `ros2 bag play --loop`. Bags are read without rosbag2, so neither its
plugins nor `ros2 bag` are needed.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ast_net_ros.ros.camera import image_qos
from ast_net_ros.ros.conversions import NANOSECONDS, compressed_message, image_message, time_message
from ast_net_ros.ros.replay.source import ReplaySource, ReplaySourceError, open_source
from ast_net_ros.ros.runtime.launching import positive_number
from ast_net_ros.ros.runtime.signals import StopSignal
from ast_net_ros.ros.runtime.spinning import SHUTDOWN_TIMEOUT, StartError, init_ros
from ast_net_ros.vision.video import VideoError

STAMP_COLUMNS = ("loop", "frame", "seconds", "stamp_ns")
_DISCOVERY_PAUSE = 1.0  # seconds until a discovered subscriber has discovered this publisher as well
_SUSPENSION = 1.0  # seconds of additional delay of one image from which the process counts as suspended
_DRAIN_PAUSE = 0.3  # seconds for the last image to leave


@dataclass(frozen=True)
class ReplayFrame:
    """One image to publish."""

    loop: int  # number of the loop, from 0
    frame: int  # number of the frame in the recording, from 0
    seconds: float  # time in the recording
    due: float  # seconds after the start of the replay
    image_bgr: np.ndarray  # H x W x 3 uint8


@dataclass
class ReplaySummary:
    """What was published; printed as JSON."""

    source: str  # the recording
    topic: str  # where its images were published
    published: int = 0  # number of images
    loops: int = 0  # that were started
    late: int = 0  # images published more than a frame period after their stamp
    seconds: float = 0.0  # how long it took
    rate: float = 0.0  # images per second


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the executable `replay`; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parse(remove_ros_args(["replay", *given])[1:])
    stop = StopSignal(SHUTDOWN_TIMEOUT)
    try:
        source = open_source(options.path, options.photo_rate, options.recorded_topic)
        with ExitStack() as stack:
            stamps = _open_stamps(stack, options.stamps)
            init_ros(given)
            stack.callback(rclpy.shutdown)
            node = Node("replay", start_parameter_services=False)
            stack.callback(node.destroy_node)
            summary = _replay(node, source, options, stamps, stop)
    except (ReplaySourceError, VideoError, StartError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(summary)), flush=True)
    return 0


def _replay(
    node: Node, source: ReplaySource, options: argparse.Namespace, stamps: Any, stop: StopSignal
) -> ReplaySummary:
    """Publish until the recording ends, the number of frames is reached, or `stop` is set."""
    qos = image_qos("best_effort" if options.best_effort else "reliable", depth=5)
    publisher = node.create_publisher(CompressedImage if options.compressed else Image, options.topic, qos)
    summary = ReplaySummary(source.name, publisher.topic_name)
    node.get_logger().info(f"playing {source.name} on {summary.topic}")
    if options.wait_for_subscriber:
        _wait_for_subscriber(publisher, stop)
    start, start_ns = time.monotonic(), time.time_ns()
    first_start, lag = start, 0.0
    for frame in schedule(source, options.loop, options.rate, options.frames):
        offset = frame.seconds / options.rate if options.same_stamps else frame.due
        stamp_ns = start_ns + round(offset * NANOSECONDS)
        message = _message(frame.image_bgr, stamp_ns, options)
        if stop.wait(max(0.0, start + frame.due - time.monotonic())):
            break
        previous_lag, lag = lag, time.monotonic() - start - frame.due
        if lag - previous_lag > _SUSPENSION:
            # After a suspension (SIGSTOP, a sleeping machine) continue like a camera, without a burst of old images.
            start += lag
            start_ns += 0 if options.same_stamps else round(lag * NANOSECONDS)
            stamp_ns = start_ns + round(offset * NANOSECONDS)
            message.header.stamp = time_message(stamp_ns)
            lag = 0.0
        publisher.publish(message)
        summary.published += 1
        summary.loops = frame.loop + 1
        summary.late += time.monotonic() - start - frame.due > source.period / options.rate
        if stamps is not None:
            stamps.writerow((frame.loop, frame.frame, f"{frame.seconds:.6f}", stamp_ns))
    stop.wait(_DRAIN_PAUSE)  # images in transit would be lost with the publisher
    summary.seconds = round(time.monotonic() - first_start - _DRAIN_PAUSE, 3)
    summary.rate = round(summary.published / summary.seconds, 3) if summary.seconds > 0 else 0.0
    return summary


def _message(image_bgr: np.ndarray, stamp_ns: int, options: argparse.Namespace) -> Image | CompressedImage:
    """Return the image as a message, in the requested size and type."""
    if options.size is not None:
        image_bgr = cv2.resize(image_bgr, options.size, interpolation=cv2.INTER_AREA)
    header = Header(stamp=time_message(stamp_ns), frame_id=options.frame_id)
    return compressed_message(header, image_bgr) if options.compressed else image_message(header, image_bgr)


def schedule(source: ReplaySource, loop: bool, rate: float, limit: int | None) -> Iterator[ReplayFrame]:
    """Yield each image with the time at which it is due; loops follow without a gap.

    Args:
        source: The recording.
        loop: Whether to play it again and again.
        rate: Speed; 2 plays twice as fast.
        limit: Total number of images; None for no limit.
    """
    published, start, loops = 0, 0.0, 0
    while True:
        seconds = 0.0
        for index, (seconds, image) in enumerate(source.play()):
            if limit is not None and published >= limit:
                return
            yield ReplayFrame(loops, index, seconds, (start + seconds) / rate, image)
            published += 1
        if not loop:
            return
        start += seconds + source.period
        loops += 1


def _wait_for_subscriber(publisher: Publisher, stop: StopSignal) -> None:
    while publisher.get_subscription_count() == 0:
        if stop.wait(0.05):
            return
    stop.wait(_DISCOVERY_PAUSE)


def _open_stamps(stack: ExitStack, path: Path | None) -> Any:
    """Return a CSV writer for the stamps, flushed line by line; None without a path."""
    if path is None:
        return None
    writer = csv.writer(stack.enter_context(path.open("w", newline="", buffering=1)))
    writer.writerow(STAMP_COLUMNS)
    return writer


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="replay", description="Play a bag, a video or a photograph as an image topic."
    )
    parser.add_argument("path", help="rosbag2 recording (its folder, or a file of it), video file or photograph")
    parser.add_argument("--topic", default="image", help="topic to publish on (default: %(default)s)")
    parser.add_argument("--recorded-topic", metavar="TOPIC", help="image topic in the bag (default: the only one)")
    parser.add_argument("--frame-id", default="camera", help="frame_id of the headers (default: %(default)s)")
    parser.add_argument("--loop", action="store_true", help="repeat until stopped")
    parser.add_argument(
        "--same-stamps",
        action="store_true",
        help="repeat the stamps in every loop, as `ros2 bag play --loop` does",
    )
    parser.add_argument("--rate", type=positive_number, default=1.0, help="speed, 2 plays twice as fast (default: 1)")
    parser.add_argument(
        "--photo-rate", type=positive_number, default=24.0, help="images per second of a photograph (default: 24)"
    )
    parser.add_argument("--frames", type=int, help="stop after this many images")
    parser.add_argument("--size", type=_size, metavar="WxH", help="resize to this many pixels, such as 640x480")
    parser.add_argument("--compressed", action="store_true", help="publish JPEG as sensor_msgs/CompressedImage")
    parser.add_argument("--best-effort", action="store_true", help="publish with best effort instead of reliable")
    parser.add_argument("--wait-for-subscriber", action="store_true", help="wait for a subscriber before playing")
    parser.add_argument("--stamps", type=Path, metavar="CSV", help=f"write {', '.join(STAMP_COLUMNS)} of every image")
    return parser.parse_args(arguments)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"0*([1-9]\d*)x0*([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is not a size; write it as 640x480")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())

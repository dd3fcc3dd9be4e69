"""Live mode of `ast_net evaluate`: play a recording in real time to a node over DDS and record its estimates.

Writes the same folder as offline mode (evaluation/recording_result.py), with one row for each image of the recording,
including those without an answer, and adds the metrics of live_metrics.py to recording.json. Prints lines of JSON:
{"sent": N} during playback and {"folder": PATH} at the end.

`ast_net_node` runs as a child process in a ROS domain of its own. Before the recording, black images are sent until one
is answered, so that a later loss is due to the node or the middleware and not to discovery.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import rclpy
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.bags.recordings import RecordingError, open_recording
from ast_net_ros.child_process import ChildProcess, ProcessError
from ast_net_ros.evaluation.recording_result import RecordingWriter
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.conversions import NANOSECONDS, image_message, time_message
from ast_net_ros.ros.replay.live_metrics import SentImage, live_metrics
from ast_net_ros.ros.replay.live_playback import ImageReader, play
from ast_net_ros.ros.replay.recorder import Recorder
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.executables import running
from ast_net_ros.ros.runtime.launching import positive_number
from ast_net_ros.ros.runtime.signals import StopSignal
from ast_net_ros.ros.runtime.spinning import Spinner, StartError, init_ros
from ast_net_ros.ros.runtime.transports import image_transport_settings

START_TIMEOUT = 90.0  # seconds
_DRAIN_TIMEOUT = 20.0  # seconds, for the last answers and the node's counts
_PROBE_PERIOD = 0.25  # seconds
_PROBE_OFFSET = 3600 * NANOSECONDS  # ahead of the recording, so that its first stamp resets the states
_PROGRESS_PERIOD = 0.5  # seconds
_FATES = (keys.PROCESSED, keys.DROPPED_LATE, keys.DROPPED_BAD, keys.DROPPED_FAILED)  # of received images
_COUNTS = (keys.RECEIVED, *_FATES, keys.LOST)
_ABOUT_NODE = (
    *(keys.DEVICE, keys.PRECISION, keys.RUNTIME),
    *(keys.WEIGHTS, keys.WEIGHTS_HASH, keys.WEIGHTS_DESCRIPTION),
)
_NODE_NAME = "ast_net"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m ast_net_ros.ros.replay.live_recording`; return its exit code."""
    options, node_arguments = _parse(sys.argv[1:] if arguments is None else list(arguments))
    stop = StopSignal()
    os.environ.update(image_transport_settings())  # for the node
    # Not the user's domain, where the recording's topic may be in use.
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    try:
        with open_recording(options.recording, options.topic) as recording:
            topic, name = recording.topic, options.name or recording.name
        with RecordingWriter(options.output, name, str(options.recording), topic, "live") as writer:
            writer.about["key"] = options.key
            _record(options, topic, node_arguments, writer, stop)
    except (RecordingError, ProcessError, StartError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130
    print(json.dumps({"folder": str(options.output)}), flush=True)
    return 0


def _record(
    options: argparse.Namespace, topic: str, node_arguments: Sequence[str], writer: RecordingWriter, stop: StopSignal
) -> None:
    """Run node, recorder and playback, then write the rows."""
    # A topic with the suffix would be subscribed to as compressed, but the images are sent decoded, as offline.
    image_topic = topic.removesuffix("/compressed") or "/image"
    given = ["--ros-args", "-r", f"image:={image_topic}", *node_arguments, "-p", "autostart:=true"]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base_ns = time.time_ns()
        reader = stack.enter_context(ImageReader(options.recording, topic, options.loops, base_ns))
        init_ros([])
        stack.callback(rclpy.shutdown)
        recorder = Recorder(f"{_NODE_NAME}/faces")
        stack.callback(recorder.destroy_node)
        spinner = Spinner(recorder, on_failure=stop.set)
        stack.callback(spinner.stop)
        publisher = recorder.create_publisher(Image, image_topic, 5)  # reliable, as camera drivers offer
        with running("ast_net_node", given, scratch) as node:
            reader.wait_filled(stop)
            _wait_for_answers(node, recorder, publisher, reader, base_ns + _PROBE_OFFSET, stop)
            before = _counts(recorder, image_topic)
            recorder.received.clear()
            began = time.monotonic()
            recorded_ns, sent = _play(reader, publisher, node, options.rate, stop)
            playing_seconds = time.monotonic() - began
            _wait_until_idle(node, recorder, image_topic, before, len(sent), stop)
            after = _counts(recorder, image_topic)
            about_node = recorder.diagnostics.get(keys.estimation_status(_NODE_NAME), {})
        if node.popen.returncode != 0:
            raise node.failure(f"exited with code {node.popen.returncode}")
        if spinner.failure is not None:
            raise StartError(f"the executor ended: {spinner.failure}")
    received_ns = {image.stamp_ns: image.received_ns for image in reversed(recorder.received)}  # the first of a stamp
    metrics = {"rate": options.rate, "loops": options.loops, **live_metrics(sent, received_ns)}
    metrics["node"] = {**_increase(before, after), **{name: about_node.get(name, keys.UNKNOWN) for name in _ABOUT_NODE}}
    faces = {image.stamp_ns: tuple(map(_named_as_offline, image.faces)) for image in recorder.received}
    for stamp_ns, image in zip(recorded_ns, sent):
        writer.add(stamp_ns, faces.get(image.stamp_ns))
    writer.about |= {"partial": reader.partial, "problems": reader.problems, "live": metrics}
    writer.about["processing_seconds"] = round(playing_seconds, 3)
    settings = {"rate": options.rate, "loops": options.loops, "node_arguments": list(node_arguments)}
    writer.about["settings"] = settings


def _named_as_offline(face: FaceAffect) -> FaceAffect:
    """Remove the node's random prefix from the id, so that `--match id:face_1` works in both modes."""
    return replace(face, face_id=re.sub(r"^face_[0-9a-f]{4}_(?=\d+$)", "face_", face.face_id))


def _play(
    reader: ImageReader, publisher: Publisher, node: ChildProcess, rate: float, stop: StopSignal
) -> tuple[list[int], list[SentImage]]:
    """Send all images; return the stamps in the recording, and the images of all loops.

    Raises ProcessError if the node ends meanwhile, KeyboardInterrupt on a signal.
    """
    recorded_ns, images, last_progress = [], [], 0.0
    for image, sent in play(reader, publisher.publish, rate, stop):
        images.append(sent)
        if image.loop == 0:
            recorded_ns.append(image.recorded_ns)
        node.check("during the recording")
        if time.monotonic() - last_progress > _PROGRESS_PERIOD:
            last_progress = time.monotonic()
            print(json.dumps({"sent": len(images)}), flush=True)
    _check_interrupted(stop)
    return recorded_ns, images


def _wait_for_answers(
    node: ChildProcess, recorder: Recorder, publisher: Publisher, reader: ImageReader, stamp_ns: int, stop: StopSignal
) -> None:
    """Wait until the node has answered a black image, is idle, and has published its counts."""
    height, width = reader.first.image.shape[:2] if reader.first is not None else (48, 64)
    black = np.zeros((height, width, 3), np.uint8)
    deadline = time.monotonic() + START_TIMEOUT
    next_probe = 0.0
    while not recorder.received:
        _check_interrupted(stop)
        node.check("during startup")
        if time.monotonic() > deadline:
            there = "answered no image" if recorder.node_is_there() else "published no topic"
            raise node.failure(f"{there} within {START_TIMEOUT:.0f} s")
        if recorder.node_is_there() and publisher.get_subscription_count() and time.monotonic() > next_probe:
            publisher.publish(image_message(Header(stamp=time_message(stamp_ns), frame_id="camera"), black))
            stamp_ns += 1
            next_probe = time.monotonic() + _PROBE_PERIOD
        time.sleep(0.01)
    while not _counts_published_after(recorder, 0.5) and time.monotonic() < deadline:
        _check_interrupted(stop)
        node.check("during startup")
        time.sleep(0.01)


def _wait_until_idle(
    node: ChildProcess, recorder: Recorder, topic: str, before: Mapping[str, int | None], sent: int, stop: StopSignal
) -> None:
    """Wait until every image is answered or the node is idle, and until it has published its counts."""
    ended = time.monotonic()
    while time.monotonic() < ended + _DRAIN_TIMEOUT:
        _check_interrupted(stop)
        node.check("at the end of the recording")
        counts = _increase(before, _counts(recorder, topic))
        all_done = sum(counts[name] or 0 for name in _FATES) >= (counts[keys.RECEIVED] or 0)
        nothing_left = all_done and recorder.diagnostics_at > ended + 1.0
        idle = len(recorder.received) >= sent or nothing_left
        if idle and _counts_published_after(recorder, 0.5) and recorder.diagnostics_at > ended + 0.5:
            return
        time.sleep(0.02)


def _counts_published_after(recorder: Recorder, seconds: float) -> bool:
    """Return whether diagnostics arrived at least `seconds` after the last answer."""
    return recorder.diagnostics_at > recorder.last_receipt + seconds


def _counts(recorder: Recorder, topic: str) -> dict[str, int | None]:
    """Return the node's latest counts of a camera; None for unknown ones."""
    values = recorder.diagnostics.get(keys.camera_status(_NODE_NAME, topic), {})
    texts = {name: values.get(name, "") for name in _COUNTS}
    return {name: int(value) if value.isdigit() else None for name, value in texts.items()}


def _increase(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return by how much each count increased; None for unknown ones. One that was unknown before started at 0."""
    return {name: None if last is None else last - (before[name] or 0) for name, last in after.items()}


def _check_interrupted(stop: StopSignal) -> None:
    if stop.is_set():
        raise KeyboardInterrupt


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the arguments after --ros-args, which are for the node."""
    split = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m ast_net_ros.ros.replay.live_recording",
        description="Play a recording in real time to ast_net_node and write its estimates.",
        epilog="Arguments after --ros-args are passed to the node: --ros-args -p max_faces:=1",
    )
    parser.add_argument("recording", type=Path, help="a rosbag2 recording or a video")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--topic", help="image topic in the recording (default: the only one)")
    parser.add_argument("--rate", type=positive_number, default=1.0, help="speed, 2 plays twice as fast (default: 1)")
    parser.add_argument("--loops", type=int, default=1, help="how many times to play the recording (default: 1)")
    parser.add_argument("--name", default="", help="name of the recording in its results")
    parser.add_argument("--key", default="", help="text for recording.json that identifies the settings")
    options = parser.parse_args(arguments[:split])
    if options.loops < 1:
        parser.error(f"--loops {options.loops}: use 1 or more")
    return options, arguments[split + 1 :]


if __name__ == "__main__":
    sys.exit(main())

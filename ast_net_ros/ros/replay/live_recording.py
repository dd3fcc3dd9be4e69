"""A recording played in real time to a real node over DDS, and what the node answered: live mode of `ast_net evaluate`.

In: a recording, and the node's arguments. Out: the same folder as of offline mode (evaluation/recording_result.py) with
one row for each of the recording's images, unanswered ones included, and the figures of live_figures.py in
recording.json. On standard output: lines of JSON, {"sent": N} while it plays and {"folder": PATH} at the end.

`ast_net_node` runs as a process of its own, in a ROS domain of this run, and ends with it, whatever ends it. Before the
recording, black pictures are sent until one is answered: from then on image and answer are known to get through, and
what is lost later is the node's or the middleware's doing.
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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rclpy
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.bags.recordings import RecordingError, open_recording
from ast_net_ros.child_process import ChildProcess, ProcessError
from ast_net_ros.evaluation.recording_result import RecordingWriter
from ast_net_ros.pipeline import FaceAffect
from ast_net_ros.ros.conversions import NANOSECONDS, image_message, time_message
from ast_net_ros.ros.replay.live_metrics import SentImage, live_figures
from ast_net_ros.ros.replay.live_playback import PictureReader, play
from ast_net_ros.ros.replay.recorder import Recorder
from ast_net_ros.ros.runtime.arguments import positive_number
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.executables import running
from ast_net_ros.ros.runtime.spinning import Spinner, StartError, StopSignal, init_ros
from ast_net_ros.ros.runtime.transports import environment_for_images

START_SECONDS = 90.0
_LINGER_SECONDS = 20.0  # for the last answers and the node's counts
_PROBE_SECONDS = 0.25  # between two probes
_PROBE_LEAP = 3600 * NANOSECONDS  # probes lie ahead of the recording, whose first stamp then makes the node begin anew
_PROGRESS_SECONDS = 0.5
_COUNTS = (  # what became of the received ones stands between the first and the last
    "received",
    "processed",
    "dropped, newer came",
    "dropped, bad image",
    "dropped, estimation failed",
    "lost before receipt",
)
_ABOUT_NODE = ("device", "precision", "runtime", "weights", "weights SHA-256", "weights description")
_NODE_NAME = "ast_net"


@dataclass
class _Run:
    """What happened. recorded_ns: the stamps of the recording's images, as recorded. sent: of all loops, in order."""

    recorded_ns: list[int]
    sent: list[SentImage]
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m ast_net_ros.ros.replay.live_recording`. Returns the exit code."""
    options, node_arguments = _parse(sys.argv[1:] if arguments is None else list(arguments))
    stop = StopSignal()
    os.environ.update(environment_for_images())  # Fast DDS reads it when rclpy.init is called
    # Not the user's domain: the recording's topic may be alive there.
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
    """Node, recorder and player, in this order, then the rows."""
    # The node takes a topic that ends so for a compressed one; the pictures are sent as they are seen offline.
    image_topic = topic.removesuffix("/compressed") or "/image"
    given = ["--ros-args", "-r", f"image:={image_topic}", *node_arguments, "-p", "autostart:=true"]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base_ns = time.time_ns()
        reader = stack.enter_context(PictureReader(options.recording, topic, options.loops, base_ns))
        init_ros([])
        stack.callback(rclpy.shutdown)
        recorder = Recorder(f"{_NODE_NAME}/faces")
        stack.callback(recorder.destroy_node)
        spinner = Spinner(recorder, on_failure=stop.set)
        stack.callback(spinner.stop)
        publisher = recorder.create_publisher(Image, image_topic, _qos())
        with running("ast_net_node", given, scratch) as node:
            reader.wait_filled(stop)
            _await_answers(node, recorder, publisher, reader, base_ns + _PROBE_LEAP, stop)
            before = _counts(recorder, image_topic)
            recorder.received.clear()
            run = _play(reader, publisher, node, options.rate, stop)
            _await_silence(node, recorder, image_topic, before, len(run.sent), stop)
            after = _counts(recorder, image_topic)
            about_node = recorder.diagnostics.get(f"{_NODE_NAME}: estimation", {})
        if node.popen.returncode != 0:
            raise node.failure(f"ended with code {node.popen.returncode}")
        if spinner.failure is not None:
            raise StartError(f"the executor ended: {spinner.failure}")
    received_ns = {image.stamp_ns: image.received_ns for image in reversed(recorder.received)}  # the first of a stamp
    figures = {"rate": options.rate, "loops": options.loops, **live_figures(run.sent, received_ns)}
    figures["node"] = {**_growth(before, after), **{name: about_node.get(name, "unknown") for name in _ABOUT_NODE}}
    faces = {image.stamp_ns: tuple(map(_named_as_offline, image.faces)) for image in recorder.received}
    for recorded_ns, image in zip(run.recorded_ns, run.sent):
        writer.add(recorded_ns, faces.get(image.stamp_ns))
    writer.about |= {"partial": reader.partial, "problems": reader.problems, "live": figures}
    writer.about["processing_seconds"] = round(run.seconds, 3)
    settings = {"rate": options.rate, "loops": options.loops, "node_arguments": list(node_arguments)}
    writer.about["settings"] = settings


def _named_as_offline(face: FaceAffect) -> FaceAffect:
    """With the id that a pipeline without the node's prefix gives, so that `--match id:face_1` finds it in both."""
    return replace(face, face_id=re.sub(r"^face_[0-9a-f]{4}_(?=\d+$)", "face_", face.face_id))


def _play(reader: PictureReader, publisher: Publisher, node: ChildProcess, rate: float, stop: StopSignal) -> _Run:
    """Send all pictures. Raises ProcessError when the node ends meanwhile, KeyboardInterrupt for a signal."""
    run, said = _Run([], []), 0.0

    def watch(count: int) -> None:
        nonlocal said
        node.check("in the middle of the recording")
        if time.monotonic() - said > _PROGRESS_SECONDS:
            said = time.monotonic()
            print(json.dumps({"sent": count}), flush=True)

    began = time.monotonic()
    for picture, sent in play(reader, publisher.publish, rate, stop, watch):
        run.sent.append(sent)
        if picture.loop == 0:
            run.recorded_ns.append(picture.recorded_ns)
    _check_interrupted(stop)
    run.seconds = time.monotonic() - began
    return run


def _await_answers(
    node: ChildProcess,
    recorder: Recorder,
    publisher: Publisher,
    reader: PictureReader,
    stamp_ns: int,
    stop: StopSignal,
) -> None:
    """Until the node has answered a black picture, nothing more comes, and it has told its counts after that."""
    height, width = reader.first.image.shape[:2] if reader.first is not None else (48, 64)
    black = np.zeros((height, width, 3), np.uint8)
    deadline = time.monotonic() + START_SECONDS
    next_probe = 0.0
    while not recorder.received:
        _check_interrupted(stop)
        node.check("at its start")
        if time.monotonic() > deadline:
            there = "answered no picture" if recorder.node_is_there() else "published no topic"
            raise node.failure(f"{there} within {START_SECONDS:.0f} s")
        if recorder.node_is_there() and publisher.get_subscription_count() and time.monotonic() > next_probe:
            publisher.publish(image_message(Header(stamp=time_message(stamp_ns), frame_id="camera"), black))
            stamp_ns += 1
            next_probe = time.monotonic() + _PROBE_SECONDS
        time.sleep(0.01)
    while not _told_since(recorder, 0.5) and time.monotonic() < deadline:
        _check_interrupted(stop)
        node.check("at its start")
        time.sleep(0.01)


def _await_silence(
    node: ChildProcess,
    recorder: Recorder,
    topic: str,
    before: Mapping[str, int | None],
    sent: int,
    stop: StopSignal,
) -> None:
    """Until every image is answered, or the node has nothing left to do; then until it has told its counts."""
    deadline = time.monotonic() + _LINGER_SECONDS
    ended = time.monotonic()
    while time.monotonic() < deadline:
        _check_interrupted(stop)
        node.check("at the end of the recording")
        received, *done, _ = _growth(before, _counts(recorder, topic)).values()
        nothing_left = sum(count or 0 for count in done) >= (received or 0) and recorder.diagnostics_at > ended + 1.0
        idle = len(recorder.received) >= sent or nothing_left
        if idle and _told_since(recorder, 0.5) and recorder.diagnostics_at > ended + 0.5:
            return
        time.sleep(0.02)


def _told_since(recorder: Recorder, seconds: float) -> bool:
    """Whether diagnostics have come that long after the last answer."""
    return recorder.diagnostics_at > recorder.last_receipt + seconds


def _counts(recorder: Recorder, topic: str) -> dict[str, int | None]:
    """The node's counts of this camera, as last told; None for what it does not tell."""
    values = recorder.diagnostics.get(f"{_NODE_NAME}: camera {topic}", {})
    told = {name: values.get(name, "") for name in _COUNTS}
    return {name: int(value) if value.isdigit() else None for name, value in told.items()}


def _growth(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> dict[str, int | None]:
    """By how much each count grew; None where it is not told. One that was not told before began with 0 since."""
    grown: dict[str, int | None] = {}
    for name in _COUNTS:
        last = after[name]
        grown[name] = None if last is None else last - (before[name] or 0)
    return grown


def _check_interrupted(stop: StopSignal) -> None:
    if stop.is_set():
        raise KeyboardInterrupt


def _qos() -> QoSProfile:
    """As camera drivers offer their images; the node takes them as best effort."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=QoSReliabilityPolicy.RELIABLE)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what comes after --ros-args, which is for the node."""
    split = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m ast_net_ros.ros.replay.live_recording",
        description="Plays a recording in real time to ast_net_node and writes what it answers.",
        epilog="What follows --ros-args is given to the node: --ros-args -p max_faces:=1",
    )
    parser.add_argument("recording", type=Path, help="a rosbag2 recording or a video")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results of this recording")
    parser.add_argument("--topic", help="image topic in the recording (default: the only one)")
    parser.add_argument("--rate", type=positive_number, default=1.0, help="speed, 2 plays twice as fast (default: 1)")
    parser.add_argument("--loops", type=int, default=1, help="times that the recording is played (default: 1)")
    parser.add_argument("--name", default="", help="name of the recording in its results")
    parser.add_argument("--key", default="", help="text that recording.json keeps as the key of this result")
    options = parser.parse_args(arguments[:split])
    if options.loops < 1:
        parser.error(f"--loops {options.loops}: 1 or more")
    return options, arguments[split + 1 :]


if __name__ == "__main__":
    sys.exit(main())

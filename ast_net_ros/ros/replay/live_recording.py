"""Live mode of `ast_net evaluate`: play a recording in real time to a node over DDS and record its estimates.

Writes the same folder as offline mode (evaluation/recording_result.py), with one row for each image of the recording,
including those without an answer, and adds the metrics of live_metrics.py to recording.json. Prints lines of JSON:
{"sent": N} during playback and {"folder": PATH} at the end.

`ast_net_node` runs as a child process in a ROS domain of its own. Before the recording, black images are sent until one
is answered, so that a later loss is due to the node or the middleware and not to discovery.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import rclpy
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ast_net_ros.bags.recordings import ReadAhead, RecordingError, open_recording
from ast_net_ros.child_process import ChildProcess, ProcessError
from ast_net_ros.evaluation.live import LiveOptions
from ast_net_ros.evaluation.recording_result import RecordingWriter
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.conversions import NANOSECONDS, image_message, time_message
from ast_net_ros.ros.replay.live_metrics import SentImage, live_metrics
from ast_net_ros.ros.replay.live_playback import Playback, PlaybackImage, play
from ast_net_ros.ros.replay.recorder import Recorder
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.executables import running
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
_READ_AHEAD_BYTES = 400_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the recording RECORDING, write the folder FOLDER, as the JSON of LiveOptions says; return the exit code."""
    place, output, text = sys.argv[1:] if arguments is None else arguments
    path, folder, options = Path(place), Path(output), LiveOptions(**json.loads(text))
    stop = StopSignal()
    os.environ.update(image_transport_settings())  # for the node
    # Not the user's domain, where the recording's topic may be in use.
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    try:
        with open_recording(path, options.topic) as recording:
            topic, name = recording.topic, options.name or recording.name
            first = next(recording.frames()).image
        with RecordingWriter(folder, name, str(path), topic, "live") as writer:
            writer.about["key"] = options.key
            _record(path, topic, first, options, writer, stop)
    except (RecordingError, ProcessError, StartError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130
    print(json.dumps({"folder": str(folder)}), flush=True)
    return 0


def _record(
    path: Path, topic: str, first: np.ndarray, options: LiveOptions, writer: RecordingWriter, stop: StopSignal
) -> None:
    """Run node, recorder and playback, then write the rows; `first` is the recording's first image."""
    # A topic with the suffix would be subscribed to as compressed, but the images are sent decoded, as offline.
    image_topic = topic.removesuffix("/compressed") or "/image"
    given = ["--ros-args", "-r", f"image:={image_topic}", *options.node_arguments, "-p", "autostart:=true"]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base_ns = time.time_ns()
        playback = Playback(path, topic, options.loops, base_ns)
        images = stack.enter_context(ReadAhead(playback.images(), max(2, _READ_AHEAD_BYTES // first.nbytes)))
        init_ros([])
        stack.callback(rclpy.shutdown)
        recorder = Recorder(f"{_NODE_NAME}/faces")
        stack.callback(recorder.destroy_node)
        spinner = Spinner(recorder, on_failure=stop.set)
        stack.callback(spinner.stop)
        publisher = recorder.create_publisher(Image, image_topic, 5)  # reliable, as camera drivers offer
        with running("ast_net_node", given, scratch) as node:
            while not images.full and not stop.wait(0.05):
                pass
            _wait_for_answers(node, recorder, publisher, np.zeros_like(first), base_ns + _PROBE_OFFSET, stop)
            before = _counts(recorder, image_topic)
            recorder.received.clear()
            began = time.monotonic()
            recorded_ns, sent = _send(play(images, playback, publisher.publish, options.rate, stop), node, stop)
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
    writer.about |= {"partial": playback.partial, "problems": playback.problems, "live": metrics}
    writer.about["processing_seconds"] = round(playing_seconds, 3)
    writer.about["settings"] = {name: getattr(options, name) for name in ("rate", "loops", "node_arguments")}


def _named_as_offline(face: FaceAffect) -> FaceAffect:
    """Remove the node's random prefix from the id, so that `--match id:face_1` works in both modes."""
    return replace(face, face_id=re.sub(r"^face_[0-9a-f]{4}_(?=\d+$)", "face_", face.face_id))


def _send(
    playing: Iterator[tuple[PlaybackImage, SentImage]], node: ChildProcess, stop: StopSignal
) -> tuple[list[int], list[SentImage]]:
    """Send all images; return the stamps in the recording, and the images of all loops.

    Raises ProcessError if the node ends meanwhile, KeyboardInterrupt on a signal.
    """
    recorded_ns, images, last_progress = [], [], 0.0
    for image, sent in playing:
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
    node: ChildProcess, recorder: Recorder, publisher: Publisher, black: np.ndarray, stamp_ns: int, stop: StopSignal
) -> None:
    """Wait until the node has answered a black image, is idle, and has published its counts."""
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


if __name__ == "__main__":
    sys.exit(main())

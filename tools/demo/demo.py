"""The demo: play a face video as a camera, run the node on it, and plot what the node publishes.

Writes `estimates.csv` (like `ast_net annotate`, but from the received messages), `plot.png`, `overlay.png` and
`summary.json`, and prints a summary. `replay` and `ast_net_node` are separate processes, so that every image and every
estimate crosses DDS. Fails when no estimate arrives.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import rclpy

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.child_process import ChildProcess, ProcessError
from ast_net_ros.ros.replay.recorder import Recorder
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.executables import running
from ast_net_ros.ros.runtime.spinning import Spinner
from ast_net_ros.ros.runtime.transports import BUILTIN_TRANSPORTS, image_transport_environment
from ast_net_ros.vision.video import VideoError, open_video
from demo.report import FILES, SUMMARY, DemoRun, print_summary, summarise, write_results

DEFAULT_VIDEO = "WolfgangLanger_Pexels.mp4"
_START_SECONDS, _LINGER_SECONDS = 90.0, 15.0


class DemoError(RuntimeError):
    """The demo cannot continue; the message is for the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    options = _parse(arguments)
    os.environ.update(image_transport_environment())  # Fast DDS reads it when rclpy.init is called
    # Neither may other nodes on this network see this camera, nor this node other cameras.
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    try:
        video = _video(options.video)
        with atomic_dir(options.output, FILES) as folder:
            run = _run(video)
            if not any(image.faces for image in run.received):
                raise DemoError(f"no estimate arrived: the node processed {len(run.received)} images of {video}")
            estimates = write_results(run, folder)
            summary = summarise(run, estimates)
            (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    except (DemoError, ProcessError, VideoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130
    print_summary(summary, options.output)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Run the node on a face video and plot its estimates.")
    parser.add_argument(
        "--output", type=Path, default=Path("out/demo"), help="directory for the results (default: %(default)s)"
    )
    parser.add_argument("--video", type=Path, help=f"a video with a face (default: {DEFAULT_VIDEO} in $AST_NET_MEDIA)")
    return parser.parse_args(arguments)


def _video(given: Path | None) -> Path:
    """Return the video's path, checked before anything is started; raises DemoError or VideoError."""
    folder = os.environ.get("AST_NET_MEDIA")
    if given is None and not folder:
        raise DemoError("no video: give one with --video, or run make demo, which fetches one and sets AST_NET_MEDIA")
    video = given or Path(folder or "") / DEFAULT_VIDEO
    open_video(video).close()
    return video


def _run(video: Path) -> DemoRun:
    """Run node, recorder and replay until the replay has ended and the node has published its final counts."""
    print(f"transport {os.environ[BUILTIN_TRANSPORTS]}, ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}")
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        stamps = scratch / "stamps.csv"
        rclpy.init()
        recorder = Recorder("ast_net/faces")
        spinner = Spinner(recorder, on_failure=lambda: None)
        try:
            with running("ast_net_node", [], scratch) as node:
                _await_node(node, recorder)
                print(f"the node is up; playing {video.name} in real time ...", flush=True)
                play = [str(video), "--wait-for-subscriber", "--stamps", str(stamps)]
                with running("replay", play, scratch) as replay:
                    _await_replay(replay, node)
                _await_counts(recorder)
            if node.popen.returncode != 0:
                raise node.failure(f"ended with code {node.popen.returncode}")
        finally:
            spinner.stop()
            recorder.destroy_node()
            rclpy.shutdown()
        with stamps.open(newline="") as file:
            frames = {int(row["stamp_ns"]): (int(row["frame"]), float(row["seconds"])) for row in csv.DictReader(file)}
    return DemoRun(video, frames, tuple(recorder.received), dict(recorder.diagnostics))


def _await_node(node: ChildProcess, recorder: Recorder) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not recorder.node_is_there():
        node.check("at its start")
        if time.monotonic() > deadline:
            raise node.failure(f"published no topic within {_START_SECONDS:.0f} s")
        time.sleep(0.1)


def _await_replay(replay: ChildProcess, node: ChildProcess) -> None:
    while replay.popen.poll() is None:
        node.check("in the middle")
        time.sleep(0.1)
    if replay.popen.returncode != 0:
        raise replay.failure(f"ended with code {replay.popen.returncode}")


def _await_counts(recorder: Recorder) -> None:
    """Wait until the node has published diagnostics after its last estimate."""
    deadline = time.monotonic() + _LINGER_SECONDS
    while time.monotonic() < deadline:
        if recorder.diagnostics_at > recorder.last_receipt + 0.5:
            return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())

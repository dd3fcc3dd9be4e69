"""Measure the node over DDS: start-up, latency, rates, several cameras, overload, memory over time.

A process of its own, because it needs ROS: `tools/run.py bench.node_run --frames FRAMES.npy --output FILE.json` with
the lengths of its parts in seconds (0 skips a part). It writes the raw values of every run, which bench.node
summarises, and a line on standard output after each part. Node and cameras are separate processes; this one receives.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy

from ast_net_ros.ros import diagnostics_keys as dk
from ast_net_ros.ros.replay.recorder import Recorder
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.spinning import Spinner, init_ros
from ast_net_ros.ros.runtime.transports import image_transport_environment
from bench.measured_node import PATH_VARIABLE
from bench.node_processes import JsonProcess, ProcessError, cameras, running

TOPICS = ("/camera_1/image", "/camera_2/image", "/camera_3/image", "/camera_4/image")
CAMERA_COUNTS = (1, 2, 4)
LATENCY_RATE, CAMERA_RATE, GROWTH_RATE = 30.0, 10.0, 15.0
PROBES = 6
WARM_UP = 1.0  # seconds at the start of a run that are not evaluated
_RETRY_SHARE = 0.02  # a probe that drops a smaller share is repeated once
_TIMEOUT = 90.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the node and return the exit code."""
    options = _parse(arguments)
    os.environ.update(image_transport_environment())
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    # Like Ctrl-C: the child processes must not outlive this one.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        with tempfile.TemporaryDirectory() as name:
            results = _measure(options, Path(name))
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    options.output.write_text(json.dumps(results))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_node", description="Measure the node over DDS.")
    parser.add_argument("--frames", type=Path, required=True, help="N x H x W x 3 uint8 BGR, .npy")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pipeline-rate", type=float, required=True, help="frames/s of the bare pipeline")
    parser.add_argument("--starts", type=int, default=3)
    for part in ("latency", "probe", "cameras", "growth"):
        parser.add_argument(f"--{part}", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME:=VALUE", help="of the node")
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = {"starts": [], "runs": [], "times": {}, "growth": []}
    given = [word for parameter in options.parameter for word in ("-p", parameter)]
    with _recorder() as recorder:
        if options.starts:
            results["starts"] = [_start(options, given, recorder, folder) for _ in range(options.starts)]
        wants_runs = options.latency or options.probe or options.cameras
        if wants_runs:
            results["runs"], results["times"] = _runs(options, given, recorder, folder)
        if options.growth:
            results["growth"] = _growth(options, given, recorder, folder)
    return results


@contextmanager
def _recorder() -> Iterator[Recorder]:
    init_ros(None)
    recorder = Recorder("ast_net/faces")
    spinner = Spinner(recorder, on_failure=lambda: None)
    try:
        yield recorder
    finally:
        spinner.stop()
        recorder.destroy_node()
        rclpy.shutdown()


def _done(what: str) -> None:
    print(what, flush=True)


def _await(process: JsonProcess, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        process.check()
        if time.monotonic() > deadline:
            raise process.child.failure(f"within {_TIMEOUT:.0f} s: no {what}")
        time.sleep(0.005)


# Start-up and growth, with the node as users run it


def _one_camera(given: Sequence[str]) -> list[str]:
    return ["--ros-args", "-r", f"image:={TOPICS[0]}", *given]


def _start(options: argparse.Namespace, given: Sequence[str], recorder: Recorder, folder: Path) -> dict[str, Any]:
    """Measure the seconds from the start of the process to its topics and to its first estimate."""
    with cameras(TOPICS[:1], options.frames, folder) as (camera,):
        camera.send({"rate": GROWTH_RATE, "seconds": 0.2})
        camera.receive()
        # The camera runs already; it is ended below, after the first estimate.
        recorder.received.clear()
        began = time.monotonic()
        with running("ast_net_ros.ros.node", _one_camera(given), folder) as node:
            camera.send({"rate": GROWTH_RATE, "seconds": _TIMEOUT})
            _await(node, recorder.node_is_there, "topic of the node")
            offered = time.monotonic()
            _await(node, lambda: any(image.faces for image in recorder.received), "estimate")
            first = time.monotonic()
            resident = node.usage().resident
        _await_no_node(recorder)
        camera.child.popen.kill()
    _done("start-up")
    return {"offered_s": offered - began, "first_estimate_s": first - began, "resident": resident}


def _await_no_node(recorder: Recorder) -> None:
    """Wait until the node that ended is no longer discovered."""
    deadline = time.monotonic() + 10.0
    while recorder.node_is_there() and time.monotonic() < deadline:
        time.sleep(0.02)


def _growth(options: argparse.Namespace, given: Sequence[str], recorder: Recorder, folder: Path) -> dict[str, Any]:
    """Sample the node's memory every second of one long run."""
    samples = []
    with (
        cameras(TOPICS[:1], options.frames, folder) as (camera,),
        running("ast_net_ros.ros.node", _one_camera(given), folder) as node,
    ):
        _await(node, recorder.node_is_there, "topic of the node")
        camera.send()
        camera.receive()
        camera.send({"rate": GROWTH_RATE, "seconds": options.growth})
        began, before = time.monotonic(), node.usage()
        while time.monotonic() - began < options.growth:
            node.check()
            samples.append((time.monotonic() - began, node.usage().resident))
            recorder.received.clear()
            time.sleep(1.0)
        used = node.usage().processor_seconds - before.processor_seconds
        published = len(camera.receive()["stamps_ns"])
    _await_no_node(recorder)
    _done("growth")
    return {"samples": samples, "rate": GROWTH_RATE, "published": published, "processor_seconds": used}


# Runs of one node with up to four cameras


class _Bench:
    """The measured node, its cameras, and the runs so far."""

    def __init__(self, node: JsonProcess, sources: Sequence[JsonProcess], recorder: Recorder):
        self.node, self.sources, self.recorder = node, sources, recorder
        self.runs: list[dict[str, Any]] = []

    def run(self, kind: str, count: int, rate: float, seconds: float) -> dict[str, Any]:
        """Run `count` cameras at `rate` images per second each."""
        self.node.check()
        self.recorder.received.clear()
        counted = self._counted(count)
        before, began = self.node.usage(), time.monotonic()
        for camera in self.sources[:count]:
            camera.send({"rate": rate, "seconds": WARM_UP + seconds})
        sent = [camera.receive() for camera in self.sources[:count]]
        ended, after = time.monotonic(), self.node.usage()
        growth = {key: value - counted.get(key, 0) for key, value in self._counted(count).items()}
        arrived = {image.stamp_ns: image.published_ns for image in list(self.recorder.received)}
        faces = {image.stamp_ns: len(image.faces) for image in list(self.recorder.received)}
        result = {
            "kind": kind,
            "cameras": count,
            "rate": rate,
            "window": (began + WARM_UP, ended),
            "elapsed": ended - began,
            "node_processor_seconds": after.processor_seconds - before.processor_seconds,
            "resident": after.resident,
            "counted": growth,
            "by_camera": [_by_camera(camera, arrived, faces) for camera in sent],
        }
        self.runs.append(result)
        return result

    def _counted(self, count: int) -> dict[str, int]:
        """Return what became of the cameras' images, from diagnostics that are published from now on."""
        now = time.monotonic()
        _await(self.node, lambda: self.recorder.diagnostics_at > now + 0.3, "diagnostics")
        keys = (dk.RECEIVED, dk.PROCESSED, dk.DROPPED_LATE, dk.DROPPED_BAD, dk.DROPPED_FAILED, dk.LOST)
        totals = dict.fromkeys(keys, 0)
        for topic in TOPICS[:count]:
            values = self.recorder.diagnostics[dk.camera_status("ast_net", topic)]
            for key in keys:
                totals[key] += int(values[key]) if values[key].isdigit() else 0
        return totals


def _by_camera(sent: dict, arrived: dict[int, int], faces: dict[int, int]) -> dict[str, Any]:
    """Return a camera's part of a run; latencies, drops and rates are those after the warm-up."""
    stamps = sent["stamps_ns"]
    settled = [stamp for stamp in stamps if stamp >= stamps[0] + WARM_UP * 1e9]
    answered = [stamp for stamp in settled if stamp in arrived]
    span = (stamps[-1] - settled[0]) / 1e9 if len(settled) > 1 else 0.0
    return {
        "published_in_total": len(stamps),
        "published": len(settled),
        "processed": len(answered),
        "faces": sum(faces[stamp] for stamp in answered),
        "seconds": span,
        "late": sent["late"],
        "camera_processor_share": sent["processor_seconds"] / sent["seconds"],
        "processed_at_s": [round((stamp - settled[0]) / 1e9, 4) for stamp in answered],
        "stamp_to_publish_ms": [round((arrived[stamp] - stamp) / 1e6, 3) for stamp in answered],
    }


def _runs(
    options: argparse.Namespace, given: Sequence[str], recorder: Recorder, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    times = folder / "times.json"
    topics = "[" + ", ".join(f"'{topic}'" for topic in TOPICS) + "]"
    arguments = ["--ros-args", "-p", f"image_topics:={topics}", "-r", f"image:={TOPICS[0]}", *given]
    environment = {**os.environ, PATH_VARIABLE: str(times)}
    with (
        cameras(TOPICS, options.frames, folder) as sources,
        running("bench.measured_node", arguments, folder, environment) as node,
    ):
        _await(node, recorder.node_is_there, "topic of the node")
        for camera in sources:
            camera.send()
        for camera in sources:
            camera.receive()
        bench = _Bench(node, sources, recorder)
        _all_runs(bench, options)
    _await_no_node(recorder)
    return bench.runs, json.loads(times.read_text())


def _all_runs(bench: _Bench, options: argparse.Namespace) -> None:
    if options.latency:
        bench.run("latency", 1, LATENCY_RATE, options.latency)
        _done("latency")
    if options.probe:
        saturated = bench.run("saturated", 1, 1.2 * options.pipeline_rate, options.probe)
        _done("saturated")
        _search(bench, _rate(saturated), options.probe)
    if options.cameras:
        for count in CAMERA_COUNTS:
            bench.run("cameras", count, CAMERA_RATE, options.cameras)
            _done(f"{count} cameras")
        reference = bench.run("crowded", 1, 1.2 * options.pipeline_rate, options.cameras)
        _done("crowded, 1 camera")
        for count in CAMERA_COUNTS[1:]:
            # As many images in total as with one camera, but from several cameras.
            bench.run("crowded", count, 1.2 * options.pipeline_rate / count, options.cameras)
            _done(f"crowded, {count} cameras")
        for count in CAMERA_COUNTS[1:]:
            bench.run("overload", count, 2 * _rate(reference) / count, options.cameras)
            _done(f"overload, {count} cameras")


def _search(bench: _Bench, saturated: float, seconds: float) -> None:
    """Find the highest rate of one camera without drops, by bisection."""
    low, high = 0.3 * saturated, 1.05 * saturated
    for _ in range(PROBES):
        rate = (low + high) / 2
        dropped = _dropped(bench.run("probe", 1, rate, seconds))
        if 0 < dropped <= _RETRY_SHARE:  # another process may be the cause
            dropped = _dropped(bench.run("probe", 1, rate, seconds))
        low, high = (rate, high) if dropped == 0 else (low, rate)
        _done(f"probe, {rate:.0f}/s")


def _rate(run: dict[str, Any]) -> float:
    return sum(camera["processed"] / max(camera["seconds"], 1e-9) for camera in run["by_camera"])


def _dropped(run: dict[str, Any]) -> float:
    """Return the share of one camera's images without a response."""
    camera = run["by_camera"][0]
    return 1 - camera["processed"] / max(1, camera["published"])


if __name__ == "__main__":
    sys.exit(main())

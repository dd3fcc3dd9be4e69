"""Run the node for a long time under changing conditions, and fail when it loses, leaks or breaks something.

Cameras (`replay` processes) show changing faces, die, pause and return; parameters change, also to invalid values; face
states are reset; subscribers join, leave and are killed. Writes `soak.json`, `soak.png` and the node's log, prints all
checks, and exits with code 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import rclpy
from tqdm import tqdm

from ast_net_ros.child_process import ChildProcess, ProcessError, start
from ast_net_ros.ros.runtime.domain import reserve_domain
from ast_net_ros.ros.runtime.executables import executable_command
from ast_net_ros.ros.runtime.signals import StopSignal
from ast_net_ros.ros.runtime.spinning import Spinner
from ast_net_ros.ros.runtime.transports import image_transport_environment
from soak import events
from soak.events import END_SECONDS, TIMEOUTS, VIDEOS, Camera, Soak, SoakError
from soak.plot import plot
from soak.report import SoakRun, report
from soak.watch import Observer, Sample, sample

# Mean time between two events of a kind, seconds.
PERIODS: dict[Callable[[Soak], None], float] = {
    events.disturb_a_camera: 20.0,
    events.set_a_parameter: 6.0,
    events.reset: 25.0,
    events.add_subscriber: 15.0,
    events.add_subscriber_process: 90.0,
}
_START_SECONDS = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak test and return the exit code."""
    options = _parse(arguments)
    os.environ.update(image_transport_environment())
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            run = _run(options, Path(scratch))
        results = report(run)
        (options.output / "soak.json").write_text(json.dumps(results, indent=1) + "\n")
        (options.output / "node.log").write_text(run.log)
        plot(run, options.output / "soak.png")
    except (SoakError, ProcessError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for check in results["checks"]:
        print(f"{'passed' if check['passed'] else 'FAILED'}  {check['name']}: {check['value']}")
    verdict = "all checks passed" if results["passed"] else "NOT ALL CHECKS PASSED"
    print(f"{verdict} over {results['minutes']} minutes; results in {options.output}")
    return 0 if results["passed"] else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Run the node for long under changing conditions.")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the run (default: %(default)g)")
    parser.add_argument("--output", type=Path, default=Path("out/soak"), help="directory (default: %(default)s)")
    parser.add_argument("--cameras", type=int, default=3, help="number of cameras (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.3, help="speed of the videos (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=1.0, help="2 for twice as many events (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="of the random events (default: %(default)s)")
    options = parser.parse_args(arguments)
    media = os.environ.get("AST_NET_MEDIA", "")
    if not (Path(media) / VIDEOS[0]).is_file():
        parser.error(f"AST_NET_MEDIA='{media}' has no {VIDEOS[0]}; run make soak, which fetches the videos")
    options.media = Path(media)
    return options


def _run(options: argparse.Namespace, scratch: Path) -> SoakRun:
    """Start the node, run all events, end everything in order."""
    stop = StopSignal()
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    with ExitStack() as stack:
        stack.callback(rclpy.shutdown)
        observer = Observer()
        stack.callback(observer.destroy_node)
        spinner = Spinner(observer, on_failure=stop.set)
        stack.callback(spinner.stop)
        cameras = [Camera(f"/cam{number + 1}") for number in range(options.cameras)]
        topics = ", ".join(camera.topic for camera in cameras)
        arguments = ["--ros-args", "-p", f"image_topics:=[{topics}]"]
        node = start(executable_command("ast_net_node", arguments), scratch / "node.log")
        stack.callback(node.end, END_SECONDS)
        soak = Soak(options, scratch, observer, random.Random(options.seed), cameras)
        stack.callback(events.end_cameras, soak)
        stack.callback(events.end_subscribers, soak)
        _await(lambda: observer.count_subscribers(cameras[0].topic) > 0, node, "to subscribe to the cameras", stop)
        start_ns = time.time_ns()
        soak.start = time.monotonic()
        samples = _watch(soak, node, stop)
        events.end_subscribers(soak)
        events.end_cameras(soak)
        quiet = time.monotonic() + 2.0  # until the last images are processed; then wait for the node's final counts
        _await(lambda: observer.diagnostics_at > quiet, node, "to publish its diagnostics", stop)
        code = node.end(END_SECONDS)
        return SoakRun(
            minutes=soak.now / 60,
            start=soak.start,
            start_ns=start_ns,
            samples=samples,
            camera_runs=soak.camera_runs,
            observer=observer,
            events=soak.events,
            slowest_service=soak.slowest_service,
            longest_timeout=max(TIMEOUTS),
            exit_code=code,
            log=node.log.read_text(errors="replace"),
        )


def _watch(soak: Soak, node: ChildProcess, stop: StopSignal) -> list[Sample]:
    """Run the events that are due and take a sample every second, until the time is over."""
    seconds, pace = soak.options.minutes * 60, soak.options.pace
    due = {event: soak.random.uniform(0.3, 1.0) * period / pace for event, period in PERIODS.items()}
    process = psutil.Process(node.popen.pid)
    samples: list[Sample] = []
    with tqdm(total=round(seconds), unit="s", desc="soak", mininterval=1.0) as bar:
        while soak.now < seconds and not stop.is_set():
            node.check("by itself")
            events.update_cameras(soak)
            for event, moment in list(due.items()):
                if soak.now >= moment:
                    event(soak)
                    due[event] = soak.now + soak.random.uniform(0.5, 1.5) * PERIODS[event] / pace
            events.end_subscribers(soak, until=soak.now)
            if not samples or soak.now - samples[-1].seconds >= 1.0:
                samples.append(sample(process, soak.now, soak.observer))
                bar.update(round(samples[-1].seconds) - bar.n)
                bar.set_postfix(responses=soak.observer.response_count, memory=f"{samples[-1].memory:.0f} MiB")
            stop.wait(0.05)
    if len(samples) < 10:
        raise SoakError(f"interrupted after {soak.now:.0f} s, too early for a result")
    return samples


def _await(condition: Callable[[], bool], node: ChildProcess, what: str, stop: StopSignal) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        node.check(f"while the soak waited for it {what}")
        if time.monotonic() > deadline or stop.is_set():
            raise SoakError(str(node.failure(f"failed {what}")))
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())

"""Play a recording in real time to a real node, in a child process that has ROS (ros/replay/live_recording.py)."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from ast_net_ros.child_process import running
from ast_net_ros.evaluation.recording_result import read_about

LIVE_MODULE = "ast_net_ros.ros.replay.live_recording"


class LiveError(ValueError):
    """A live run that is not possible or failed; the message names the reason and the fix."""


@dataclass(frozen=True)
class LiveOptions:
    """How a recording is played to a node."""

    topic: str | None = None  # image topic; None takes the only one
    rate: float = 1.0  # playback speed; 2 plays twice as fast, with unchanged stamps
    loops: int = 1  # number of times it is played; estimates are those of the first, metrics those of all
    node_arguments: Sequence[str] = ()  # ROS arguments of the node; see `node_parameters`
    name: str = ""  # name of the recording in its results
    key: str = ""  # key stored in recording.json

    def as_text(self) -> str:
        """Return all of it as JSON, for the child process."""
        return json.dumps(asdict(self))


def node_parameters(values: Mapping[str, bool | int | float | str | Sequence[str]]) -> tuple[str, ...]:
    """Format `{"max_faces": 1}` as ROS arguments that set these parameters."""
    # JSON is valid YAML, which ROS expects here: a string stays a string, also "1" or "true".
    return tuple(part for name, value in values.items() for part in ("-p", f"{name}:={json.dumps(value)}"))


def record_live(
    recording: Path, folder: Path, options: LiveOptions, frames: int | None = None, progress: bool = False
) -> dict:
    """Play a recording to a node and write the node's responses; the folder appears complete or not at all.

    On KeyboardInterrupt the node is ended first. `frames` is the number of frames, for the progress bar. Returns the
    content of recording.json. LiveError: ROS is missing, or the run failed.
    """
    check_ros()
    total = None if frames is None else frames * options.loops
    bar = tqdm(total=total, unit=" frames", desc=f"{recording.name} (live)", disable=None if progress else True)
    # In an empty folder: in a checkout, its ast_net_ros would hide the built one, which has the messages.
    with tempfile.TemporaryDirectory() as empty_folder, tempfile.TemporaryDirectory() as log_folder, bar:
        log = Path(log_folder) / "log"
        with running(
            [sys.executable, "-m", LIVE_MODULE, str(recording.resolve()), str(folder.resolve()), options.as_text()],
            log, "live run",
            40.0,  # s; the process gives the node 15 s, and its threads end in order
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=empty_folder,
            start_new_session=True,  # Ctrl-C on the terminal arrives here, which passes it on once
        ) as child:  # fmt: skip
            assert child.popen.stdout is not None
            _follow(child.popen.stdout, bar)
            code = child.popen.wait()
        if code != 0:
            raise LiveError(f"live run of {recording}: {_reason(log, code)}")
    return read_about(folder)


def check_ros() -> None:
    """Raise LiveError if live mode is not available."""
    missing = [name for name in ("rclpy", "ast_net_ros.msg") if importlib.util.find_spec(name) is None]
    if missing:
        raise LiveError(
            f"live mode needs ROS 2 and this package built in it ({' and '.join(missing)} not found): "
            "source env.sh or the workspace's setup.bash"
        )


def _follow(lines: IO[str], bar: tqdm) -> None:
    """Update the bar until the process closes its output."""
    for line in lines:
        with contextlib.suppress(ValueError):
            bar.update(max(0, json.loads(line).get("sent", bar.n) - bar.n))


def _reason(log: Path, code: int) -> str:
    """Return the process's error message, or else the end of its log."""
    text = log.read_text(errors="replace").strip()
    _, found, message = ("\n" + text).partition("\nerror: ")  # a log with further errors may follow
    return message if found else "\n".join(text.splitlines()[-15:]) or f"exited with code {code}"

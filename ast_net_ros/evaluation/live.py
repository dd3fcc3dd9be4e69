"""Live mode, seen from here, where there is no ROS: the process that plays a recording to a real node.

In: a recording and how to play it. Out: the folder of its results, as of offline mode. What happens in between is told
in ast_net_ros/ros/replay/live_recording.py, which runs as a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from ast_net_ros.child_process import die_with_parent, end_process
from ast_net_ros.evaluation.recording_result import read_about

MODULE = "ast_net_ros.ros.replay.live_recording"
_END_SECONDS = 40.0  # the process gives the node 15 s and the node's threads end in order
_ERROR_LINES = 15


class LiveError(ValueError):
    """A live run that cannot be, or did not end well; the text names the reason and the mend."""


@dataclass(frozen=True)
class LiveOptions:
    """How a recording is played. topic: None takes the only one. rate: 2 plays twice as fast, with the same stamps.

    loops: times that it is played; the estimates are those of the first, the figures those of all. node_arguments: what
    follows `--ros-args` when the node is started; see `node_parameters`. name, key: for recording.json.
    """

    topic: str | None = None
    rate: float = 1.0
    loops: int = 1
    node_arguments: tuple[str, ...] = ()
    name: str = ""
    key: str = ""


def node_parameters(values: Mapping[str, bool | int | float | str | Sequence[str]]) -> tuple[str, ...]:
    """`{"max_faces": 1}` as the arguments that give the node these parameters."""
    # JSON is YAML, which is what these arguments are read as: a text stays a text, also "1" or "true".
    return tuple(part for name, value in values.items() for part in ("-p", f"{name}:={json.dumps(value)}"))


def record_live(
    recording: Path, folder: Path, options: LiveOptions | None = None, frames: int | None = None, progress: bool = False
) -> dict:
    """Play a recording to a node and write what it answers to `folder`, which appears whole or not at all.

    frames: how many the recording has, for the progress bar, which is shown on stderr where that is a terminal.
    Returns the content of recording.json. Raises LiveError. On KeyboardInterrupt the node is ended first.
    """
    options = options or LiveOptions()
    check_ros()
    total = None if frames is None else frames * options.loops
    bar = tqdm(total=total, unit=" frames", desc=f"{recording.name} (live)", disable=None if progress else True)
    # Elsewhere than here, where a checkout's ast_net_ros would hide the built one, which has the messages.
    with tempfile.TemporaryDirectory() as elsewhere, tempfile.TemporaryFile("w+") as errors, bar:
        process = subprocess.Popen(
            die_with_parent(_command(recording, folder, options)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=elsewhere,
            start_new_session=True,  # Ctrl-C on the terminal comes here, and from here once
        )  # fmt: skip
        try:
            assert process.stdout is not None
            _follow(process.stdout, bar)
            code = process.wait()
        finally:
            _end(process)
        if code != 0:
            raise LiveError(f"live run of {recording}: {_reason(errors, code)}")
    return read_about(folder)


def check_ros() -> None:
    """Raise LiveError where live mode cannot be."""
    missing = [name for name in ("rclpy", "ast_net_ros.msg") if importlib.util.find_spec(name) is None]
    if missing:
        raise LiveError(
            f"live mode needs ROS 2 and this package built in it ({' and '.join(missing)} not found): "
            "source env.sh or the workspace's setup.bash"
        )


def _command(recording: Path, folder: Path, options: LiveOptions) -> list[str]:
    topic = [] if options.topic is None else ["--topic", options.topic]
    return [
        sys.executable, "-m", MODULE, str(recording.resolve()), "--output", str(folder.resolve()), *topic,
        "--rate", repr(options.rate), "--loops", str(options.loops), "--name", options.name, "--key", options.key,
        "--ros-args", *_with_absolute_files(options.node_arguments),
    ]  # fmt: skip


def _with_absolute_files(arguments: Sequence[str]) -> list[str]:
    """The node's arguments for a process that runs in another folder."""
    before = ["", *arguments]
    return [str(Path(a).resolve()) if b == "--params-file" else a for b, a in zip(before, arguments)]


def _follow(lines: IO[str], bar: tqdm) -> None:
    """Move the bar until the process closes its output."""
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        bar.update(max(0, said.get("sent", bar.n) - bar.n))


def _end(process: subprocess.Popen[str]) -> None:
    end_process(process, _END_SECONDS)
    if process.stdout is not None:
        process.stdout.close()


def _reason(errors: IO[str], code: int) -> str:
    """What the process said was wrong: its error, or else the end of its output."""
    errors.seek(0)
    text = errors.read().strip()
    _, found, said = ("\n" + text).partition("\nerror: ")  # what follows it may be a log with errors of its own
    return said if found else "\n".join(text.splitlines()[-_ERROR_LINES:]) or f"ended with code {code}"

"""Every code block of the pages is run, parsed, or checked against the commands that exist.

`python` blocks run as programs, `json` and `yaml` blocks are parsed, commands in `bash` blocks must exist with their
options. A mark above a block runs a `bash` block too and prepares files: `<!-- run: WHAT ... -->`, where WHAT is the
name of a video to create, `evaluation` or `study` for results of an evaluation, `media` for the videos of `make media`,
`ros` where processes talk over DDS, and `until-stopped` for programs that run until Ctrl-C. Blocks with `in-order` run
one after another in one folder.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml  # type: ignore[import-untyped]
from pages import ROOT, Block, blocks, docs_tool

from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.ros.parameters import PARAMETERS
from ast_net_ros.vision.video import open_video

reference = docs_tool("reference")
BLOCKS = list(blocks())
LANGUAGES = {"bash", "json", "python", "text", "yaml"}
TIMEOUT = 120.0  # seconds
RUN_SECONDS = 5.0  # how long a program without an end runs


def of(language: str, marked_only: bool = False) -> Any:
    """A parametrization over the blocks of one language."""
    chosen = [block for block in BLOCKS if block.language == language and (block.marked or not marked_only)]
    chosen = [block for block in chosen if not (marked_only and "in-order" in block.wants)]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.id)


def test_every_block_names_a_known_language() -> None:
    assert [block.id for block in BLOCKS if block.language not in LANGUAGES] == []


# Running


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder like a checkout after `make setup`, in which a block may write."""
    for name in ("examples", "env.sh", "tools", "package.xml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def prepare(workplace: Path, block: Block, media: Path) -> None:
    for want in block.wants:
        if want.endswith(".mp4"):
            write_video(workplace / want, media, seconds=3.0 if "ros" in block.wants else 0.6)
        elif want == "evaluation":
            write_results(workplace / "out" / "evaluation")
        elif want == "media":
            (workplace / ".cache").mkdir()
            (workplace / ".cache" / "media").symlink_to(media)
        elif want == "study":
            write_video(workplace / "session1.mp4", media, seconds=0.6)
            (workplace / "session1.csv").write_text("time,valence,arousal\n0,0,0\n1,0.4,0.2\n")
            run("ast_net evaluate session1.mp4 --output out/study --workers 1 --no-thumbnails", workplace)


def write_video(path: Path, media: Path, seconds: float) -> None:
    """Write the first seconds of a video with one face."""
    path.parent.mkdir(exist_ok=True)
    with open_video(media / "single_face.mp4") as video:
        frames = [frame for stamp, frame in video if stamp < seconds]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 24.0, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()


def write_results(folder: Path) -> None:
    """Two short recordings as `ast_net evaluate` leaves them."""
    from ast_net_ros.evaluation.recording_result import RecordingWriter

    folder.joinpath("recordings").mkdir(parents=True)
    for name, valence in (("first", 0.5), ("second", -0.4)):
        with RecordingWriter(folder / "recordings" / name, name, f"{name}.mp4", "", "offline") as writer:
            for index in range(30):
                face = FaceAffect("face_1", (0, 0, 9, 9), valence + 0.01 * index, 0.1, 0.6, (0.125,) * 8, index / 10)
                writer.add(1_000_000_000 + index * 100_000_000, [face])


def environment() -> dict[str, str]:
    """That of a new shell in the checkout, with a ROS domain of its own."""
    from ast_net_ros.ros.runtime.domain import reserve_domain

    given = {"AST_NET_VENV": str(ROOT / ".venv"), "AST_NET_INSTALL_BASE": str(ROOT / "install")}
    return {**given, **os.environ, "ROS_DOMAIN_ID": str(reserve_domain()), "MPLBACKEND": "Agg"}


def run(script: str, folder: Path) -> str:
    """Run a script in a shell that stops at the first failure and leaves no process behind. Returns its output."""
    end = 'code=$?; running=$(jobs -p); [ -z "$running" ] || kill -INT $running; wait; exit $code'
    shell = subprocess.Popen(
        ["bash", "-c", f"set -e\ntrap '{end}' EXIT\n{script}"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        pytest.fail(f"not done after {TIMEOUT:.0f} s:\n{script}\n{shell.communicate()[0][-2000:]}")
    assert shell.returncode == 0 and "Traceback" not in output, f"{script}\n{output[-3000:]}"
    return output


@of("python")
def test_python_block_runs(block: Block, workplace: Path, media: Path) -> None:
    prepare(workplace, block, media)
    (workplace / "block.py").write_text(block.text)
    command = f"{shlex.quote(sys.executable)} block.py"
    if "until-stopped" in block.wants:
        command = f"timeout --signal INT --preserve-status {RUN_SECONDS} {command}"
    run(command, workplace)


@of("bash", marked_only=True)
def test_marked_bash_block_runs(block: Block, workplace: Path, media: Path) -> None:
    prepare(workplace, block, media)
    *lines, last = block.text.strip().splitlines()
    endless = "ros-until-stopped" in block.wants
    if endless:
        last = f"timeout --signal INT --preserve-status {RUN_SECONDS} {last}"
    began = time.monotonic()
    output = run("\n".join([*lines, last]), workplace)
    if endless:
        assert time.monotonic() - began >= RUN_SECONDS, output
    if "ros" in block.wants:
        published = re.findall(r'"published": (\d+)', output)
        assert published and all(int(count) == 40 for count in published), output[-3000:]
    if "evaluation" in block.wants:
        assert (workplace / "out" / "evaluation" / "curves.png").is_file()


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if "in-order" in block.wants}))
def test_blocks_run_in_order(page: str, workplace: Path, media: Path) -> None:
    for block in BLOCKS:
        if block.page == page and "in-order" in block.wants:
            prepare(workplace, block, media)
            run(block.text, workplace)


# Parsing


@of("json")
def test_json_block_parses(block: Block) -> None:
    json.loads(block.text)


@of("yaml")
def test_yaml_block_parses_and_names_parameters(block: Block) -> None:
    names = {spec.name for spec in PARAMETERS} | {"use_sim_time"}
    for node in (yaml.safe_load(block.text) or {}).values():
        given = node.get("ros__parameters", {}) if isinstance(node, dict) else {}
        assert set(given) <= names


@of("bash")
def test_bash_block_is_valid_and_its_commands_exist(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    faults = [fault for words in commands_of(block.text) if words and (fault := fault_of(words))]
    assert not faults


def commands_of(script: str) -> Iterator[list[str]]:
    """Yield the commands of a script as words, with comments and continued lines undone."""
    lines = script.replace("\\\n", " ").splitlines()
    while lines:
        line = lines.pop(0)
        while lines and not _is_whole(line):  # a quoted text may span lines
            line += "\n" + lines.pop(0)
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        for index in [i for i, word in enumerate(words) if word in ("&&", ";", "|", "||", "&")][::-1]:
            yield words[index + 1 :]
            words = words[:index]
        yield words


def _is_whole(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def fault_of(words: list[str]) -> str:
    """Return what is wrong with a command of this project; empty for one of others'."""
    head = words[0].rsplit("/", 1)[-1]
    if head == "ast_net":
        return fault_of_ast_net(words[1:])
    if head == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"make {unknown}" if unknown else ""
    if words[:3] == ["ros2", "run", "ast_net_ros"] or head == "ast_net_run":
        name = words[1] if head == "ast_net_run" else words[3]
        return "" if name in reference.executable_names() else f"no executable {name}"
    if words[:3] == ["ros2", "launch", "ast_net_ros"]:
        return fault_of_launch(words[3], words[4:])
    if head in ("python", "python3") and len(words) > 1 and words[1].endswith(".py"):
        return "" if (ROOT / words[1]).is_file() else f"no file {words[1]}"
    if words[0].startswith("tools/"):
        return "" if (ROOT / words[0]).is_file() else f"no file {words[0]}"
    return ""


def fault_of_launch(name: str, arguments: list[str]) -> str:
    path = ROOT / "launch" / name
    if not path.is_file():
        return f"no launch file {name}"
    included = ROOT / "launch" / "ast_net.launch.py"
    known = set(reference.launch_arguments(path)) | set(reference.launch_arguments(included))
    unknown = [word for word in arguments if ":=" in word and word.partition(":=")[0] not in known]
    return f"{name}: {unknown}" if unknown else ""


def fault_of_ast_net(words: list[str]) -> str:
    commands = reference.commands()
    if not words or words[0].startswith("-"):
        return "" if set(words) <= {"--help", "-h", "--version"} else f"ast_net {words}"
    if words[0] not in commands:
        return f"no command ast_net {words[0]}"
    known = {"--help", "-h"} | {opt for p in commands[words[0]].params for opt in (*p.opts, *p.secondary_opts)}
    given = [word.partition("=")[0] for word in words[1:] if re.fullmatch(r"--?[a-zA-Z][\w-]*(=.*)?", word)]
    unknown = [option for option in given if option not in known]
    return f"ast_net {words[0]}: {unknown}" if unknown else ""

"""Shell blocks in the documentation that are marked to be run, run as they stand.

The mark is a comment above the block: `<!-- run -->`, or `<!-- run: WHAT ... -->`, where WHAT is the name of a video
that is put there first, `evaluation` for the results of an evaluation, `ros` where processes talk over DDS, and
`ros-until-stopped` for a node that has no end of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ast_net_ros.pipeline import FaceAffect

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds


def marked_blocks() -> Iterator[tuple[str, list[str], str]]:
    """(page and number, what the mark asks for, script)."""
    for page in sorted(ROOT.glob("docs/**/*.md")):
        found = re.findall(r"^<!-- run(?:: (.*?))? -->\n```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for number, (wants, script) in enumerate(found, 1):
            yield f"{page.relative_to(ROOT / 'docs')}-{number}", wants.split(), script


BLOCKS = list(marked_blocks())


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like a checkout after make setup, in which a block may write."""
    for name in ("examples", "env.sh", "setup", "package.xml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def prepare(workplace: Path, wants: list[str], media: Path) -> None:
    for want in wants:
        if want.endswith(".mp4"):
            shutil.copy(media / "single_face.mp4", workplace / want)
        elif want == "evaluation":
            write_results(workplace / "out" / "evaluation")


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
    """That of a new shell in the checkout, with a domain of its own for what talks over DDS."""
    from ast_net_ros.ros.runtime.domain import reserve_domain

    return {**os.environ, "ROS_DOMAIN_ID": str(reserve_domain()), "MPLBACKEND": "Agg"}


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script in a shell that stops at the first failure and leaves no process behind."""
    # What was put into the background ends with the shell, as it does when a terminal is closed.
    end = 'code=$?; running=$(jobs -p); [ -z "$running" ] || kill -INT $running; wait; exit $code'
    whole = f"set -e\ntrap '{end}' EXIT\n{script}"
    env = {**environment(), "AST_NET_VENV": str(ROOT / ".venv"), "AST_NET_INSTALL_BASE": str(ROOT / "install")}
    for name in ("AST_NET_VENV", "AST_NET_INSTALL_BASE"):
        env[name] = os.environ.get(name, env[name])
    shell = subprocess.Popen(
        ["bash", "-c", whole],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        output, _ = shell.communicate()
        pytest.fail(f"not done after {PATIENCE:.0f} s:\n{script}\n{output[-2000:]}")
    return subprocess.CompletedProcess(script, shell.returncode, output)


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize(
    "wants, script",
    [pytest.param(wants, script, id=name) for name, wants, script in BLOCKS if "ros-until-stopped" not in wants],
)
def test_a_block_runs_as_it_stands(wants: list[str], script: str, workplace: Path, media: Path) -> None:
    prepare(workplace, wants, media)
    ended = run(script, workplace)
    assert ended.returncode == 0, f"{script}\n{ended.stdout[-3000:]}"
    assert "Traceback" not in ended.stdout
    if "ros" in wants:
        published = re.findall(r'"published": (\d+)', ended.stdout)
        assert published and all(int(count) == 40 for count in published), ended.stdout[-3000:]
    if "evaluation" in wants:
        assert "first: seconds 2.90" in ended.stdout and "mean valence 0.6" in ended.stdout
        assert (workplace / "out" / "evaluation" / "curves.png").is_file()
        assert np.isfinite([float(v) for v in re.findall(r"share above 0.3 (\S+)", ended.stdout)]).all()


@pytest.mark.parametrize(
    "script", [pytest.param(script, id=name) for name, wants, script in BLOCKS if "ros-until-stopped" in wants]
)
def test_a_block_without_an_end_runs_until_it_is_stopped(script: str, workplace: Path) -> None:
    lines = script.strip().splitlines()
    began = time.monotonic()
    ended = run("\n".join([*lines[:-1], f"timeout --signal INT --preserve-status 4 {lines[-1]}"]), workplace)
    assert time.monotonic() - began >= 4, ended.stdout
    assert ended.returncode == 0 and "Traceback" not in ended.stdout, ended.stdout[-2000:]

"""env.sh: what a shell finds after `source env.sh`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in bash, after env.sh."""
    script = f"source {ROOT / 'env.sh'} && {command}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


def test_only_commands_named_after_the_package_are_added() -> None:
    folder = shell("dirname $(command -v ast_net_run)").stdout.strip()
    assert sorted(path.name for path in Path(folder).iterdir()) == ["ast_net", "ast_net_node", "ast_net_run"]
    assert "/lib/ast_net_ros" not in shell("echo $PATH").stdout.replace(os.environ["PATH"], "")


def test_the_dispatcher_lists_what_ros2_run_would_find() -> None:
    listed = shell("ast_net_run")
    assert listed.returncode == 2
    names = listed.stderr.split("one of:")[1].split()
    assert names == ["ast_net", "ast_net_node", "behavior_example", "evaluate_bag", "replay", "viewer"]


@pytest.mark.parametrize("name", ["demo", "../ast_net_ros/bench"])
def test_the_dispatcher_refuses_unknown_names(name: str) -> None:
    run = shell(f"ast_net_run {name}")
    assert run.returncode == 2 and f"no executable '{name}'" in run.stderr


def test_executables_get_their_arguments_and_return_their_code() -> None:
    assert "--topic" in shell("ast_net_run replay --help").stdout
    assert shell("ast_net_run replay --no-such-option").returncode == 2
    assert "annotate" in shell("ast_net --help").stdout


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh: apt-get install zsh")
def test_zsh_can_source_it() -> None:
    run = subprocess.run(
        ["zsh", "-c", f"source {ROOT / 'env.sh'} && ast_net --version"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr

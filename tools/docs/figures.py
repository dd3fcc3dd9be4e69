"""The drawn figures of the documentation, made from what they show.

In: the packaged weights' own configuration, and the import rules that test/test_package.py holds. Out: SVG. A figure
therefore cannot differ from the code: new weights or a new part of the package change it at the next build.
"""

from __future__ import annotations

import ast
import json
import struct
from pathlib import Path
from typing import Any

from drawing import Drawing

ROOT = Path(__file__).resolve().parents[2]

# What each part is for, in a few words.
PURPOSES = {
    "onnx_sessions": "runs graphs, silently",
    "model": "network, weights, recurrent state",
    "vision": "detect, align, track, draw, decode",
    "labels": "rated values, from files",
    "pipeline": "frames in, affect out",
    "training": "both stages, data sets, simulation",
    "benchmark": "speed, as data and as a table",
    "evaluation": "recordings, measures, reports",
    "experiments": "what each part is worth",
    "ros": "node, replay, demo, viewer",
    "cli": "the command ast_net",
}
LIBRARIES = {"torch": "torch", "cv2": "OpenCV", "onnxruntime": "ONNX Rt.", "rclpy": "rclpy"}


def network_sizes() -> dict[str, Any]:
    """The configuration in the header of the packaged weights, read without torch."""
    with (ROOT / "ast_net_ros" / "weights" / "ast_net.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return json.loads(header["__metadata__"]["config"])


def import_rules() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """ALLOWED and RESERVED of test/test_package.py: what each part, and who of the libraries' users, may import."""
    tree = ast.parse((ROOT / "test" / "test_package.py").read_text(encoding="utf-8"))
    names: dict[str, Any] = {"set": set}
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in (
            "ALLOWED",
            "ROS_LIBRARIES",
            "RESERVED",
        ):
            exec(compile(ast.Module([node], []), "test_package.py", "exec"), names)
    return names["ALLOWED"], names["RESERVED"]


def network() -> str:
    """AST-Net: chips through the CNN, their features through time, and what comes out."""
    sizes = network_sizes()
    side, widths, depths = sizes["chip_side"], sizes["widths"], sizes["depths"]
    d = Drawing(960, 462, "AST-Net: a discrete-emotion CNN feeds a stacked LSTM that keeps one state for each face")
    d.box(176, 14, 366, 262, "lane", 12)
    d.text(192, 38, "Discrete-emotion CNN, once for every frame", "head", "start")
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
        (f"{sizes['attributes']} features", "pose and person", "matter little"),
        "accent",
    )
    d.arrow((540, 166), (566, 166))
    d.labelled(744, 120, 190, 92, "eight emotions", ("softmax: what this one", "picture shows, no memory"), "warm")
    d.arrow((678, 166), (744, 166))
    d.arrow((622, 212), (622, 296), (100, 296), (100, 362))
    d.labelled(36, 362, 128, 62, "step's mean", ("of all its frames",), "accent")
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
    """The stages of the CNN as slabs that grow narrower and deeper."""
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
    d.text(359, 265, "residual blocks, then the mean over the picture", "small")


def data_way() -> str:
    """The way of the data, from a camera to a behaviour."""
    d = Drawing(960, 560, "The way of the data from camera to behaviour, with threads and files")
    d.text(24, 28, "Cameras", "head", "start")
    for index, name in enumerate(("camera 1", "camera 2", "camera N")):
        d.labelled(24, 68 + index * 50, 128, 42, name, ("sensor_msgs/Image",), "quiet")
        d.arrow((152, 89 + index * 50), (242, 89 + index * 50))
    d.text(189, 230, "best effort", "small")
    d.box(226, 16, 446, 402, "lane", 12)
    d.text(242, 40, "ast_net_node", "head", "start")
    d.text(242, 58, "executor's thread: only puts images down", "small", "start")
    for index in range(3):
        d.labelled(242, 68 + index * 50, 158, 42, "slot of one", ("a newer image replaces",), "plain")
        d.arrow((400, 89 + index * 50), (436, 89 + index * 50), (436, 139), (470, 139))
    d.labelled(470, 95, 186, 88, "newest of each", ("of all cameras", "as one batch", "ros/camera.py"), "accent")
    d.text(318, 236, "estimation's thread", "small", "start")
    d.arrow((563, 183), (563, 222), (306, 222), (306, 250))
    steps = (
        ("decode", "any encoding to BGR", "image_message.py"),
        ("detect", "faces, five landmarks", "vision/detection.py"),
        ("align", "the one crop", "vision/alignment.py"),
        ("track", "who is who", "vision/tracking.py"),
        ("encode", "all faces in one pass", "model/runtime.py"),
        ("step", "each face's own state", "model/temporal.py"),
    )
    for index, (name, what, where) in enumerate(steps):
        row, column = divmod(index, 3)
        x, y = 234 + column * 145, 250 + row * 86
        d.labelled(x, y, 140, 68, name, (what, where), "cool")
        if column < 2:
            d.line((x + 140, y + 34), (x + 145, y + 34))
    d.arrow((594, 318), (594, 327), (304, 327), (304, 336))
    d.arrow((664, 370), (716, 370), (716, 70), (740, 70))
    outputs = (
        ("~/faces", "one for every image"),
        ("~/valence_arousal", "the largest face"),
        ("~/debug_image", "while somebody looks"),
        ("/diagnostics", "once a second"),
    )
    for index, (topic, what) in enumerate(outputs):
        d.labelled(740, 44 + index * 64, 196, 52, topic, (what,), "warm")
        if index:
            d.arrow((716, 70 + index * 64), (740, 70 + index * 64))
    d.text(838, 28, "Topics, the image's stamp", "head")
    d.arrow((936, 70), (950, 70), (950, 470), (890, 470))
    d.labelled(740, 440, 150, 60, "behaviour", ("ros/behavior_example.py",), "accent")
    d.arrow((740, 470), (676, 470))
    d.labelled(470, 440, 206, 60, "robot's act", ("ask, slow down, step back",), "quiet")
    d.box(24, 430, 376, 114, "lane", 12)
    d.text(40, 454, "Without ROS, the same pipeline", "head", "start")
    d.labelled(40, 466, 160, 60, "video, bag", ("vision/video.py",), "quiet")
    d.labelled(226, 466, 160, 60, "AffectPipeline", ("pipeline.py",), "cool")
    d.arrow((200, 496), (226, 496))
    return d.svg()


def modules() -> str:
    """The parts of the package as a table: a dot where a row may import a column."""
    allowed, reserved = import_rules()
    order = _from_the_ground_up(allowed)
    imported = [part for part in order if any(part in others for others in allowed.values())]
    row_height, column_width, left, top = 40, 62, 372, 84
    columns = [*imported, *LIBRARIES]
    edge = left + column_width * len(imported)
    width, height = edge + column_width * len(LIBRARIES) + 22, top + row_height * len(order) + 14
    d = Drawing(width, height, "Which part may import which")
    d.box(left - 4, 8, edge - left + 4, height - 16, "lane", 10)
    d.box(edge + 6, 8, column_width * len(LIBRARIES), height - 16, "lane", 10)
    d.text(left + 8, 28, "may import the part", "small", "start")
    d.text(edge + 16, 28, "may import the library", "small", "start")
    centres = [left + (i + 0.5) * column_width + (6 if i >= len(imported) else -2) for i in range(len(columns))]
    for index, (x, column) in enumerate(zip(centres, columns)):
        d.text(x, 56 if index % 2 else 72, LIBRARIES.get(column, column), "code")
    for index, part in enumerate(reversed(order)):
        y = top + index * row_height
        d.labelled(16, y, 132, row_height - 8, part, (), "accent" if part in ("cli", "ros") else "cool")
        d.text(160, y + 21, PURPOSES.get(part, ""), "small", "start")
        for x, column in zip(centres, columns):
            of_library = column in LIBRARIES
            yes = part in reserved.get(column, set()) if of_library else column in allowed[part]
            d.circle(x, y + 16, 7 if yes else 2, ("warm-dot" if of_library else "dot") if yes else "no-dot")
    return d.svg()


def _from_the_ground_up(allowed: dict[str, set[str]]) -> list[str]:
    """The parts so that each stands after all that it may import."""
    order: list[str] = []
    while len(order) < len(allowed):
        ready = [part for part in allowed if part not in order and allowed[part] <= set(order)]
        if not ready:
            raise ValueError(
                f"test/test_package.py: the parts {set(allowed) - set(order)} import each other in a circle"
            )
        order += sorted(ready, key=lambda part: (part == "cli", list(PURPOSES).index(part) if part in PURPOSES else 0))
    return order


FIGURES = {"network": network, "data_way": data_way, "modules": modules}

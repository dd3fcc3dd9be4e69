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

# What each part is for, in the order from the ground up. A part that is not named here is put on top without a line.
PURPOSES = {
    "model": "network, weights, recurrent state",
    "vision": "detect, align, track, draw, decode",
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
    d = Drawing(960, 452, "AST-Net: a discrete-emotion CNN feeds a stacked LSTM that keeps one state for each face")
    d.box(176, 34, 366, 252, "lane", 12)
    d.text(192, 58, "Discrete-emotion CNN, once for every frame", "head", "start")
    d.box(176, 306, 766, 136, "lane", 12)
    d.text(192, 330, f"Stacked LSTM, one step every {sizes['step_seconds']:g} s of image time", "head", "start")
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
    d.arrow((622, 212), (622, 268), (108, 268), (108, 352))
    d.labelled(36, 352, 128, 62, "mean of the step", ("all frames in it",), "accent")
    d.arrow((164, 383), (206, 383))
    x = 206.0
    for layer in range(sizes["layers"]):
        d.labelled(x, 352, 128, 62, f"LSTM {layer + 1}", (f"{sizes['hidden']} units",), "cool")
        d.curve(f"M{x + 96:g},414 C{x + 100:g},438 {x + 28:g},438 {x + 32:g},416")
        d.arrow((x + 128, 383), (x + 166, 383))
        x += 166
    d.labelled(x, 352, 176, 62, "valence, arousal", ("tanh: each in [-1, 1]",), "plain")
    d.labelled(x + 206, 352, 176, 62, "confidence", ("both within 0.25, by sigma",), "plain")
    d.arrow((x + 176, 383), (x + 206, 383))
    return d.svg()


def _stages(d: Drawing, side: int, widths: list[int], depths: list[int]) -> None:
    """The stages of the CNN as slabs that grow narrower and deeper."""
    pixels = side // 2
    room = 340 / len(widths)
    d.arrow((132, 166), (190, 166))
    for stage, (width, depth) in enumerate(zip(widths, depths)):
        if stage:
            pixels = -(-pixels // 2)
        height = 44 + 96 * pixels / (side // 2)
        x = 194 + stage * room
        for index in range(depth):
            d.box(x + index * 13, 166 - height / 2, 26, height, "cool", 5)
        d.text(x + 26, 166 + height / 2 + 17, f"{width} ch.", "small")
        d.text(x + 26, 166 - height / 2 - 8, f"{pixels} x {pixels}", "small")
    d.text(359, 276 - 2, "residual blocks with squeeze-excitation, then the mean over the picture", "small")


def data_way() -> str:
    """The way of the data, from a camera to a behaviour."""
    d = Drawing(960, 560, "The way of the data from camera to behaviour, with threads and files")
    d.text(24, 28, "Cameras", "head", "start")
    for index, name in enumerate(("camera 1", "camera 2", "camera N")):
        d.labelled(24, 44 + index * 62, 128, 48, name, ("sensor_msgs/Image",), "quiet")
        d.arrow((152, 68 + index * 62), (226, 68 + index * 62))
    d.text(189, 216, "best effort", "small")
    d.box(226, 16, 446, 398, "lane", 12)
    d.text(242, 40, "ast_net_node", "head", "start")
    d.text(242, 60, "executor's thread: never works, only puts down", "small", "start")
    for index in range(3):
        d.labelled(242, 70 + index * 62 - 18, 158, 44, "slot of one", ("a newer image replaces",), "plain")
        d.arrow((400, 74 + index * 62), (444, 74 + index * 62), (444, 136), (470, 136))
    d.labelled(470, 92, 186, 88, "newest of every camera", ("taken together:", "one batch", "ros/camera.py"), "accent")
    d.text(242, 226, "estimation's thread", "small", "start")
    d.arrow((563, 180), (563, 208), (296, 208), (296, 240))
    steps = (
        ("decode", "any encoding to BGR", "vision/image_message.py"),
        ("detect", "faces, five landmarks", "vision/detection.py"),
        ("align", "the one crop", "vision/alignment.py"),
        ("track", "who is who", "vision/tracking.py"),
        ("encode", "all faces in one pass", "model/runtime.py"),
        ("step", "each face's own state", "model/temporal.py"),
    )
    for index, (name, what, where) in enumerate(steps):
        row, column = divmod(index, 3)
        x, y = 242 + column * 144, 240 + row * 86
        d.labelled(x, y, 128, 68, name, (what, where), "cool")
        if column < 2:
            d.arrow((x + 128, y + 34), (x + 144, y + 34))
    d.arrow((594, 308), (594, 317), (306, 317), (306, 326))
    d.arrow((658, 360), (716, 360), (716, 70), (740, 70))
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
    d.text(838, 28, "Topics, with the image's own stamp", "head")
    d.arrow((936, 70), (950, 70), (950, 470), (890, 470))
    d.labelled(740, 440, 150, 60, "behaviour", ("ros/behavior_example.py",), "accent")
    d.arrow((740, 470), (676, 470))
    d.labelled(470, 440, 206, 60, "robot's act", ("ask, slow down, step back",), "quiet")
    d.box(24, 430, 376, 114, "lane", 12)
    d.text(40, 454, "Without ROS, the same pipeline", "head", "start")
    d.labelled(40, 466, 160, 60, "video, webcam, bag", ("vision/video.py",), "quiet")
    d.labelled(226, 466, 160, 60, "AffectPipeline", ("pipeline.py",), "cool")
    d.arrow((200, 496), (226, 496))
    return d.svg()


def modules() -> str:
    """The parts of the package as a table: a dot where a row may import a column."""
    allowed, reserved = import_rules()
    order = [part for part in PURPOSES if part in allowed] + [part for part in allowed if part not in PURPOSES]
    row_height, column_width, left, top = 40, 62, 372, 96
    columns = [*order[:-1], *LIBRARIES]
    d = Drawing(
        left + column_width * len(columns) + 22, top + row_height * len(order) + 18, "Which part may import which"
    )
    d.box(left - 4, 12, column_width * (len(order) - 1) + 4, d.height - 24, "lane", 10)
    d.box(left + column_width * (len(order) - 1) + 6, 12, column_width * len(LIBRARIES), d.height - 24, "lane", 10)
    d.text(left + 8, 34, "may import the part", "small", "start")
    d.text(left + column_width * (len(order) - 1) + 16, 34, "may import the library", "small", "start")
    for index, column in enumerate(columns):
        of_library = index >= len(order) - 1
        x = left + (index + 0.5) * column_width + (6 if of_library else -2)
        d.text(x, 62 if index % 2 or of_library else 80, LIBRARIES.get(column, column), "code")
    for index, part in enumerate(reversed(order)):
        y = top + index * row_height
        d.labelled(16, y, 132, row_height - 8, part, (), "accent" if part in ("cli", "ros") else "cool")
        d.text(160, y + 21, PURPOSES.get(part, ""), "small", "start")
        for position, column in enumerate(columns):
            of_library = column in LIBRARIES
            x = left + (position + 0.5) * column_width + (6 if of_library else -2)
            yes = part in reserved.get(column, set()) if of_library else column in allowed[part]
            d.circle(x, y + 16, 7 if yes else 2, ("warm-dot" if of_library else "dot") if yes else "no-dot")
    return d.svg()


FIGURES = {"network": network, "data_way": data_way, "modules": modules}

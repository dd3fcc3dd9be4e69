"""The table of the parameters of `ast_net_node`: names, defaults, ranges, meanings. Nothing but the values.

In: nothing. Out: `PARAMETERS`, of which ast_net_ros.ros.parameters makes everything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union

Value = Union[bool, int, float, str, "list[str]"]


class Change(Enum):
    """When a new value is accepted."""

    LIVE = "live, from the next frame"
    UNCONFIGURED = "while unconfigured"
    START = "read-only, at start"


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its type is that of its default; `low` and `high` are inclusive; `check` returns what is wrong."""

    name: str
    default: Value
    description: str
    change: Change
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None

    @property
    def type_name(self) -> str:
        kinds = {bool: "bool", int: "integer", float: "double", str: "string", list: "string array"}
        return kinds[type(self.default)]

    @property
    def allowed(self) -> str:
        """The allowed values in words, empty when every value of the type is."""
        if self.low is not None and self.high is not None:
            return f"{_number(self.low)} to {_number(self.high)}"
        return ", ".join(self.choices)


def _check_device(value: str) -> str | None:
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        return None
    return "use auto, cpu, cuda or cuda:N"


_TOPIC_PATTERN = r"(~/|/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*"


def _check_topics(value: list[str]) -> str | None:
    for index, topic in enumerate(value):
        if topic and not re.fullmatch(_TOPIC_PATTERN, topic):
            return f"entry {index} '{topic}' is no topic name; use letters, digits, _ and /, as in /front/image_raw"
    return None


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        "autostart", True, "Configure and activate at start; false leaves it to a lifecycle manager.", Change.START
    ),
    ParameterSpec(
        "weights", "", "Path of the weights (.safetensors); empty takes the packaged ones.", Change.UNCONFIGURED
    ),
    ParameterSpec(
        "device",
        "auto",
        "Where the network runs: auto (the first GPU, else the CPU), cpu, cuda or cuda:N.",
        Change.UNCONFIGURED,
        check=_check_device,
    ),
    ParameterSpec(
        "precision",
        "auto",
        "Arithmetic of the CNN: auto (float32), float32, bfloat16, or float16 (GPU only); the LSTM runs in float32.",
        Change.UNCONFIGURED,
        choices=("auto", "float32", "bfloat16", "float16"),
    ),
    ParameterSpec(
        "runtime",
        "auto",
        "What computes the CNN: auto (onnxruntime on a CPU in float32 where the package onnx is installed, else "
        "torch), torch, or onnxruntime; their results differ by rounding alone.",
        Change.UNCONFIGURED,
        choices=("auto", "torch", "onnxruntime"),
    ),
    ParameterSpec(
        "image_topics",
        [""],
        "Image topics beside `image`, raw or compressed; empty entries are passed over.",
        Change.UNCONFIGURED,
        check=_check_topics,
    ),
    ParameterSpec(
        "face_source",
        "detector",
        "Where faces come from: detector (found in the image topics), or hri (the single-face pictures of another "
        "ROS4HRI detector, under its ids; the image topics are not used).",
        Change.UNCONFIGURED,
        choices=("detector", "hri"),
    ),
    ParameterSpec(
        "hri",
        False,
        "Publish under `/humans/faces` as REP-155 (ROS4HRI) describes; needs the package hri_msgs.",
        Change.UNCONFIGURED,
    ),
    ParameterSpec(
        "qos_reliability",
        "best_effort",
        "Reliability asked of image publishers; best_effort accepts every publisher.",
        Change.UNCONFIGURED,
        choices=("best_effort", "reliable"),
    ),
    ParameterSpec(
        "qos_depth",
        1,
        "Images that the middleware keeps for each camera; more than 1 only delays the newest.",
        Change.UNCONFIGURED,
        unit="images",
        low=1,
        high=100,
    ),
    ParameterSpec(
        "detector_input_size",
        320,
        "The image is reduced to this longer side before faces are looked for; more finds smaller faces, at a "
        "cost that grows with its square.",
        Change.UNCONFIGURED,
        unit="pixels",
        low=64,
        high=4096,
    ),
    ParameterSpec(
        "score_threshold",
        0.7,
        "Faces that the detector is less certain of are left out.",
        Change.LIVE,
        low=0.0,
        high=1.0,
    ),
    ParameterSpec(
        "max_faces", 16, "The largest faces of an image that are followed.", Change.LIVE, unit="faces", low=1, high=256
    ),
    ParameterSpec(
        "min_face_pixels",
        24.0,
        "Faces less wide than this in the input image are left out.",
        Change.LIVE,
        unit="pixels",
        low=1.0,
        high=10000.0,
    ),
    ParameterSpec(
        "max_image_pixels",
        64_000_000,
        "Images of more pixels (width x height) are dropped and counted as bad before memory is taken for them.",
        Change.LIVE,
        unit="pixels",
        low=1,
        high=1_000_000_000,
    ),
    ParameterSpec(
        "track_timeout",
        1.0,
        "Unseen for longer than this, a face's track and state end.",
        Change.LIVE,
        unit="s",
        low=0.05,
        high=60.0,
    ),
    ParameterSpec(
        "max_time_gap",
        5.0,
        "Stamps that leap forward by more, or backward at all, begin every state of that camera anew.",
        Change.LIVE,
        unit="s",
        low=0.1,
        high=3600.0,
    ),
    ParameterSpec(
        "detection_interval",
        0.2,
        "Time between two detections; faces are followed by the picture's motion in between. 0 detects in every image.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=10.0,
    ),
    ParameterSpec(
        "smoothing_time_constant",
        0.0,
        "Time constant of an exponential filter over valence and arousal; 0 leaves them as estimated.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=60.0,
    ),
    ParameterSpec("debug_image", True, "Draw `~/debug_image` while somebody subscribes to it.", Change.LIVE),
    ParameterSpec(
        "no_image_timeout",
        5.0,
        "A camera without a publisher or an image for this long is reported.",
        Change.LIVE,
        unit="s",
        low=0.5,
        high=3600.0,
    ),
    ParameterSpec(
        "latency_warning",
        0.2,
        "Diagnostics say WARN when the 95th percentile of receipt-to-publish latency exceeds this.",
        Change.LIVE,
        unit="s",
        low=0.001,
        high=60.0,
    ),
    ParameterSpec(
        "latency_error",
        1.0,
        "Diagnostics say ERROR when the 95th percentile of receipt-to-publish latency exceeds this.",
        Change.LIVE,
        unit="s",
        low=0.001,
        high=60.0,
    ),
    ParameterSpec(
        "dropped_warning",
        0.5,
        "Diagnostics say WARN when more than this fraction of a camera's images come too fast to be processed.",
        Change.LIVE,
        low=0.0,
        high=1.0,
    ),
    ParameterSpec(
        "max_consecutive_failures",
        30,
        "After this many failed batches in a row the node gives up: ERROR in the diagnostics, the lifecycle's error "
        "processing, then unconfigured, from where it can be configured again. 0 never gives up.",
        Change.LIVE,
        unit="batches",
        low=0,
        high=100000,
    ),
)

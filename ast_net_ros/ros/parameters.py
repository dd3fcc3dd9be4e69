"""The parameters of `ast_net_node`: one table from which everything about them is made.

Out of the table come the declarations with ranges and descriptions, the checks of new values, the
pipeline's settings, `config/ast_net.yaml` and the table in the documentation. Importing this module
needs no ROS, so that `python -m ast_net_ros.ros.parameters --yaml` (or `--markdown`) works anywhere.
"""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from rclpy.node import Node

    from ast_net_ros.pipeline import PipelineSettings

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
        "detection_size",
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
        "track_timeout",
        1.0,
        "Unseen for longer than this, a face's track and state end.",
        Change.LIVE,
        unit="s",
        low=0.05,
        high=60.0,
    ),
    ParameterSpec(
        "time_jump",
        5.0,
        "Stamps that leap forward by more, or backward at all, begin every state of that camera anew.",
        Change.LIVE,
        unit="s",
        low=0.1,
        high=3600.0,
    ),
    ParameterSpec(
        "detection_interval",
        0.0,
        "Time between two detections; faces are followed by the picture's motion in between. 0 detects in every image.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=10.0,
    ),
    ParameterSpec(
        "smoothing",
        0.0,
        "Time constant of an exponential filter over valence and arousal; 0 leaves them as estimated.",
        Change.LIVE,
        unit="s",
        low=0.0,
        high=60.0,
    ),
    ParameterSpec("debug_image", True, "Draw `~/debug_image` while somebody subscribes to it.", Change.LIVE),
    ParameterSpec(
        "silence_warning",
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
)

_BY_NAME = {spec.name: spec for spec in PARAMETERS}


def refusal(name: str, value: object) -> str | None:
    """Why `value` cannot be the value of parameter `name`; None when it can. Names of others' parameters pass."""
    spec = _BY_NAME.get(name)
    if spec is None:
        return None
    wrong = _wrong_type(spec, value) or _out_of_range(spec, value) or (spec.check(value) if spec.check else None)
    return f"parameter {name} = {value!r}: {wrong}" if wrong else None


def _wrong_type(spec: ParameterSpec, value: object) -> str | None:
    if isinstance(spec.default, list):
        fits = isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
    else:
        fits = type(value) is type(spec.default)
    example = " (write 2.0, not 2)" if isinstance(spec.default, float) and type(value) is int else ""
    return None if fits else f"wanted a {spec.type_name}{example}"


def _out_of_range(spec: ParameterSpec, value: Any) -> str | None:
    if spec.choices and value not in spec.choices:
        return f"use one of {spec.allowed}"
    if spec.low is not None and spec.high is not None and not spec.low <= value <= spec.high:  # NaN fails this too
        return f"use {spec.allowed}{' ' + spec.unit if spec.unit else ''}"
    return None


def late_change_refusal(name: str, unconfigured: bool) -> str | None:
    """Why parameter `name` cannot change in the node's present lifecycle state; None when it can."""
    spec = _BY_NAME.get(name)
    if spec is None or spec.change is Change.LIVE or (spec.change is Change.UNCONFIGURED and unconfigured):
        return None
    if spec.change is Change.START:
        return f"parameter {name}: takes effect only at start; give it with --ros-args -p {name}:=VALUE"
    return f"parameter {name}: changes only {spec.change.value}; deactivate and clean up the node first"


def declare_parameters(node: Node) -> dict[str, Any]:
    """Declare the whole table on `node` and return the values, start-time overrides included.

    Raises ValueError naming parameter, value and mend for an override that cannot be.
    """
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    values: dict[str, Any] = {}
    for spec in PARAMETERS:
        try:
            value = node.declare_parameter(spec.name, spec.default, _descriptor(spec)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            given = start_time_overrides(node).get(spec.name)
            raise ValueError(refusal(spec.name, given) or f"parameter {spec.name} = {given!r}: {error}") from error
        value = list(value) if isinstance(spec.default, list) else value
        wrong = refusal(spec.name, value)
        if wrong:
            raise ValueError(wrong)
        values[spec.name] = value
    return values


def _descriptor(spec: ParameterSpec) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    unit = f" Unit: {spec.unit}." if spec.unit else ""
    descriptor = ParameterDescriptor(
        name=spec.name,
        description=f"{spec.description}{unit} Changes: {spec.change.value}.",
        additional_constraints=spec.allowed,
        read_only=spec.change is Change.START,
    )
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=spec.low, to_value=spec.high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)]
    return descriptor


def start_time_overrides(node: Node) -> dict[str, Any]:
    """Every parameter value given to `node` at start, declared or not."""
    overrides = getattr(node, "_parameter_overrides", {})  # rclpy shows them in no public way
    return {name: parameter.value for name, parameter in overrides.items()}


def unknown_overrides(node: Node) -> list[str]:
    """A warning for every parameter given at start that the node does not have, with the nearest name that it has."""
    warnings = []
    for name in start_time_overrides(node):
        if node.has_parameter(name) or name.startswith(("qos_overrides.", "use_sim_time", "start_type_description")):
            continue
        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        warnings.append(f"parameter {name}: unknown, it has no effect{hint}")
    return warnings


def pipeline_settings(values: Mapping[str, Any]) -> PipelineSettings:
    """The pipeline's settings among the parameter values."""
    from ast_net_ros.pipeline import PipelineSettings  # here, as it brings torch

    names = [field.name for field in fields(PipelineSettings)]
    return PipelineSettings(**{name: values[name] for name in names})


def render_yaml(specs: Iterable[ParameterSpec] = PARAMETERS) -> str:
    """The complete default configuration, commented, as a ROS 2 parameter file."""
    lines = [
        "# Every parameter of ast_net_node with its default value.",
        "# Made by: python -m ast_net_ros.ros.parameters --yaml > config/ast_net.yaml",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in specs:
        unit = f" Unit: {spec.unit}." if spec.unit else ""
        allowed = f" Allowed: {spec.allowed}." if spec.allowed else ""
        lines += [
            f"    # {spec.description}",
            f"    #{unit}{allowed} Changes: {spec.change.value}.",
            f"    {spec.name}: {_yaml_value(spec.default)}",
        ]
    return "\n".join(lines) + "\n"


def render_markdown(specs: Iterable[ParameterSpec] = PARAMETERS) -> str:
    """The parameters as a Markdown table."""
    lines = ["| parameter | type | default | allowed | unit | changes | meaning |", "|---|---|---|---|---|---|---|"]
    for spec in specs:
        cells = [f"`{spec.name}`", spec.type_name, f"`{_yaml_value(spec.default)}`", spec.allowed, spec.unit]
        cells += [spec.change.value, spec.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _yaml_value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(f'"{entry}"' for entry in value) + "]"
    return repr(value)


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def main() -> None:
    """Print the parameters in the form that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m ast_net_ros.ros.parameters", description=main.__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="the default configuration file")
    form.add_argument("--markdown", action="store_true", help="the table of the documentation")
    arguments = parser.parse_args()
    print(render_yaml() if arguments.yaml else render_markdown(), end="")


if __name__ == "__main__":
    main()

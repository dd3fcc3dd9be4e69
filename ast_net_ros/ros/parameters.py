"""The parameters of `ast_net_node`: declaration, validation, configuration file and documentation table.

Importing this module needs no ROS: `python -m ast_net_ros.ros.parameters --yaml` (or `--markdown`) works anywhere.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ast_net_ros.ros.parameter_table import PARAMETERS, RENAMED, Change, ParameterSpec
from ast_net_ros.settings import PipelineSettings, from_values

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.parameter import Parameter

_BY_NAME = {spec.name: spec for spec in PARAMETERS}
_DECLARED_BY_RCLPY = ("qos_overrides.", "use_sim_time", "start_type_description")

# Validation


def value_error(name: str, value: object) -> str | None:
    """Return why `value` is invalid for parameter `name`; None when it is valid or `name` is unknown."""
    spec = _BY_NAME.get(name)
    if spec is None:
        return None
    reason = _wrong_type(spec, value) or _out_of_range(spec, value) or (spec.check(value) if spec.check else None)
    return f"parameter {name} = {value!r}: {reason}" if reason else None


def change_error(name: str, unconfigured: bool) -> str | None:
    """Return why parameter `name` cannot change in the present lifecycle state; None when it can."""
    spec = _BY_NAME.get(name)
    if spec is None or spec.change is Change.LIVE or (spec.change is Change.UNCONFIGURED and unconfigured):
        return None
    if spec.change is Change.START:
        return f"parameter {name}: read-only; set it at start with --ros-args -p {name}:=VALUE"
    return f"parameter {name}: changes only while unconfigured; deactivate and clean up the node first"


def _normalised(name: str, value: Any) -> Any:
    """Return `value` in the type of parameter `name`: a whole number as a double, an empty array as [""]."""
    default = _BY_NAME[name].default if name in _BY_NAME else None
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, list) and isinstance(value, (list, tuple)):
        return list(value) or [""]
    return value


def normalised_parameters(parameters: Iterable[Parameter]) -> tuple[list[Parameter], list[str]]:
    """Return parameters with present names and types, and a warning for each former name."""
    from rclpy.parameter import Parameter

    results, warnings = [], []
    for parameter in parameters:
        name = RENAMED.get(parameter.name, parameter.name)
        if name != parameter.name:
            warnings.append(_renamed_warning(parameter.name))
        value = _normalised(name, parameter.value)
        changed = name != parameter.name or type(value) is not type(parameter.value)
        results.append(Parameter(name, value=value) if changed else parameter)
    return results, warnings


def _wrong_type(spec: ParameterSpec, value: object) -> str | None:
    if isinstance(spec.default, list):
        fits = isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
    else:
        fits = type(value) is type(spec.default)
    article = "an" if spec.type_name[0] in "aeiou" else "a"
    return None if fits else f"expected {article} {spec.type_name}"


def _out_of_range(spec: ParameterSpec, value: Any) -> str | None:
    if spec.choices and value not in spec.choices:
        return f"use one of {spec.allowed}"
    if spec.low is not None and spec.high is not None and not spec.low <= value <= spec.high:  # also rejects NaN
        return f"use {spec.allowed}{' ' + spec.unit if spec.unit else ''}"
    return None


def _renamed_warning(name: str) -> str:
    return f"parameter {name} was renamed: use {RENAMED[name]}; the next release will not accept the old name"


# Declaration


def declare_parameters(node: Node) -> tuple[dict[str, Any], list[str]]:
    """Declare all parameters on `node`.

    Returns:
        The values, and warnings about former and unknown names.

    Raises:
        ValueError: A value given at start is invalid; the message names parameter, value and fix.
    """
    given = start_overrides(node)
    warnings = [_renamed_warning(name) for name in given if name in RENAMED]
    for former, name in RENAMED.items():
        if former in given:
            given.setdefault(name, given[former])
    values: dict[str, Any] = {}
    for spec in PARAMETERS:
        value = _normalised(spec.name, given.get(spec.name, spec.default))
        if reason := value_error(spec.name, value):
            raise ValueError(reason)
        node.declare_parameter(spec.name, value, _descriptor(spec), ignore_override=True)
        values[spec.name] = value
    for name in given:
        if not (node.has_parameter(name) or name in RENAMED or name.startswith(_DECLARED_BY_RCLPY)):
            close = difflib.get_close_matches(name, _BY_NAME, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"parameter {name} is unknown and has no effect{hint}")
    return values, warnings


def start_overrides(node: Node) -> dict[str, Any]:
    """Return all parameter values given to `node` at start, declared or not."""
    overrides = getattr(node, "_parameter_overrides", {})  # rclpy has no public access to them
    return {name: parameter.value for name, parameter in overrides.items()}


def pipeline_settings(values: Mapping[str, Any]) -> PipelineSettings:
    """Return the parameter values that are settings of the pipeline."""
    return from_values(PipelineSettings, values)


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
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)]
    return descriptor


# Configuration file and documentation


def render_yaml() -> str:
    """Return the default configuration as a commented ROS 2 parameter file."""
    lines = [
        "# All parameters of ast_net_node with their default values.",
        "# Generated by: python -m ast_net_ros.ros.parameters --yaml > config/ast_net.yaml",
        "/**:",
        "  ros__parameters:",
    ]
    for spec in PARAMETERS:
        unit = f" Unit: {spec.unit}." if spec.unit else ""
        allowed = f" Allowed: {spec.allowed}." if spec.allowed else ""
        lines.append(f"    # {spec.description}\n    #{unit}{allowed} Changes: {spec.change.value}.")
        lines.append(f"    {spec.name}: {json.dumps(spec.default)}")  # JSON is YAML
    return "\n".join(lines) + "\n"


def render_markdown() -> str:
    """Return the parameters as a Markdown table."""
    lines = ["| parameter | type | default | allowed | unit | changes | meaning |", "|---|---|---|---|---|---|---|"]
    for spec in PARAMETERS:
        cells = [f"`{spec.name}`", spec.type_name, f"`{json.dumps(spec.default)}`", spec.allowed, spec.unit]
        cells += [spec.change.value, spec.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the parameters as a configuration file or as a table."""
    parser = argparse.ArgumentParser(prog="python -m ast_net_ros.ros.parameters", description=main.__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="print the default configuration file")
    form.add_argument("--markdown", action="store_true", help="print the table for the documentation")
    arguments = parser.parse_args()
    print(render_yaml() if arguments.yaml else render_markdown(), end="")


if __name__ == "__main__":
    main()

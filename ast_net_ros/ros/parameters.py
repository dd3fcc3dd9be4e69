"""The parameters of `ast_net_node`: everything about them is made from one table.

Out of the table in ast_net_ros.ros.parameter_table come the declarations with ranges and descriptions, the
checks of new values, the pipeline's settings, `config/ast_net.yaml` and the table in the documentation. Importing
this module needs no ROS, so that `python -m ast_net_ros.ros.parameters --yaml` (or `--markdown`) works anywhere.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ast_net_ros.ros.parameter_table import PARAMETERS, Change, ParameterSpec, Value

if TYPE_CHECKING:
    from rclpy.node import Node

    from ast_net_ros.pipeline import PipelineSettings

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

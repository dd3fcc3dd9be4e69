"""The parameter table: defaults, validation, declaration, former names, and loading the node's own dump."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter

from ast_net_ros.cli import ast_net
from ast_net_ros.model import load_model
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.parameter_table import PARAMETERS, RENAMED
from ast_net_ros.ros.parameters import (
    change_error,
    declare_parameters,
    pipeline_settings,
    render_markdown,
    render_yaml,
    value_error,
)
from ast_net_ros.settings import ModelSettings, PipelineSettings

ROOT = Path(__file__).parents[2]
DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}


def test_the_configuration_file_is_up_to_date() -> None:
    written = (ROOT / "config" / "ast_net.yaml").read_text(encoding="utf-8")
    assert written == render_yaml(), "run: python -m ast_net_ros.ros.parameters --yaml > config/ast_net.yaml"
    assert yaml.safe_load(written) == {"/**": {"ros__parameters": DEFAULTS}}


def test_every_parameter_is_documented() -> None:
    rows = render_markdown().splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows] == list(DEFAULTS)


def test_every_default_is_valid() -> None:
    assert [error for name, value in DEFAULTS.items() if (error := value_error(name, value))] == []


@pytest.mark.parametrize("name", [field.name for field in fields(PipelineSettings)])
def test_node_library_and_evaluation_share_pipeline_defaults(name: str) -> None:
    default = getattr(PipelineSettings(), name)
    assert DEFAULTS[name] == default
    assert getattr(pipeline_settings(DEFAULTS), name) == default
    assert inspect.signature(AffectPipeline).parameters["settings"].default is None


@pytest.mark.parametrize("command", ["annotate", "evaluate"])
def test_command_line_and_node_share_defaults(command: str) -> None:
    settings = {**vars(ModelSettings()), **vars(PipelineSettings())}
    found = ast_net.get_command(click.Context(ast_net), command)
    assert found is not None
    options = {option.name: option.default for option in found.params if option.name in settings}
    assert {"device", "max_faces", "score_threshold", "detection_interval", "smoothing_time_constant"} <= set(options)
    assert options == {name: settings[name] for name in options}


@pytest.mark.parametrize("name", [field.name for field in fields(ModelSettings)])
def test_node_and_library_share_model_defaults(name: str) -> None:
    library = inspect.signature(load_model).parameters["path" if name == "weights" else name].default
    assert (DEFAULTS[name] or None) == library == getattr(ModelSettings(), name)


@pytest.mark.parametrize(
    "name, value",
    [
        ("score_threshold", 1.01),
        ("score_threshold", math.nan),
        ("score_threshold", "high"),
        ("max_faces", 0),
        ("max_faces", True),
        ("max_faces", 2.0),
        ("image_rotation", 45),
        ("image_rotation", -90),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("qos_reliability", "Reliable"),
        ("image_topics", ["a b"]),
        ("image_topics", ["/camera//image"]),
        ("image_topics", "image"),
        ("autostart", 1),
    ],
)
def test_an_error_names_parameter_and_value(name: str, value: Any) -> None:
    error = value_error(name, value)
    assert error is not None and error.startswith(f"parameter {name} = {value!r}: ")


@pytest.mark.parametrize(
    "name, value, fix",
    [
        ("score_threshold", 7.0, "use 0 to 1"),
        ("track_timeout", "2 s", "expected a double"),
        ("max_faces", 2.5, "expected an integer"),
        ("image_rotation", 45, "use one of 0, 90, 180, 270"),
        ("device", "tpu", "use auto, cpu, cuda or cuda:N"),
        ("qos_reliability", "some", "use one of best_effort, reliable"),
        ("image_topics", ["a//b"], "use letters, digits, _ and /"),
    ],
)
def test_an_invalid_value_at_start_is_rejected_with_a_fix(client: Any, name: str, value: Any, fix: str) -> None:
    node = Node("declares", parameter_overrides=[Parameter(name, value=value)])
    with pytest.raises(ValueError, match=f"parameter {name} = ") as rejected:
        declare_parameters(node)
    node.destroy_node()
    assert fix in str(rejected.value)


def declared(**given: Any) -> tuple[dict[str, Any], list[str]]:
    """The values and warnings of a node that was started with these parameters."""
    node = Node("declares", parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
    try:
        return declare_parameters(node)
    finally:
        node.destroy_node()


def test_a_whole_number_is_accepted_for_a_double(client: Any) -> None:
    values, warnings = declared(score_threshold=1, track_timeout=2)
    assert (values["score_threshold"], values["track_timeout"]) == (1.0, 2.0) and warnings == []
    assert type(values["score_threshold"]) is float


@pytest.mark.parametrize("topics", [[""], ["/front/image_raw", "left", "~/own", ""]])
def test_image_topics_may_be_absolute_relative_private_or_empty(topics: list[str]) -> None:
    assert value_error("image_topics", topics) is None


@pytest.mark.parametrize("former, name", RENAMED.items())
def test_a_former_name_works_with_a_warning(client: Any, former: str, name: str) -> None:
    value = {"detector_input_size": 96, "max_consecutive_failures": 7}.get(name, 0.5)
    values, warnings = declared(**{former: value})
    assert values[name] == value
    assert warnings == [f"parameter {former} was renamed: use {name}; the next release will not accept the old name"]


def test_the_present_name_overrides_the_former_one(client: Any) -> None:
    values, _ = declared(time_jump=2.0, max_time_gap=3.0)
    assert values["max_time_gap"] == 3.0


def test_an_unknown_parameter_is_reported_with_the_closest_name(client: Any) -> None:
    _, warnings = declared(score_treshold=0.5)
    assert warnings == ["parameter score_treshold is unknown and has no effect; did you mean score_threshold?"]


def test_parameters_change_only_in_the_allowed_state() -> None:
    assert change_error("weights", unconfigured=True) is None
    assert "clean up" in str(change_error("weights", unconfigured=False))
    assert change_error("score_threshold", unconfigured=False) is None
    assert "read-only" in str(change_error("autostart", unconfigured=True))
    assert change_error("use_sim_time", unconfigured=False) is None


@pytest.fixture(scope="module")
def node(client: Any, start_for_module: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A node configured by a parameter file with former names and whole numbers."""
    file = tmp_path_factory.mktemp("parameters") / "robot.yaml"
    file.write_text("ast_net:\n  ros__parameters:\n    time_jump: 3\n    score_threshold: 1\n    detection_size: 96\n")
    arguments = ("--params-file", str(file), "-p", "smoothing:=0.25", "-p", "autostart:=false")
    executable = start_for_module("ast_net_node", "--ros-args", *arguments)
    executable.said("parameter time_jump was renamed: use max_time_gap")
    return executable


def current(client: Any, *names: str) -> list[Any]:
    values = client.call(GetParameters, "ast_net/get_parameters", GetParameters.Request(names=list(names))).values
    return [Parameter.from_parameter_msg(ParameterMessage(name="x", value=value)).value for value in values]


def test_former_names_and_whole_numbers_work_in_files(client: Any, node: Any) -> None:
    names = ("max_time_gap", "score_threshold", "detector_input_size", "smoothing_time_constant")
    assert current(client, *names) == [3.0, 1.0, 96, 0.25]


def test_a_former_name_can_be_set_while_running(client: Any, node: Any) -> None:
    assert client.set_parameter("silence_warning", 7).successful
    assert current(client, "no_image_timeout") == [7.0]
    node.said("parameter silence_warning was renamed: use no_image_timeout")


def test_the_nodes_own_dump_can_be_loaded(client: Any, node: Any) -> None:
    names = client.call(ListParameters, "ast_net/list_parameters", ListParameters.Request()).result.names
    values = client.call(GetParameters, "ast_net/get_parameters", GetParameters.Request(names=names)).values
    dump = [ParameterMessage(name=name, value=value) for name, value in zip(names, values)]
    assert "autostart" in names and "use_sim_time" in names
    results = client.call(SetParameters, "ast_net/set_parameters", SetParameters.Request(parameters=dump)).results
    assert [result.reason for result in results if not result.successful] == []


def test_a_read_only_parameter_cannot_be_changed(client: Any, node: Any) -> None:
    result = client.set_parameter("autostart", True)
    assert not result.successful and "autostart" in result.reason


def test_a_rejected_value_changes_nothing(client: Any, node: Any) -> None:
    result = client.set_parameter("max_faces", 0)
    assert not result.successful and "max_faces" in result.reason
    assert current(client, "max_faces") == [16]

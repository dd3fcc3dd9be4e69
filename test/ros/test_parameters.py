"""The parameter table: what is made of it, and which values it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from rclpy.node import Node
from rclpy.parameter import Parameter

from ast_net_ros.pipeline import PipelineSettings
from ast_net_ros.ros.parameters import (
    PARAMETERS,
    declare_parameters,
    late_change_refusal,
    pipeline_settings,
    refusal,
    render_markdown,
    render_yaml,
)

ROOT = Path(__file__).parents[2]
DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}


def test_the_configuration_file_is_the_one_made_from_the_table() -> None:
    written = (ROOT / "config" / "ast_net.yaml").read_text(encoding="utf-8")
    assert written == render_yaml(), "run: python -m ast_net_ros.ros.parameters --yaml > config/ast_net.yaml"
    assert yaml.safe_load(written) == {"/**": {"ros__parameters": DEFAULTS}}


def test_every_parameter_has_a_row_in_the_table_of_the_documentation() -> None:
    rows = render_markdown().splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows] == list(DEFAULTS)


def test_every_default_is_allowed() -> None:
    assert [refusal(name, value) for name, value in DEFAULTS.items() if refusal(name, value)] == []


def test_the_defaults_are_those_of_the_pipeline() -> None:
    # But for a robot's computer, which has other things to do than to detect in every picture.
    assert pipeline_settings(DEFAULTS) == PipelineSettings(detection_interval=0.2)


@pytest.mark.parametrize(
    "name, value",
    [
        ("score_threshold", 1.01),
        ("score_threshold", math.nan),
        ("score_threshold", 1),
        ("max_faces", 0),
        ("max_faces", True),
        ("max_faces", 2.0),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("qos_reliability", "Reliable"),
        ("image_topics", ["a b"]),
        ("image_topics", ["/camera//image"]),
        ("image_topics", "image"),
        ("autostart", 1),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_mend(name: str, value: Any) -> None:
    reason = refusal(name, value)
    assert reason is not None and reason.startswith(f"parameter {name} = {value!r}: ")


@pytest.mark.parametrize("topics", [[""], ["/front/image_raw", "left", "~/own", ""]])
def test_topics_may_be_any_and_empty(topics: list[str]) -> None:
    assert refusal("image_topics", topics) is None


@pytest.mark.parametrize(
    "name, value, mend",
    [
        ("score_threshold", 7.0, "use 0 to 1"),
        ("track_timeout", 2, "write 2.0, not 2"),
        ("device", "tpu", "use auto, cpu, cuda or cuda:N"),
        ("qos_reliability", "some", "use one of best_effort, reliable"),
        ("image_topics", ["a//b"], "use letters, digits, _ and /"),
    ],
)
def test_a_wrong_value_given_at_start_is_refused_in_the_same_words(
    client: Any, name: str, value: Any, mend: str
) -> None:
    node = Node("declares", parameter_overrides=[Parameter(name, value=value)])
    with pytest.raises(ValueError, match=f"parameter {name} = ") as refused:
        declare_parameters(node)
    node.destroy_node()
    assert mend in str(refused.value)


def test_what_needs_a_new_configuration_is_refused_once_configured() -> None:
    assert late_change_refusal("weights", unconfigured=True) is None
    assert "clean up" in str(late_change_refusal("weights", unconfigured=False))
    assert late_change_refusal("score_threshold", unconfigured=False) is None
    assert late_change_refusal("autostart", unconfigured=True) is not None
    assert late_change_refusal("use_sim_time", unconfigured=False) is None

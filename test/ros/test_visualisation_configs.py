"""The layouts for Foxglove and RViz: well formed, and made for topics and fields that the node really has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from ast_net_ros.msg import ValenceArousal

TYPES = {
    "/ast_net/debug_image": "sensor_msgs/msg/Image",
    "/ast_net/valence_arousal": "ast_net_ros/msg/ValenceArousal",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
CLASSES = {
    "sensor_msgs/msg/Image": Image,
    "ast_net_ros/msg/ValenceArousal": ValenceArousal,
    "diagnostic_msgs/msg/DiagnosticArray": DiagnosticArray,
}


def config(name: str) -> str:
    return (Path(get_package_share_directory("ast_net_ros")) / "config" / name).read_text()


@pytest.fixture(scope="module")
def layout() -> dict[str, Any]:
    return json.loads(config("foxglove_layout.json"))


@pytest.fixture(scope="module")
def rviz_displays() -> list[dict[str, Any]]:
    return yaml.safe_load(config("ast_net.rviz"))["Visualization Manager"]["Displays"]


def panels_in(part: str | dict[str, Any]) -> Iterator[str]:
    """The panels of a part of the layout; a part is a panel or is split in two."""
    if isinstance(part, str):
        yield part
        return
    assert part["direction"] in ("row", "column") and 0 < part["splitPercentage"] < 100
    yield from panels_in(part["first"])
    yield from panels_in(part["second"])


def plotted(layout: dict[str, Any]) -> list[str]:
    """The message paths of all plots, such as /topic.field."""
    panels = layout["configById"].items()
    return [path["value"] for name, panel in panels if name.startswith("Plot!") for path in panel["paths"]]


def foxglove_topics(layout: dict[str, Any]) -> set[str]:
    panels = layout["configById"].values()
    images = {panel["imageMode"]["imageTopic"] for panel in panels if "imageMode" in panel}
    health = {panel["topicToRender"] for panel in panels if "topicToRender" in panel}
    return images | health | {path.partition(".")[0] for path in plotted(layout)}


def test_the_foxglove_layout_shows_every_panel_once(layout: dict[str, Any]) -> None:
    shown = list(panels_in(layout["layout"]))
    assert sorted(shown) == sorted(layout["configById"])
    kinds = {name.partition("!")[0] for name in shown}
    assert kinds == {"Image", "Plot", "DiagnosticSummary", "DiagnosticStatusPanel"}
    assert foxglove_topics(layout) == set(TYPES)


def test_the_foxglove_plots_draw_fields_that_the_messages_have(layout: dict[str, Any]) -> None:
    for path in plotted(layout):
        topic, _, field = path.partition(".")
        kind = CLASSES[TYPES[topic]].get_fields_and_field_types()[field]
        assert kind == "float", f"{path} is {kind}, which is no curve"
    assert {"/ast_net/valence_arousal.valence", "/ast_net/valence_arousal.arousal"} <= set(plotted(layout))
    # Foxglove takes `enabled` and `timestampMethod` from nowhere else, and draws nothing without them.
    panels = [panel for name, panel in layout["configById"].items() if name.startswith("Plot!")]
    paths = [path for panel in panels for path in panel["paths"]]
    assert all(path["enabled"] and path["timestampMethod"] == "headerStamp" for path in paths)


def test_rviz_subscribes_with_a_compatible_policy(rviz_displays: list[dict[str, Any]]) -> None:
    (display,) = rviz_displays
    assert display["Class"] == "rviz_default_plugins/Image" and display["Enabled"]
    assert display["Topic"]["Value"] == "/ast_net/debug_image"
    assert display["Topic"]["Reliability Policy"] == "Best Effort"
    assert display["Topic"]["Durability Policy"] == "Volatile"


def test_the_running_node_offers_every_topic_of_both(
    client: Any, start: Any, layout: dict[str, Any], rviz_displays: list[dict[str, Any]]
) -> None:
    node = start("ast_net_node")
    node.said("waiting for images")
    expected = foxglove_topics(layout) | {display["Topic"]["Value"] for display in rviz_displays}
    client.camera()  # its diagnostics have come: the node is known here
    offered = dict(client.get_publisher_names_and_types_by_node("ast_net", "/"))
    assert expected <= set(offered), f"{expected - set(offered)}"
    assert all(TYPES[topic] in offered[topic] for topic in expected)
    # The name that the diagnostics panel opens.
    selected = layout["configById"]["DiagnosticStatusPanel!estimation"]["selectedName"]
    assert re.fullmatch(r"ast_net: \w+", selected)
    assert selected in client.diagnostics

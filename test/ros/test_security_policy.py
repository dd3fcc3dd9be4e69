"""config/sros2: the policy follows the schema of SROS 2 and allows each running node what it has, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ament_index_python.packages import get_package_share_directory

POLICY = Path(get_package_share_directory("ast_net_ros")) / "config" / "sros2" / "ast_net.policy.xml"
TOPIC_RULES, SERVICE_RULES = ("publish", "subscribe"), ("reply", "request")

# Allowed and not always there, with the reason.
OPTIONAL = {
    ("subscribe", "/clock"),  # only with use_sim_time
    *(("reply", f"/{node}/get_type_description") for node in ("ast_net", "behavior_example", "replay")),  # since Iron
}

# The schema's rules (sros2/policy/schemas/policy.xsd): element -> (required attributes, optional ones, children).
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "policy": ({"version"}, set(), {"enclaves"}),
    "enclaves": (set(), set(), {"enclave"}),
    "enclave": ({"path"}, set(), {"profiles"}),
    "profiles": (set(), {"type"}, {"profile"}),
    "profile": ({"ns", "node"}, set(), {"topics", "services"}),
    "topics": (set(), set(TOPIC_RULES), {"topic"}),
    "services": (set(), set(SERVICE_RULES), {"service"}),
    "topic": (set(), set(), set()),
    "service": (set(), set(), set()),
}


def policy() -> ElementTree.Element:
    return ElementTree.parse(POLICY).getroot()


def allowed(node: str) -> set[tuple[str, str]]:
    """(what, full name) of everything that the policy allows a node."""
    profile = policy().find(f"enclaves/enclave/profiles/profile[@node='{node}']")
    assert profile is not None, node
    rules = set()
    for group in profile:
        for rule in (*TOPIC_RULES, *SERVICE_RULES):
            if group.get(rule) == "ALLOW":
                rules |= {(rule, _full_name(profile, entry.text or "")) for entry in group}
    return rules


def _full_name(profile: ElementTree.Element, name: str) -> str:
    """As SROS 2 resolves it: `/x` is whole, `~/x` lies under the node, `x` under its namespace."""
    namespace = (profile.get("ns") or "").rstrip("/")
    if name.startswith("~"):
        return f"{namespace}/{profile.get('node')}{name[1:]}"
    return name if name.startswith("/") else f"{namespace}/{name}"


def in_graph(client: Any, node: str) -> set[tuple[str, str]]:
    """(what, full name) of everything that a running node has."""
    found = {("publish", name) for name, _ in client.get_publisher_names_and_types_by_node(node, "/")}
    found |= {("subscribe", name) for name, _ in client.get_subscriber_names_and_types_by_node(node, "/")}
    found |= {("reply", name) for name, _ in client.get_service_names_and_types_by_node(node, "/")}
    return found | {("request", name) for name, _ in client.get_client_names_and_types_by_node(node, "/")}


def test_the_policy_follows_the_schema() -> None:
    root = policy()
    assert root.tag == "policy" and root.get("version") == "0.2.0"
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        assert required <= set(element.keys()) <= required | optional, element.attrib
        assert {child.tag for child in element} <= children, element.tag
        assert len(element) > 0 or not children, f"<{element.tag}> is empty"
        if not children:
            assert re.fullmatch(r"(/|~/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", element.text or "")
        assert element.tag not in ("topics", "services") or set(element.attrib.values()) == {"ALLOW"}


def test_every_node_has_an_enclave_of_its_own_and_no_rule_twice() -> None:
    enclaves = policy().findall("enclaves/enclave")
    assert [enclave.get("path") for enclave in enclaves] == ["/ast_net", "/behavior_example", "/replay"]
    for enclave in enclaves:
        (profile,) = enclave.findall("profiles/profile")
        assert enclave.get("path") == f"/{profile.get('node')}"
        names = [(group.tag, tuple(group.keys()), entry.text) for group in profile for entry in group]
        assert len(names) == len(set(names))


def test_no_node_may_write_what_belongs_to_another() -> None:
    written = {
        node: {name for rule, name in allowed(node) if rule == "publish"}
        for node in ("ast_net", "behavior_example", "replay")
    }
    shared = {"/rosout", "/parameter_events"}
    assert written["ast_net"] & written["behavior_example"] <= shared
    assert written["ast_net"] & written["replay"] <= shared
    assert not any(rule == "request" for node in written for rule, _ in allowed(node))


@pytest.mark.parametrize(
    ("node", "executable", "arguments"),
    [
        ("ast_net", "ast_net_node", ()),
        ("behavior_example", "behavior_example", ("--ros-args", "-r", "faces:=ast_net/faces")),
        ("replay", "replay", ("{media}/single_face.mp4", "--wait-for-subscriber")),
    ],
)
def test_a_running_node_has_what_the_policy_allows_and_no_more(
    node: str,
    executable: str,
    arguments: tuple[str, ...],
    client: Any,
    start: Callable[..., Any],
    media: Path,
    wait_until: Callable[..., Any],
) -> None:
    process = start(executable, *(argument.format(media=media) for argument in arguments))
    needed = allowed(node) - OPTIONAL

    def complete() -> bool:
        assert process.process.poll() is None, process.log
        return node in client.get_node_names() and needed <= in_graph(client, node)

    try:
        wait_until(complete, f"everything of {node} in the graph")
    except pytest.fail.Exception:
        missing = needed - in_graph(client, node)
        pytest.fail(f"the policy allows {node} what it does not have: {sorted(missing)}")
    surplus = in_graph(client, node) - allowed(node)
    assert not surplus, f"{node} has what the policy denies: {sorted(surplus)}"

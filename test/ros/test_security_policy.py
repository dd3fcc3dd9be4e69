"""config/sros2: the policy follows the schema of SROS 2 and allows each running node what it has, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The schema's rules (sros2/policy/schemas/policy.xsd): element -> (required attributes, optional ones, children).
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "policy": ({"version"}, set(), {"enclaves"}),
    "enclaves": (set(), set(), {"enclave"}),
    "enclave": ({"path"}, set(), {"profiles"}),
    "profiles": (set(), {"type"}, {"profile"}),
    "profile": ({"ns", "node"}, set(), {"topics", "services"}),
    "topics": (set(), {"publish", "subscribe"}, {"topic"}),
    "services": (set(), {"reply", "request"}, {"service"}),
    "topic": (set(), set(), set()),
    "service": (set(), set(), set()),
}


FILES = ("ast_net.policy.xml", "ast_net_hri_output.policy.xml", "ast_net_hri_input.policy.xml")


@pytest.mark.parametrize("file", FILES)
def test_a_policy_follows_the_schema(policies: Any, file: str) -> None:
    root = policies.read(file)
    assert root.tag == "policy" and root.get("version") == "0.2.0"
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        assert required <= set(element.keys()) <= required | optional, element.attrib
        assert {child.tag for child in element} <= children, element.tag
        assert len(element) > 0 or not children, f"<{element.tag}> is empty"
        if not children:
            # Only the id of a face or person may be left open.
            assert re.fullmatch(
                r"(/|~/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*|/humans/(faces|persons)/\*/\w+", element.text or "", re.ASCII
            )
        assert element.tag not in ("topics", "services") or set(element.attrib.values()) == {"ALLOW"}


@pytest.mark.parametrize("file", FILES)
def test_every_node_has_an_enclave_of_its_own_and_no_rule_twice(policies: Any, file: str) -> None:
    enclaves = policies.read(file).findall("enclaves/enclave")
    others = ["/behavior_example", "/replay"] if file == policies.DEFAULT else []
    assert [enclave.get("path") for enclave in enclaves] == ["/ast_net", *others]
    for enclave in enclaves:
        (profile,) = enclave.findall("profiles/profile")
        assert enclave.get("path") == f"/{profile.get('node')}"
        names = [(group.tag, tuple(group.keys()), entry.text) for group in profile for entry in group]
        assert len(names) == len(set(names))


def test_no_node_may_write_what_belongs_to_another(policies: Any) -> None:
    written = {
        node: {name for rule, name in policies.allowed(node) if rule == "publish"}
        for node in ("ast_net", "behavior_example", "replay")
    }
    shared = {"/rosout", "/parameter_events"}
    assert written["ast_net"] & written["behavior_example"] <= shared
    assert written["ast_net"] & written["replay"] <= shared
    assert not any(rule == "request" for node in written for rule, _ in policies.allowed(node))


def test_ros4hri_policies_allow_only_what_is_needed(policies: Any) -> None:
    """test_hri.py compares both with the running node."""
    plain = policies.allowed("ast_net")
    output = policies.allowed("ast_net", "ast_net_hri_output.policy.xml")
    faces = "/humans/faces"
    published = {("publish", f"{faces}/*/{name}") for name in ("roi", "cropped", "expression", "landmarks")}
    engagement = {("publish", f"/humans/{kind}/*/engagement_status") for kind in ("faces", "persons")}
    assert output - plain == {("publish", f"{faces}/tracked"), *published, *engagement} and plain <= output
    given = policies.allowed("ast_net", "ast_net_hri_input.policy.xml")
    heard = {("subscribe", f"{faces}/*/{name}") for name in ("roi", "cropped", "aligned")}
    assert given - plain == {
        ("subscribe", f"{faces}/tracked"),
        ("publish", f"{faces}/*/expression"),
        *engagement,
        *heard,
    }
    own = {("subscribe", "/image"), ("subscribe", "/camera_info"), ("publish", "/tf")}
    assert plain - given == own, "whole images are another detector's to see"


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
    policies: Any,
    start: Callable[..., Any],
    media: Path,
    wait_until: Callable[..., Any],
) -> None:
    process = start(executable, *(argument.format(media=media) for argument in arguments))

    def complete() -> bool:
        assert process.process.poll() is None, process.log
        return not policies.unused(client, node)

    try:
        wait_until(complete, f"everything of {node} in the graph")
    except pytest.fail.Exception:
        unused = sorted(policies.unused(client, node))
        pytest.fail(f"the policy allows {node} what it does not have: {unused}")
    denied = policies.denied(client, node)
    assert not denied, f"{node} has what the policy denies: {sorted(denied)}"

"""SROS 2 policies read, and compared with what a running node has in the graph."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ament_index_python.packages import get_package_share_directory

FOLDER = Path(get_package_share_directory("ast_net_ros")) / "config" / "sros2"
DEFAULT = "ast_net.policy.xml"
TOPIC_RULES, SERVICE_RULES = ("publish", "subscribe"), ("reply", "request")

# Allowed and not always there, with the reason.
OPTIONAL = {
    ("subscribe", "/clock"),  # only with use_sim_time
    ("publish", "/ast_net/annotations"),  # only with annotations
    ("subscribe", "/humans/candidate_matches"),  # only with persons and hri_msgs
    ("subscribe", "/camera_info"),  # only with publish_tf
    ("publish", "/tf"),  # likewise
    ("publish", "/humans/persons/*/engagement_status"),  # only where persons are recognised
    *(("reply", f"/{node}/get_type_description") for node in ("ast_net", "behavior_example", "replay")),  # since Iron
}

Rule = tuple[str, str]
"""What is allowed, and the full name of what. In the name, * stands for any text, as in the permissions of DDS."""


def read(file: str = DEFAULT) -> ElementTree.Element:
    return ElementTree.parse(FOLDER / file).getroot()


def allowed(node: str, file: str = DEFAULT) -> set[Rule]:
    """Everything that a policy allows a node."""
    profile = read(file).find(f"enclaves/enclave/profiles/profile[@node='{node}']")
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


def in_graph(client: Any, node: str) -> set[Rule]:
    """Everything that a running node has; nothing where it is not there yet."""
    if (node, "/") not in client.get_node_names_and_namespaces():
        return set()
    found = {("publish", name) for name, _ in client.get_publisher_names_and_types_by_node(node, "/")}
    found |= {("subscribe", name) for name, _ in client.get_subscriber_names_and_types_by_node(node, "/")}
    found |= {("reply", name) for name, _ in client.get_service_names_and_types_by_node(node, "/")}
    return found | {("request", name) for name, _ in client.get_client_names_and_types_by_node(node, "/")}


def unused(client: Any, node: str, file: str = DEFAULT) -> set[Rule]:
    """What the policy allows the running node and it does not have."""
    found = in_graph(client, node)
    return {rule for rule in allowed(node, file) - OPTIONAL if not any(_covers(rule, one) for one in found)}


def denied(client: Any, node: str, file: str = DEFAULT) -> set[Rule]:
    """What the running node has and the policy does not allow."""
    rules = allowed(node, file)
    return {one for one in in_graph(client, node) if not any(_covers(rule, one) for rule in rules)}


def _covers(rule: Rule, one: Rule) -> bool:
    return rule[0] == one[0] and fnmatchcase(one[1], rule[1])

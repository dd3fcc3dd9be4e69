"""The variables that give Fast DDS room for images: set for who set nothing, left to who did."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from ast_net_ros.ros.runtime.transports import FOR_IMAGES, PROFILES, VARIABLE, environment_for_images


def test_what_is_not_set_is_set_and_the_profile_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, *PROFILES):
        monkeypatch.delenv(name, raising=False)
    environment = environment_for_images()
    assert environment[VARIABLE] == FOR_IMAGES
    for name in PROFILES:
        assert "leaseAnnouncement" in {
            node.tag.rpartition("}")[2] for node in ElementTree.parse(environment[name]).iter()
        }
        assert Path(environment[name]).name == "fastdds.xml"


def test_what_the_user_has_set_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "UDPv4")
    monkeypatch.delenv(PROFILES[0], raising=False)
    monkeypatch.setenv(PROFILES[1], "/mine.xml")
    environment = environment_for_images()
    assert environment[VARIABLE] == "UDPv4"
    assert PROFILES[0] not in environment and environment[PROFILES[1]] == "/mine.xml"

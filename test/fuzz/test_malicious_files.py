"""Weights files and names of recordings that are made to hurt. More is in test/model/test_weights.py."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ast_net_ros.bags.names import recording_name
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet, load_weights, save_weights
from ast_net_ros.model.weights import MAX_DESCRIPTION, MAX_HEADER_BYTES, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
SMALL = NetworkConfig(chip_side=16, widths=(4,), depths=(1,), attributes=4, hidden=2, layers=1)


@pytest.fixture()
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    save_weights(ASTNet(SMALL), path, "small")
    return path


def with_header(path: Path, header: bytes, size: int | None = None) -> None:
    content = path.read_bytes()
    (old,) = struct.unpack("<Q", content[:8])
    path.write_bytes(struct.pack("<Q", len(header) if size is None else size) + header + content[8 + old :])


def header_of(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    header: dict[str, Any] = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    return header


@pytest.mark.parametrize("size", [2**63, 2**40, MAX_HEADER_BYTES + 1])
def test_a_header_that_claims_a_huge_size_is_refused(stored: Path, size: int) -> None:
    with_header(stored, b"{}", size)
    with pytest.raises(WeightsError, match="header declares"):
        load_weights(stored)


@pytest.mark.parametrize("bomb", ["[" * 5_000_000, '{"a":' * 1_000_000])
def test_metadata_that_exhaust_memory_are_refused(stored: Path, bomb: str, monkeypatch: Any) -> None:
    header = header_of(stored)
    header["__metadata__"]["config"] = bomb
    with_header(stored, json.dumps(header).encode())
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("read"))
    with pytest.raises(WeightsError, match="header declares"):
        load_weights(stored)


@pytest.mark.parametrize("shape", [[2**40], [2**31, 2**31], [10**9, 1]])
def test_a_tensor_that_declares_a_huge_size_is_refused(stored: Path, shape: list[int]) -> None:
    header = header_of(stored)
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"] = shape
    with_header(stored, json.dumps(header).encode())
    with pytest.raises(WeightsError, match="some.safetensors"):
        load_weights(stored)


@pytest.mark.parametrize("kind", [torch.complex64, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_numbers_of_a_type_that_no_weights_have_are_refused(stored: Path, kind: torch.dtype) -> None:
    tensors = load_file(stored)
    name = "temporal.head.bias"
    tensors[name] = torch.zeros(tensors[name].shape).to(kind)
    about = header_of(stored)["__metadata__"]
    save_file(tensors, stored, about)
    with pytest.raises(WeightsError, match=r"temporal.head.bias is of type"):
        load_weights(stored)


def test_a_description_cannot_inject_terminal_codes(tmp_path: Path) -> None:
    path = tmp_path / "loud.safetensors"
    save_weights(ASTNet(SMALL), path, "fine\x1b[2J\x1b]0;title\x07\n[INFO] all is well\r" + "x" * 100_000)
    _, info = load_weights(path)
    assert info.description.isprintable() and len(info.description) <= MAX_DESCRIPTION + 3


@given(st.text(min_size=1, max_size=300))
def test_recording_names_stay_in_the_output_folder(name: str) -> None:
    folder = Path("/results/recordings")
    given = Path("/bags") / name.replace("\0", "0")
    made = recording_name(given)
    assert made not in ("", ".", "..") and "/" not in made and "\0" not in made and len(made) <= 255
    assert (folder / made).resolve().parent == folder


@pytest.mark.parametrize("name", ["..", "../..", "a/../..", "...", "..mp4", "/", "x\ny", "~root", "-rf"])
def test_names_that_often_lead_out_stay_inside(name: str, tmp_path: Path) -> None:
    made = recording_name(tmp_path / name)
    assert (tmp_path / made).parent == tmp_path and not set(made) & {"/", "\n", "~"} and made.strip(".")

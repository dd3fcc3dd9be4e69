"""Weights files: a round trip keeps every value; damaged and foreign files are refused by name."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ast_net_ros.model import WeightsError, load_model
from ast_net_ros.model.config import NetworkConfig, parameter_shapes
from ast_net_ros.model.inference import DEFAULT_WEIGHTS
from ast_net_ros.model.network import ASTNet, load_weights, save_weights
from ast_net_ros.model.weights import read_weights

SMALL = NetworkConfig(chip_side=16, widths=(8,), depths=(1,), attributes=8, hidden=4, layers=2)


@pytest.fixture()
def stored(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_weights(ASTNet(SMALL), path, "a test's weights")
    return path


def _rewrite(path, tensors=None, **metadata):
    with safe_open(path, framework="pt") as file:
        about = {**file.metadata(), **metadata}
    save_file(tensors or load_file(path), path, about)


def test_round_trip_keeps_values_configuration_and_description(stored):
    network, info = load_weights(stored)
    torch.manual_seed(0)
    for name, value in ASTNet(SMALL).state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert network.config == SMALL
    assert info.description == "a test's weights"
    assert len(info.sha256) == 64


def test_the_provenance_is_kept_and_part_of_the_checksum(stored):
    network, before = load_weights(stored)
    info = save_weights(network, stored, "a test's weights", '{"parent_sha256": "12"}')
    assert read_weights(stored).provenance == '{"parent_sha256": "12"}' and info.sha256 != before.sha256
    _rewrite(stored, provenance='{"parent_sha256": "34"}')
    with pytest.raises(WeightsError, match="the file states"):
        read_weights(stored)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="absent.safetensors.*no such file"):
        load_model(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("place", [0, 9, 200, -1])
def test_one_changed_byte_anywhere_is_refused(stored, place):
    content = bytearray(stored.read_bytes())
    content[place] ^= 0x01
    stored.write_bytes(content)
    with pytest.raises(WeightsError, match="small.safetensors"):
        load_weights(stored)


@pytest.mark.parametrize("length", [0, 4, 100, 2000])
def test_a_cut_off_file_is_refused(stored, length):
    stored.write_bytes(stored.read_bytes()[:length])
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_weights(stored)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_weights(path)


def test_another_projects_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="format is None"):
        load_weights(path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    network = ASTNet(SMALL)
    network.temporal.head.bias.data[0] = float("nan")
    save_weights(network, tmp_path / "nan.safetensors", "")
    with pytest.raises(WeightsError, match="temporal.head.bias contains NaN"):
        load_weights(tmp_path / "nan.safetensors")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", 10**12),
        ("hidden", -1),
        ("hidden", "64"),
        ("hidden", True),
        ("widths", []),
        ("widths", 8),
        ("widths", [8, 8]),
        ("step_seconds", 0),
        ("step_seconds", [0.2]),
    ],
)
def test_a_configuration_out_of_range_is_refused(stored, name, value):
    with safe_open(stored, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    _rewrite(stored, config=json.dumps({**config, name: value}))
    with pytest.raises(WeightsError, match=name if name != "widths" else "widths|lacks"):
        load_weights(stored)


def test_a_tensor_of_another_shape_is_named(stored):
    tensors = load_file(stored)
    tensors["temporal.head.bias"] = torch.zeros(5)
    _rewrite(stored, tensors)
    with pytest.raises(WeightsError, match=r"temporal.head.bias is \[5\], expected \[4\]"):
        load_weights(stored)


def test_a_changed_configuration_does_not_pass_the_checksum(stored):
    with safe_open(stored, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    _rewrite(stored, config=json.dumps({**config, "step_seconds": 0.1}, sort_keys=True))
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(stored)


def test_the_packaged_weights_load_and_are_small():
    model = load_model(device="cpu")
    assert DEFAULT_WEIGHTS.stat().st_size < 20e6
    assert model.description
    assert len(model.weights_hash) == 64


@pytest.mark.parametrize(
    "config", [NetworkConfig(), SMALL, NetworkConfig(widths=(16, 16, 32), depths=(2, 1, 1), layers=3)]
)
def test_the_listed_parameters_are_those_of_the_network(config):
    found = {name: tuple(value.shape) for name, value in ASTNet(config).state_dict().items()}
    assert parameter_shapes(config) == found


def test_half_precision_files_are_read(tmp_path):
    save_weights(ASTNet(SMALL).half(), tmp_path / "half.safetensors", "")
    network, _ = load_weights(tmp_path / "half.safetensors")
    assert network.temporal.head.weight.dtype == torch.float32
    assert load_model(tmp_path / "half.safetensors", "cpu").encode(np.zeros((1, 16, 16), np.uint8))[0].shape == (1, 8)

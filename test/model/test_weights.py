"""Weights files: a round trip keeps every value; what is not whole, ours and sane is refused by name."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ast_net_ros.model import WeightsError, load_model
from ast_net_ros.model.inference import DEFAULT_WEIGHTS, DeviceError
from ast_net_ros.model.network import ASTNet, NetworkConfig
from ast_net_ros.model.weights import load_weights, save_weights

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
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_weights(stored)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
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
    with pytest.raises(WeightsError, match="temporal.head.bias holds NaN"):
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
def test_a_configuration_out_of_range_is_refused_before_anything_is_built(stored, name, value):
    with safe_open(stored, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    _rewrite(stored, config=json.dumps({**config, name: value}))
    with pytest.raises(WeightsError, match=name if name != "widths" else "widths|lacks"):
        load_weights(stored)


def test_a_tensor_of_another_shape_is_named(stored):
    tensors = load_file(stored)
    tensors["temporal.head.bias"] = torch.zeros(5)
    _rewrite(stored, tensors)
    with pytest.raises(WeightsError, match=r"temporal.head.bias is \[5\], wanted \[4\]"):
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


def test_folding_for_speed_leaves_the_function_as_it_was():
    network, _ = load_weights(DEFAULT_WEIGHTS)
    model = load_model(device="cpu")
    chips = torch.randint(0, 256, (4, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        attributes, logits = network.encode(chips.unsqueeze(1))
    fast_attributes, probabilities = model.encode(chips)
    torch.testing.assert_close(fast_attributes, attributes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "mps", "cpu0"])
def test_a_device_that_is_not_there_is_refused_by_name(device):
    with pytest.raises(DeviceError, match=device):
        load_model(device=device)


def test_bfloat16_gives_nearly_the_same_and_says_so():
    exact, rounded = load_model(device="cpu"), load_model(device="cpu", precision="bfloat16")
    chips = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    assert (exact.precision, rounded.precision) == ("float32", "bfloat16")
    (fine, sure), (coarse, less_sure) = exact.encode(chips), rounded.encode(chips)
    assert coarse.dtype == torch.float32
    assert not torch.equal(fine, coarse)
    torch.testing.assert_close(less_sure, sure, atol=0.05, rtol=0)


@pytest.mark.parametrize(("precision", "complaint"), [("float16", "not for the CPU"), ("int3", "unknown")])
def test_a_precision_that_is_not_there_is_refused_by_name(precision, complaint):
    with pytest.raises(DeviceError, match=f"{precision}.*{complaint}"):
        load_model(device="cpu", precision=precision)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_filling_a_batch_up_changes_no_face(count):
    model = load_model(device="cpu")
    chips = torch.randint(0, 256, (count, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    plain = model.encode(chips)
    model.pad_batches = True
    for one, other in zip(plain, model.encode(chips)):
        assert len(one) == len(other) == count
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_gives_what_the_cpu_gives(precision):
    chips = torch.randint(0, 256, (5, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    _, wanted = load_model(device="cpu").encode(chips)
    model = load_model(device="cuda", precision=precision)
    attributes, emotions = model.encode(chips)
    output, _ = model.step(attributes, model.initial_state(5))
    torch.testing.assert_close(emotions, wanted, atol=1e-3 if precision == "float32" else 0.05, rtol=0)
    assert output.affect.device.type == "cuda" and output.affect.abs().max() <= 1


def test_model_imports_no_image_library_and_no_ros():
    code = "import sys, ast_net_ros.model; print([m for m in ('cv2', 'rclpy', 'onnxruntime') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

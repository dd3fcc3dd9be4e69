"""The CNN on ONNX Runtime gives what it gives in torch, at every size, and is asked for by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ast_net_ros.model import inference as runtime
from ast_net_ros.model.inference import AffectModel, DeviceError, load_model
from ast_net_ros.model.network import ASTNet, NetworkConfig
from ast_net_ros.model.weights import WeightsInfo

TOLERANCE = 2e-5
"""Of attribute features and probabilities: rounding, in another order of adding up."""


def _chips(count: int, side: int = 48) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8))


def _pair(network: ASTNet) -> list[AffectModel]:
    models = []
    for name in runtime.RUNTIMES:
        copied = ASTNet(network.config)
        copied.load_state_dict(network.state_dict())
        models.append(AffectModel(copied, WeightsInfo(Path("none"), "", ""), torch.device("cpu"), runtime=name))
    return models


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_the_default_weights_give_the_same_on_both(count):
    results = [load_model(device="cpu", runtime=name).encode(_chips(count)) for name in runtime.RUNTIMES]
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(widths=(8,), depths=(1,), attributes=8, hidden=4),
        NetworkConfig(chip_side=64, widths=(8, 16, 16), depths=(2, 1, 2), attributes=8, hidden=4),
    ],
)
def test_networks_of_other_sizes_give_the_same_on_both(config):
    torch.manual_seed(1)
    network = ASTNet(config)
    for name, value in network.named_buffers():  # statistics as after training, so that folding them matters
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    results = [model.encode(_chips(3, config.chip_side)) for model in _pair(network.eval())]
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_black_face_and_a_white_one_stay_finite():
    model = load_model(device="cpu", runtime="onnxruntime")
    chips = torch.stack([torch.zeros(48, 48), torch.full((48, 48), 255)]).to(torch.uint8)
    assert all(bool(torch.isfinite(part).all()) for part in model.encode(chips))


def test_left_to_itself_it_takes_onnx_runtime_and_without_its_package_torch(monkeypatch):
    assert load_model(device="cpu").runtime == "onnxruntime"
    assert load_model(device="cpu", precision="bfloat16").runtime == "torch"
    monkeypatch.setattr(runtime, "onnx_available", lambda: False)
    assert load_model(device="cpu").runtime == "torch"
    with pytest.raises(DeviceError, match="pip install onnx"):
        load_model(device="cpu", runtime="onnxruntime")


def test_a_run_time_that_does_not_fit_is_refused_with_the_mend():
    with pytest.raises(DeviceError, match="'tensorflow': unknown; use auto"):
        load_model(device="cpu", runtime="tensorflow")
    with pytest.raises(DeviceError, match="float32, not on cpu in bfloat16"):
        load_model(device="cpu", precision="bfloat16", runtime="onnxruntime")

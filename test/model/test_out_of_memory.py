"""A batch that does not fit into the device's memory is split, down to single faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ast_net_ros.model.encoders import choose_backend
from ast_net_ros.model.errors import DeviceMemoryError
from ast_net_ros.model.inference import DEFAULT_WEIGHTS, AffectModel, load_model
from ast_net_ros.model.torch_encoder import TorchEncoder
from ast_net_ros.model.weights import read_weights


class SmallMemory:
    """An encoder with room for `room` faces at a time."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.room = 1000
        self.tried: list[int] = []

    def __call__(self, chips):
        self.tried.append(len(chips))
        if len(chips) > self.room:
            raise DeviceMemoryError("injected")
        return self._encoder(chips)


@pytest.fixture(params=["onnxruntime", "torch"])
def model(request) -> AffectModel:
    loaded = load_model(device="cpu", runtime=request.param)
    loaded.encoder = SmallMemory(loaded.encoder)
    return loaded


def _chips(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 48, 48), dtype=np.uint8)


@pytest.mark.parametrize(("count", "room"), [(8, 4), (7, 2), (5, 1)])
def test_a_split_batch_gives_the_same_in_the_same_order(model, count, room):
    chips = _chips(count)
    whole = model.encode(chips)
    model.encoder.room = room
    split = model.encode(chips)
    assert model.oom_splits > 0 and max(model.encoder.tried[-2:]) <= room
    for one, other in zip(whole, split):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_single_face_without_room_is_an_error(model):
    model.encoder.room = 0
    with pytest.raises(DeviceMemoryError):
        model.encode(_chips(4))
    model.encoder.room = 1000
    assert model.encode(_chips(4))[0].shape == (4, model.config.attributes)


def test_other_errors_are_not_retried(model):
    calls = []

    def broken(chips):
        calls.append(len(chips))
        raise RuntimeError("cuDNN error")

    model.encoder = broken
    with pytest.raises(RuntimeError, match="cuDNN"):
        model.encode(_chips(4))
    assert calls == [4] and model.oom_splits == 0


@pytest.fixture()
def torch_encoder() -> TorchEncoder:
    return TorchEncoder(read_weights(DEFAULT_WEIGHTS), choose_backend("cpu", "auto", "torch"))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_padding_a_batch_changes_no_face(torch_encoder, count):
    plain = torch_encoder(_chips(count))
    torch_encoder.pad_batches = True
    for one, other in zip(plain, torch_encoder(_chips(count))):
        assert len(one) == len(other) == count
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=1e-4)


def test_torch_reports_want_of_memory_as_every_encoder_does(torch_encoder, monkeypatch):
    def full(module, args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory (injected)")

    torch_encoder._cnn.register_forward_pre_hook(full)
    with pytest.raises(DeviceMemoryError, match="injected"):
        torch_encoder(_chips(2))

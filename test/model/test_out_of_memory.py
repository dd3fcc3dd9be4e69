"""A device without memory for a whole batch: halves, down to single faces, and the error when even one is too much."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ast_net_ros.model import load_model
from ast_net_ros.model.inference import AffectModel


@pytest.fixture()
def model(monkeypatch):
    """A model on the CPU whose `room` is the largest batch that fits."""
    loaded: Any = load_model(device="cpu")
    whole = AffectModel._encode_at_once
    tried: list[int] = []

    def limited(self, chips):
        tried.append(len(chips))
        if len(chips) > loaded.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory (injected)")
        return whole(self, chips)

    monkeypatch.setattr(AffectModel, "_encode_at_once", limited)
    loaded.tried = tried
    loaded.room = 1000
    return loaded


def _chips(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize(("count", "room"), [(8, 4), (7, 2), (5, 1)])
def test_halves_give_what_the_whole_gives_in_the_same_order(model, count, room, pad):
    chips = _chips(count)
    model.pad_batches = pad
    whole = model.encode(chips)
    model.room = room
    halved = model.encode(chips)
    assert model.oom_splits > 0 and max(n for n in model.tried[-2:]) <= room
    for one, other in zip(whole, halved):
        assert one.shape == other.shape
        assert torch.allclose(one, other, atol=1e-4)


def test_a_single_face_without_room_is_an_error_and_the_next_batch_goes_on(model):
    model.room = 0
    with pytest.raises(torch.cuda.OutOfMemoryError):
        model.encode(_chips(4))
    model.room = 1000
    assert model.encode(_chips(4))[0].shape == (4, model.config.attributes)


def test_other_errors_are_not_tried_again(model, monkeypatch):
    calls = []

    def broken(self, chips):
        calls.append(len(chips))
        raise RuntimeError("cuDNN error")

    monkeypatch.setattr(AffectModel, "_encode_at_once", broken)
    with pytest.raises(RuntimeError, match="cuDNN"):
        model.encode(_chips(4))
    assert calls == [4] and model.oom_splits == 0

"""The CNN in torch: for GPUs, and for the precisions that ONNX Runtime does not offer here."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ast_net_ros.model.encoders import Backend
from ast_net_ros.model.errors import DeviceError, DeviceMemoryError
from ast_net_ros.model.network import DiscreteEmotionCNN, ResidualBlock, network_of
from ast_net_ros.model.weights import Weights


class TorchEncoder:
    """Encodes chips with torch; see `ast_net_ros.model.encoders.Encoder`.

    Attributes:
        pad_batches: Whether batches are padded to a power of two, so that a GPU, which plans its work for every size
            it meets, meets few.

    Raises:
        DeviceError: torch cannot use the device, or the device not the precision.
    """

    def __init__(self, weights: Weights, backend: Backend):
        self._device = torch.device(backend.device)
        self._dtype: torch.dtype = getattr(torch, backend.precision)
        self._check_device()
        self.pad_batches = self._device.type == "cuda"
        cnn = network_of(weights).cnn.eval()
        _fold_normalisation(cnn)
        cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._cnn: DiscreteEmotionCNN = cnn.to(self._device).requires_grad_(False)

    def __call__(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Encoder`."""
        try:
            with torch.inference_mode():
                attributes, logits = self._encode(torch.from_numpy(np.ascontiguousarray(chips)))
            return attributes.numpy(), logits.numpy()
        except torch.cuda.OutOfMemoryError as error:
            reason = str(error)
        # Outside the except clause: the error keeps the memory of the attempt alive.
        torch.cuda.empty_cache()
        raise DeviceMemoryError(reason)

    def _encode(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        count = len(chips)
        if self.pad_batches:
            padding = (1 << (count - 1).bit_length()) - count
            chips = torch.cat([chips, chips[:1].expand(padding, -1, -1)])
        # torch 2.0 refuses float32 on a CPU even where autocast is switched off.
        exact = self._dtype is torch.float32
        with nullcontext() if exact else torch.autocast(self._device.type, self._dtype):
            attributes, logits = self._cnn(chips.to(self._device).unsqueeze(1))
        return attributes[:count].float().cpu(), logits[:count].float().cpu()

    def _check_device(self) -> None:
        if self._device.type != "cuda":
            return
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (self._device.index or 0) >= count:
            raise DeviceError(
                f"device '{self._device}': torch {torch.__version__} sees {count} GPUs; install its CUDA build "
                "(https://pytorch.org)"
            )
        if self._dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported():
            raise DeviceError(f"precision 'bfloat16': {self._device} does not support it; use float32 or float16")


def _fold_normalisation(cnn: nn.Module) -> None:
    """Fold batch normalisation into the convolution before it: the same function with fewer passes over memory."""
    _fold(cnn, "stem", "stem_norm")
    for block in cnn.modules():
        if isinstance(block, ResidualBlock):
            _fold(block, "first", "first_norm")
            _fold(block, "second", "second_norm")
            if isinstance(block.shortcut, nn.Sequential):
                _fold(block.shortcut, "1", "2")


def _fold(owner: nn.Module, convolution: str, norm: str) -> None:
    setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
    setattr(owner, norm, nn.Identity())

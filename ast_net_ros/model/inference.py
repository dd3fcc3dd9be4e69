"""AST-Net ready to run: weights loaded, layers folded, on the device that was asked for.

In: uint8 chips as tensors. Out: attribute features, emotion probabilities, affect. `load_model` is the way in.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ast_net_ros.model.network import (
    SMALLEST_SIGMA,
    AffectOutput,
    ASTNet,
    LSTMState,
    NetworkConfig,
    ResidualBlock,
    StackedLSTM,
)
from ast_net_ros.model.onnx_export import OnnxEncoder, onnx_available
from ast_net_ros.model.weights import WeightsInfo, load_weights

logger = logging.getLogger(__name__)
DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "ast_net.safetensors"


class DeviceError(ValueError):
    """A device or a run-time that was asked for and is not there; the message names it and the mend."""


RUNTIMES = ("torch", "onnxruntime")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class AffectModel:
    """A loaded AST-Net. Safe to share between threads: between calls it keeps nothing but a count.

    device: where it runs. precision: of the CNN's arithmetic, a key of PRECISIONS; the small LSTM always runs in
    float32, so that rounding does not add up over time. runtime: what computes the CNN, one of RUNTIMES; their results
    differ by rounding alone. info: path, SHA-256 and description of its weights.
    pad_batches: whether `encode` fills batches up to a power of two, so that a GPU, which plans anew for every size,
    meets few sizes. oom_splits: how often a batch was too large for the device's memory and went in two halves.
    """

    def __init__(
        self,
        network: ASTNet,
        info: WeightsInfo,
        device: torch.device,
        precision: str = "float32",
        runtime: str = "torch",
        threads: int = 0,
    ):
        self.config: NetworkConfig = network.config
        self.info = info
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.pad_batches = device.type == "cuda"
        self.oom_splits = 0
        network.eval()
        _fold_normalisation(network.cnn)
        self._onnx = OnnxEncoder(network.cnn, self.config.chip_side, threads) if runtime == "onnxruntime" else None
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network.to(device).requires_grad_(False)
        # A GPU has its own kernel for all of it; on a CPU the general LSTM costs several times its arithmetic.
        self._stepper = _Stepper(network.temporal) if device.type == "cpu" else None

    @property
    def weights_path(self) -> str:
        return str(self.info.path)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of configuration and tensors, 64 hex digits."""
        return self.info.sha256

    @property
    def description(self) -> str:
        """What the weights say of their origin."""
        return self.info.description

    @torch.inference_mode()
    def encode(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """chips: N x S x S uint8 -> (N x F attributes on the device, N x 8 emotion probabilities on the CPU).

        What does not fit into the device's memory goes in halves; OutOfMemoryError when a single chip does not.
        """
        try:
            return self._encode_at_once(chips)
        except torch.cuda.OutOfMemoryError:
            if len(chips) == 1:
                raise
        # Outside of the except clause, as the error holds on to the memory of the attempt.
        self.oom_splits += 1
        logger.warning("%s has no memory for a batch of %d faces: it goes in halves", self.device, len(chips))
        torch.cuda.empty_cache()
        half = (len(chips) + 1) // 2
        halves = self.encode(chips[:half]), self.encode(chips[half:])
        return torch.cat([halves[0][0], halves[1][0]]), torch.cat([halves[0][1], halves[1][1]])

    def _encode_at_once(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        if self._onnx:
            attributes, logits = self._onnx(chips)
            return attributes, logits.softmax(dim=1)
        count = len(chips)
        if self.pad_batches:
            filled = 1 << (count - 1).bit_length()
            chips = torch.cat([chips, chips[:1].expand(filled - count, -1, -1)])
        dtype = PRECISIONS[self.precision]
        # torch 2.0 refuses to name float32 on a CPU, even where autocast is switched off.
        with nullcontext() if dtype is torch.float32 else torch.autocast(self.device.type, dtype):
            attributes, logits = self._network.encode(chips.to(self.device).unsqueeze(1))
        return attributes[:count].float(), logits[:count].float().softmax(dim=1).cpu()

    @torch.inference_mode()
    def step(self, attributes: Tensor, state: LSTMState) -> tuple[AffectOutput, LSTMState]:
        """One model step of N faces: N x F attributes and their state -> N x 2 affect and sigma, the state after."""
        if self._stepper:
            return self._stepper(attributes, state)
        return self._network.step(attributes, state)

    def initial_state(self, faces: int) -> LSTMState:
        """The state of N faces never seen before, L x N x H on the device."""
        return self._network.initial_state(faces)

    def warm_up(self, faces: int = 1) -> None:
        """Run once on blank chips so that the first real face does not pay for start-up."""
        side = self.config.chip_side
        attributes, _ = self.encode(torch.zeros(faces, side, side, dtype=torch.uint8))
        self.step(attributes, self.initial_state(faces))


class _Stepper:
    """One model step of the LSTM on a CPU: as StackedLSTM, to rounding, in fewer calls.

    For a handful of faces the arithmetic is next to nothing; what counts is how many calls there are, and what each
    costs before it computes. NumPy's cost less than torch's.
    """

    def __init__(self, temporal: StackedLSTM):
        norm, lstm, head = temporal.input_norm, temporal.lstm, temporal.head
        self._norm_weight, self._norm_bias, self._norm_epsilon = _array(norm.weight), _array(norm.bias), norm.eps
        self._head_weight, self._head_bias = _array(head.weight.t()), _array(head.bias)
        self._layers: list[tuple[np.ndarray, np.ndarray]] = []
        for layer in range(lstm.num_layers):
            parts = (f"{kind}_{side}_l{layer}" for kind in ("weight", "bias") for side in ("ih", "hh"))
            of_input, of_hidden, bias, more_bias = (getattr(lstm, name).detach() for name in parts)
            weight, bias = torch.cat([of_input, of_hidden], dim=1), bias + more_bias
            # torch orders the gates input, forget, cell, output; the three sigmoids lie side by side here. They are
            # taken as (1 + tanh(x / 2)) / 2, so that one tanh serves all four and nothing overflows.
            order, scale = [0, 1, 3, 2], [0.5, 0.5, 0.5, 1.0]
            weight, bias = (
                torch.cat([part.chunk(4)[gate] * by for gate, by in zip(order, scale)]) for part in (weight, bias)
            )
            self._layers.append((_array(weight.t()), _array(bias)))

    def __call__(self, attributes: Tensor, state: LSTMState) -> tuple[AffectOutput, LSTMState]:
        x = attributes.numpy()
        x = x - x.mean(axis=1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=1, keepdims=True) + self._norm_epsilon)
        x = x * self._norm_weight + self._norm_bias
        hidden, cell = state.hidden.numpy(), state.cell.numpy()
        hidden_after, cell_after = np.empty_like(hidden), np.empty_like(cell)
        size = cell.shape[-1]
        for layer, (weight, bias) in enumerate(self._layers):
            gates = np.concatenate([x, hidden[layer]], axis=1) @ weight
            gates += bias
            np.tanh(gates, out=gates)
            opened = gates[:, : 3 * size] * 0.5 + 0.5
            c = opened[:, size : 2 * size] * cell[layer] + opened[:, :size] * gates[:, 3 * size :]
            x = opened[:, 2 * size :] * np.tanh(c)
            hidden_after[layer], cell_after[layer] = x, c
        y = x @ self._head_weight + self._head_bias
        affect, sigma = np.tanh(y[:, :2]), SMALLEST_SIGMA + np.logaddexp(np.float32(0), y[:, 2:])
        output = AffectOutput(torch.from_numpy(affect), torch.from_numpy(sigma))
        return output, LSTMState(torch.from_numpy(hidden_after), torch.from_numpy(cell_after))


def _array(parameter: Tensor) -> np.ndarray:
    return np.ascontiguousarray(parameter.detach().numpy())


def load_model(
    path: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    threads: int = 0,
) -> AffectModel:
    """Load weights (the packaged ones when `path` is None) onto `device`.

    device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N".
    precision: "auto" (float32), "float32", "bfloat16" or "float16"; float16 needs a GPU.
    runtime: "auto" (ONNX Runtime on a CPU in float32 where the package onnx is there, else torch), "torch" or
        "onnxruntime". threads: of ONNX Runtime; 0 for what suits the machine. torch's are set by torch.set_num_threads.
    Raises WeightsError for a file that cannot be used and DeviceError for a device, a precision or a run-time that is
    not there.
    """
    chosen = _choose_device(device)
    arithmetic = _choose_precision(precision, chosen)
    computes = _choose_runtime(runtime, chosen, arithmetic)
    network, info = load_weights(path or DEFAULT_WEIGHTS)
    return AffectModel(network, info, chosen, arithmetic, computes, threads)


def _choose_runtime(name: str, device: torch.device, precision: str) -> str:
    fits = device.type == "cpu" and precision == "float32"
    if name == "auto":
        return "onnxruntime" if fits and onnx_available() else "torch"
    if name not in RUNTIMES:
        raise DeviceError(f"runtime '{name}': unknown; use auto, {' or '.join(RUNTIMES)}")
    if name == "onnxruntime" and not fits:
        raise DeviceError(
            f"runtime 'onnxruntime': runs on the CPU in float32, not on {device} in {precision}; use torch"
        )
    if name == "onnxruntime" and not onnx_available():
        raise DeviceError("runtime 'onnxruntime': it needs the package onnx; pip install onnx, or use torch")
    return name


def _choose_precision(name: str, device: torch.device) -> str:
    if name == "auto":
        # The network is small: no device gains enough from fewer bits to give up equal results.
        return "float32"
    if name not in PRECISIONS:
        raise DeviceError(f"precision '{name}': unknown; use auto, {', '.join(PRECISIONS)}")
    if name == "float16" and device.type == "cpu":
        raise DeviceError("precision 'float16': not for the CPU; use float32, bfloat16, or a CUDA device")
    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(f"precision 'bfloat16': {device} does not support it; use float32 or float16")
    return name


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device '{name}': unknown; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device '{name}': not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"device '{name}': this torch sees {count} CUDA devices; use auto, or install the CUDA build"
            )
    return device


def _fold_normalisation(cnn: nn.Module) -> None:
    """Batch normalisation folded into the convolution before it: the same function, fewer passes over memory."""
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

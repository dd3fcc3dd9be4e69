"""AST-Net ready to run: weights loaded, on the device that was asked for. NumPy arrays in and out."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ast_net_ros.model.config import AffectOutput, LSTMState
from ast_net_ros.model.encoders import Backend, Encoder, choose_backend, make_encoder
from ast_net_ros.model.errors import DeviceMemoryError
from ast_net_ros.model.lstm_step import LSTMStep
from ast_net_ros.model.weights import Weights, read_weights

logger = logging.getLogger(__name__)

DEFAULT_WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "ast_net.safetensors"


class AffectModel:
    """A loaded AST-Net. Safe to share between threads: it keeps no state of faces.

    Made by `load_model` and `build_model`. The LSTM always runs in NumPy in float32: it is small, and rounding errors
    must not accumulate.

    Attributes:
        config: The network's sizes.
        device: Where the CNN runs: "cpu" or "cuda:N".
        precision: The CNN's arithmetic: "float32", "bfloat16" or "float16".
        runtime: What computes the CNN: "onnxruntime", "torch" or "tensorrt".
        weights_path: Path of the weights file.
        weights_hash: SHA-256 of configuration, description and tensors, 64 hex digits.
        description: What the weights file states about its origin.
        encoder: Computes the CNN.
        oom_splits: How many batches did not fit into the device's memory and were split.
    """

    def __init__(self, weights: Weights, backend: Backend, encoder: Encoder):
        self.config = weights.config
        self.device, self.precision, self.runtime = backend.device, backend.precision, backend.runtime
        self.weights_path, self.weights_hash = str(weights.info.path), weights.info.sha256
        self.description = weights.info.description
        self.encoder = encoder
        self.oom_splits = 0
        self._lstm_step = LSTMStep(weights)

    def encode(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode aligned faces. A batch that does not fit into the device's memory is split.

        Args:
            chips: N x S x S uint8.

        Returns:
            Attribute features (N x F float32) and emotion probabilities (N x 8 float32).

        Raises:
            DeviceMemoryError: Not even a single chip fits.
        """
        try:
            attributes, logits = self.encoder(chips)
            exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
            return attributes, exponents / exponents.sum(axis=1, keepdims=True)
        except DeviceMemoryError:
            if len(chips) == 1:
                raise
        self.oom_splits += 1
        logger.warning("%s has no memory for a batch of %d faces; splitting it", self.device, len(chips))
        half = (len(chips) + 1) // 2
        (first, first_emotions), (rest, rest_emotions) = self.encode(chips[:half]), self.encode(chips[half:])
        return np.concatenate([first, rest]), np.concatenate([first_emotions, rest_emotions])

    def step(self, attributes: np.ndarray, state: LSTMState) -> tuple[AffectOutput, LSTMState]:
        """Advance the state of N faces by one model step.

        Args:
            attributes: N x F float32.
            state: Before the step.

        Returns:
            Affect and sigma, N x 2 each, and the state after the step.
        """
        return self._lstm_step(attributes, state)

    def initial_state(self, faces: int) -> LSTMState:
        """Return the state of faces that were never seen: zeros, L x N x H float32 each."""
        shape = self.config.layers, faces, self.config.hidden
        return LSTMState(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def warm_up(self, faces: int = 1) -> None:
        """Run once on blank chips, so that the first real face does not pay for start-up."""
        side = self.config.chip_side
        attributes, _ = self.encode(np.zeros((faces, side, side), np.uint8))
        self.step(attributes, self.initial_state(faces))


def load_model(
    path: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    threads: int = 0,
) -> AffectModel:
    """Load a weights file onto a device.

    Args:
        path: A .safetensors file; None for the packaged weights.
        device: "auto" (the first GPU that the runtime can use, else the CPU), "cpu", "cuda" or "cuda:N".
        precision: "auto" (float32), "float32", "bfloat16", or "float16" (GPU only).
        runtime: "auto" (on the CPU ONNX Runtime in float32, else torch; on a GPU torch where it can use it, else ONNX
            Runtime), "onnxruntime", "torch" or "tensorrt" (ONNX Runtime with TensorRT).
        threads: Threads of ONNX Runtime on the CPU; 0 chooses for this machine. Those of torch are set by
            torch.set_num_threads.

    Raises:
        WeightsError: The file cannot be used.
        DeviceError: The device, precision or runtime is not available.
    """
    return build_model(read_weights(path or DEFAULT_WEIGHTS), device, precision, runtime, threads)


def build_model(
    weights: Weights, device: str = "cpu", precision: str = "auto", runtime: str = "auto", threads: int = 0
) -> AffectModel:
    """Make a model of weights in memory; the other arguments are those of `load_model`."""
    backend = choose_backend(device, precision, runtime)
    return AffectModel(weights, backend, make_encoder(weights, backend, threads))

"""One model step of the stacked LSTM in NumPy: the same function as network.StackedLSTM, up to rounding.

For a handful of faces the arithmetic is negligible; what costs is the number of calls, and NumPy's are the cheapest.
"""

from __future__ import annotations

import numpy as np

from ast_net_ros.model.config import SMALLEST_SIGMA, AffectOutput, LSTMState
from ast_net_ros.model.weights import Weights

_LAYER_NORM_EPSILON = 1e-5


class LSTMStep:
    """Advances the state of N faces by one model step."""

    def __init__(self, weights: Weights):
        tensors = {
            name.removeprefix("temporal."): np.asarray(value, np.float32)
            for name, value in weights.tensors.items()
            if name.startswith("temporal.")
        }
        self._norm_weight, self._norm_bias = tensors["input_norm.weight"], tensors["input_norm.bias"]
        self._head_weight, self._head_bias = np.ascontiguousarray(tensors["head.weight"].T), tensors["head.bias"]
        self._layers = [self._gates(tensors, layer) for layer in range(weights.config.layers)]

    def __call__(self, attributes: np.ndarray, state: LSTMState) -> tuple[AffectOutput, LSTMState]:
        """See `AffectModel.step`."""
        x = attributes - attributes.mean(axis=1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(_LAYER_NORM_EPSILON))
        x = x * self._norm_weight + self._norm_bias
        hidden, cell = np.empty_like(state.hidden), np.empty_like(state.cell)
        size = cell.shape[-1]
        for layer, (weight, bias) in enumerate(self._layers):
            gates = np.concatenate([x, state.hidden[layer]], axis=1) @ weight
            gates += bias
            np.tanh(gates, out=gates)
            opened = gates[:, : 3 * size] * np.float32(0.5) + np.float32(0.5)
            c = opened[:, size : 2 * size] * state.cell[layer] + opened[:, :size] * gates[:, 3 * size :]
            x = opened[:, 2 * size :] * np.tanh(c)
            hidden[layer], cell[layer] = x, c
        y = x @ self._head_weight + self._head_bias
        affect, sigma = np.tanh(y[:, :2]), np.float32(SMALLEST_SIGMA) + np.logaddexp(np.float32(0), y[:, 2:])
        return AffectOutput(affect, sigma), LSTMState(hidden, cell)

    @staticmethod
    def _gates(tensors: dict[str, np.ndarray], layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one layer's weight ((input + H) x 4H) and bias (4H).

        torch orders the gates input, forget, cell, output; here the three sigmoids are neighbours. A sigmoid is
        computed as (1 + tanh(x / 2)) / 2, so that one tanh serves all four gates and nothing overflows.
        """
        weight = np.concatenate([tensors[f"lstm.weight_{side}_l{layer}"] for side in ("ih", "hh")], axis=1)
        bias = tensors[f"lstm.bias_ih_l{layer}"] + tensors[f"lstm.bias_hh_l{layer}"]
        order, scale = [0, 1, 3, 2], np.array([0.5, 0.5, 0.5, 1.0], np.float32)
        weight, bias = (
            np.concatenate([np.split(part, 4)[gate] * by for gate, by in zip(order, scale)]) for part in (weight, bias)
        )
        return np.ascontiguousarray(weight.T), bias

"""The recurrent state of a face, advanced by image stamps at the model's own rate.

Features that fall into one model step (`step_seconds`) are averaged. Every frame is estimated from the state before
the step and the average so far; only when a stamp opens the next step does the result become the state. So a video at
50, 25 or 12.5 frames per second takes the same steps. A step without a frame repeats the features of the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ast_net_ros.model.config import AffectOutput, LSTMState
from ast_net_ros.model.inference import AffectModel

_STAMP_TOLERANCE = 1e-4  # s; a 25 Hz stamp that rounding put just before a step's edge belongs to the new step


class FaceState:
    """The state of one face before the current step, and the features that fell into the step so far.

    Advanced by `advance` only.

    Attributes:
        start: Stamp of the first frame, in seconds.
        last: Stamp of the newest frame, in seconds.
    """

    __slots__ = ("start", "last", "_step", "_sum", "_count", "_before", "_after")

    def __init__(self, start: float):
        self.start = self.last = start
        self._step = 0
        self._sum: np.ndarray | None = None  # F, of the features in the current step
        self._count = 0
        self._before: LSTMState | None = None  # L x 1 x H each; None before the first committed step
        self._after: LSTMState | None = None  # what `_before` becomes if the step ended now

    @property
    def age(self) -> float:
        """Seconds of observation in the state."""
        return self.last - self.start


def advance(
    model: AffectModel, faces: Sequence[FaceState], attributes: np.ndarray, stamps: Sequence[float]
) -> AffectOutput:
    """Advance each face to its newest features.

    The caller bounds gaps, as every missed step costs a step of the LSTM: a track that was lost is a new face.

    Args:
        model: Computes the steps.
        faces: N states, all different.
        attributes: N x F float32.
        stamps: When the features were taken, in seconds. A stamp at or before a face's last one counts into its
            current step.

    Returns:
        Affect and sigma, N x 2 each.
    """
    for face, stamp in zip(faces, stamps):
        if face._sum is None:  # observation begins now, also where earlier frames of the face were lost to an error
            face.start = face.last = stamp
    steps = [
        math.floor((stamp - face.start + _STAMP_TOLERANCE) / model.config.step_seconds)
        for face, stamp in zip(faces, stamps)
    ]
    missed = [max(0, step - face._step - 1) for face, step in zip(faces, steps)]
    for face, step in zip(faces, steps):
        if step > face._step and face._count:
            face._before = face._after
    for empty in range(max(missed, default=0)):
        held = [face for face, count in zip(faces, missed) if count > empty]
        _, after = _run(model, held, np.stack([_mean(face) for face in held]))
        for index, face in enumerate(held):
            face._before = _select(after, index)
    for face, step, features, stamp in zip(faces, steps, attributes, stamps):
        if step > face._step or face._sum is None:
            face._step, face._sum, face._count = max(step, face._step), features, 1
        else:
            face._sum, face._count = face._sum + features, face._count + 1
        face.last = max(face.last, stamp)
    output, after = _run(model, faces, np.stack([_mean(face) for face in faces]))
    for index, face in enumerate(faces):
        face._after = _select(after, index)
    return output


def _mean(face: FaceState) -> np.ndarray:
    assert face._sum is not None
    return face._sum / np.float32(face._count) if face._count > 1 else face._sum


def _run(model: AffectModel, faces: Sequence[FaceState], features: np.ndarray) -> tuple[AffectOutput, LSTMState]:
    before = [face._before or model.initial_state(1) for face in faces]
    if len(before) == 1:
        return model.step(features, before[0])
    joined = LSTMState(*(np.concatenate(parts, axis=1) for parts in zip(*before)))
    return model.step(features, joined)


def _select(state: LSTMState, index: int) -> LSTMState:
    if state.hidden.shape[1] == 1:
        return state
    return LSTMState(state.hidden[:, index : index + 1], state.cell[:, index : index + 1])

"""The stages of a fit, each from a network to one that fits the ratings better: output map, LSTM, CNN.

Every stage starts from the network of the stage before it, returns a copy and takes its randomness from its settings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from ast_net_ros.model.network import ASTNet
from ast_net_ros.training.data.samplers import recorded_clip_sampler
from ast_net_ros.training.engine import Engine
from ast_net_ros.training.fine_tuning import fine_tune
from ast_net_ros.training.fitting.output_map import fit_output_map, with_output_map
from ast_net_ros.training.fitting.rated_faces import RatedFace, chip_clips_of, clips_of, outputs_of, ratings_of
from ast_net_ros.training.stage2 import TemporalTraining, train_siamese

LSTM_TRAINING = TemporalTraining(
    iterations=120, batch=16, clip_steps=120, largest_shift=30, learning_rate=5e-4, weight_decay=0.0
)
CNN_TRAINING = TemporalTraining(
    iterations=60, batch=4, clip_steps=40, largest_shift=10, learning_rate=3e-4, weight_decay=0.0, cnn_share=0.2
)
Fit = Callable[[ASTNet, Sequence[RatedFace], float], ASTNet]
"""(network to start from, faces to fit, delay of their ratings in seconds) -> a fitted copy."""


@dataclass(frozen=True)
class Stage:
    """One stage, and what it needs."""

    name: str
    fit: Fit
    least_people: int = 3
    least_minutes: float = 0.0
    trains_cnn: bool = False  # needs the chips of all faces


def default_stages(engine: Engine | None = None, seed: int = 1) -> tuple[Stage, ...]:
    """Return the stages in the order in which they are tried."""
    lstm = partial(fit_lstm, training=replace(LSTM_TRAINING, seed=seed), engine=engine)
    cnn = partial(fit_cnn, training=replace(CNN_TRAINING, seed=seed), engine=engine)
    # With fewer people the CNN learns who they are, and it is the slowest stage.
    return Stage("map", fit_map), Stage("lstm", lstm), Stage("cnn", cnn, 10, 60.0, trains_cnn=True)


def fit_map(net: ASTNet, faces: Sequence[RatedFace], delay: float) -> ASTNet:
    """Fit an affine map of the two outputs and fold it into the last layer."""
    tracks = [(face, track) for face in faces for track in outputs_of(net, face)]
    ratings = torch.from_numpy(np.concatenate([ratings_of(face, track.ends, delay) for face, track in tracks]))
    before_tanh = torch.cat([track.before_tanh for _, track in tracks])
    rated = torch.isfinite(ratings).all(dim=1)
    return with_output_map(net, fit_output_map(before_tanh[rated], ratings[rated], net.config.step_seconds))


def fit_lstm(
    net: ASTNet, faces: Sequence[RatedFace], delay: float, training: TemporalTraining, engine: Engine | None = None
) -> ASTNet:
    """Train the LSTM further with the losses of stage 2, on the features that the faces come with."""
    sampler = recorded_clip_sampler(clips_of(faces, net.config.step_seconds, delay))
    trained, threads = copy.deepcopy(net), torch.get_num_threads()
    torch.set_num_threads(1)  # the LSTM is so small that more threads mostly wait for each other
    try:
        trained.temporal = train_siamese(lambda _: trained.temporal, sampler, net.config, training, engine=engine)
    finally:
        torch.set_num_threads(threads)
    return trained.eval()


def fit_cnn(
    net: ASTNet, faces: Sequence[RatedFace], delay: float, training: TemporalTraining, engine: Engine | None = None
) -> ASTNet:
    """Train CNN and LSTM further as one; the emotions stay those of before (see `fine_tuning.refit_emotions`)."""
    sampler = recorded_clip_sampler(chip_clips_of(faces, net.config.step_seconds, delay))
    tuned = fine_tune(net.cnn, sampler, net.config, training, engine=engine, temporal=net.temporal)
    trained = copy.deepcopy(net)
    trained.cnn, trained.temporal = tuned.cnn, tuned.temporal
    return trained.eval()

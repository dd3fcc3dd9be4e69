"""Stage 2: train the stacked LSTM as a Siamese network on temporally shifted clips.

In: a sampler of labelled clips (data/samplers.py, data/simulation.py). Out: the trained LSTM, its metrics on held-out
people and, where an output folder is given, `temporal.csv` and the state to resume from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ast_net_ros.model.config import AffectOutput, NetworkConfig
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.checkpoint import Checkpoint, Settings, check_settings, log_row
from ast_net_ros.training.data.samplers import ClipSampler
from ast_net_ros.training.engine import Engine
from ast_net_ros.training.losses import SiameseLoss, concordance, siamese_loss
from ast_net_ros.training.schedule import warmup_cosine

Trained = TypeVar("Trained", bound=nn.Module)

_STATE_FILE = "temporal_state.safetensors"


@dataclass(frozen=True)
class TemporalTraining:
    """Settings of stage 2. The learning rate rises over the first tenth, then falls along a cosine.

    Raises:
        DataError: The clips cannot overlap, or branch_noise is to be put on chips.
    """

    iterations: int = 1500
    batch: int = 48  # clips of each process
    clip_steps: int = 150  # model steps of one branch's clip
    largest_shift: int = 50  # model steps between the starts of both branches' clips, at most
    settle_steps: int = 5  # see `losses.consistency_loss`
    consistency: float = 1.0  # weight of the Siamese term; 0 trains without it
    branch_noise: float = 0.0  # relative, on the features of each branch, independent of the other's
    cnn_share: float = 0.0  # of the learning rate, at which the CNN is fine-tuned; 0 keeps it frozen
    learning_rate: float = 2e-3  # the peak
    weight_decay: float = 1e-4
    seed: int = 1
    check_every: int = 100  # iterations between two rows of the log, and two states to resume from

    def __post_init__(self) -> None:
        if self.largest_shift < 1:
            raise DataError(f"largest_shift is {self.largest_shift}: it must be at least 1 model step")
        if self.largest_shift + self.settle_steps >= self.clip_steps:
            raise DataError(
                f"clips of {self.clip_steps} steps shifted by up to {self.largest_shift} do not overlap after "
                f"{self.settle_steps} steps of settling; lengthen clip_steps or lower largest_shift"
            )
        if self.branch_noise and self.cnn_share:
            raise DataError(
                f"branch_noise is {self.branch_noise} and cnn_share {self.cnn_share}: the noise is on features, but a "
                "CNN that is fine-tuned is given chips; use independent augmentation instead"
            )


def train_siamese(
    make_model: Callable[[NetworkConfig], Trained],
    sampler: ClipSampler,
    network: NetworkConfig,
    training: TemporalTraining | None = None,
    output: Path | None = None,
    valid: ClipSampler | None = None,
    engine: Engine | None = None,
    cnn_digest: str | None = None,
    parameter_groups: Callable[[Trained], list[dict]] | None = None,
) -> Trained:
    """Train a model that is called like a StackedLSTM, or resume the run in `output`.

    A resumed run ends with the same weights as an uninterrupted one: the randomness of an iteration depends only on the
    seed, the iteration's number and the process's rank.

    Args:
        make_model: Makes the model of the given sizes.
        sampler: Clips to train on.
        network: Sizes of the network.
        training: Settings.
        output: Folder for the log and the state to resume from; nothing is written without it.
        valid: Clips of other people, for the log.
        engine: The processes that train; this one alone by default.
        cnn_digest: `checkpoint.state_digest` of the CNN that the clips' features come from.
        parameter_groups: Makes the optimizer's groups of the model's parameters, if they are not trained alike.

    Raises:
        DataError: `output` holds a run with other settings or on another CNN.
    """
    training, engine = training or TemporalTraining(), engine or Engine()
    torch.manual_seed(training.seed)
    model = make_model(network).to(engine.device)
    groups = parameter_groups(model) if parameter_groups else model.parameters()
    optimizer = torch.optim.AdamW(groups, training.learning_rate, weight_decay=training.weight_decay)
    settings = _settings(network, training, engine, cnn_digest)
    checkpoint = Checkpoint(output / _STATE_FILE, settings, {"model": model}, optimizer) if output else None
    first = int(checkpoint.load().get("iteration", 0)) if checkpoint else 0
    schedule = warmup_cosine(optimizer, training.iterations, max(1, training.iterations // 10), finished_steps=first)
    branch, stepper = engine.prepare(model, optimizer)
    losses: list[Tensor] = []
    started = time.perf_counter()
    iterations = range(first, training.iterations)
    # leave=None: a bar below another one, as of several trainings, is removed at its end.
    for iteration in tqdm(iterations, "training", unit="batch", disable=engine.rank > 0, leave=None):
        model.train()
        seed = (training.seed * 1_000_003 + iteration) * engine.processes + engine.rank
        loss = _batch_loss(branch, sampler, training, torch.Generator().manual_seed(seed), engine.device)
        engine.step(loss.total, branch, stepper, largest_norm=1.0)
        schedule.step()
        losses.append(torch.stack(loss).detach().cpu())
        done = iteration + 1
        if checkpoint and (done % training.check_every == 0 or done == training.iterations):
            if engine.rank == 0:
                row = dict(zip(("loss", "regression", "consistency"), torch.stack(losses).mean(dim=0).tolist()))
                metrics = temporal_metrics(model.eval(), valid, count=64) if valid else {}
                row |= {name: metrics.get(name, "") for name in ("ccc_valence", "ccc_arousal")}
                seconds = time.perf_counter() - started
                log_row(checkpoint.path.with_name("temporal.csv"), {"iteration": done, **row, "seconds": seconds})
                checkpoint.save(iteration=done)
            losses.clear()
            engine.wait()
    return model.eval()


train_temporal = partial(train_siamese, StackedLSTM)
"""`train_siamese` for a stacked LSTM on features of a frozen CNN."""


def _batch_loss(
    branch: Callable, sampler: ClipSampler, training: TemporalTraining, generator: torch.Generator, device: torch.device
) -> SiameseLoss:
    """Sample a batch, show its beginning to one branch and its end to the other, and compare."""
    shift = int(torch.randint(1, training.largest_shift + 1, (1,), generator=generator))
    batch = sampler(training.batch, training.clip_steps + shift, generator).to(device)
    first, second = batch.views()
    # Both branches as one batch: they share their weights by construction, and several processes follow one pass.
    inputs = torch.cat([first[:, :-shift], second[:, shift:]])
    if training.branch_noise:
        inputs = inputs * (1 + training.branch_noise * torch.randn(inputs.shape, generator=generator).to(device))
    output, _ = branch(inputs)
    earlier, later = (AffectOutput(*part) for part in zip(output.affect.chunk(2), output.sigma.chunk(2)))
    return siamese_loss(earlier, later, batch.labels, shift, training.settle_steps, training.consistency)


def _settings(network: NetworkConfig, training: TemporalTraining, engine: Engine, cnn_digest: str | None) -> Settings:
    return {
        "training": asdict(training),
        "network": asdict(network),
        "engine": {"processes": engine.processes},
        "cnn": {"digest": cnn_digest},
    }


def check_run(
    output: Path, network: NetworkConfig, training: TemporalTraining, engine: Engine, cnn_digest: str | None = None
) -> None:
    """Raise what `train_siamese` would raise, before the data are read, which may take long."""
    check_settings(output / _STATE_FILE, _settings(network, training, engine, cnn_digest))


@torch.inference_mode()
def temporal_metrics(model: nn.Module, sampler: ClipSampler, count: int = 200, steps: int = 300) -> dict[str, float]:
    """Measure CCC, RMSE and the calibration of sigma on `count` held-out clips of `steps` model steps, concatenated.

    Moments without a label do not count. `within_one_sigma_` is a share, 0.683 for calibrated normal errors.
    """
    device = next(model.parameters()).device
    batch = sampler(count, steps, torch.Generator().manual_seed(0)).to(device)
    output, _ = model(batch.inputs)
    labelled = torch.isfinite(batch.labels).all(dim=-1)
    affect, sigma, labels = output.affect[labelled], output.sigma[labelled], batch.labels[labelled]
    error = affect - labels
    measures = {
        "ccc": concordance(affect, labels),
        "rmse": error.square().mean(dim=0).sqrt(),
        "within_one_sigma": (error.abs() <= sigma).float().mean(dim=0),
    }
    return {
        f"{measure}_{dimension}": round(value, 4)
        for measure, values in measures.items()
        for dimension, value in zip(("valence", "arousal"), values.tolist())
    }

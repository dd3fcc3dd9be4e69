"""Stage 1: train the discrete-emotion CNN on the raters' vote distributions.

In: two sets of :class:`~ast_net_ros.training.data.faces.Faces`. Out, in the output folder: `cnn.safetensors` (averaged
weights of the best epoch), `last.safetensors` (the state to resume from) and `epochs.csv`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.checkpoint import Checkpoint, log_row, save_cnn, state_digest
from ast_net_ros.training.data.faces import Faces, majority_emotion, vote_distribution
from ast_net_ros.training.data.samplers import rarity_weights, weighted_order
from ast_net_ros.training.engine import Engine
from ast_net_ros.training.losses import vote_cross_entropy
from ast_net_ros.training.schedule import warmup_cosine
from ast_net_ros.training.transfer.distillation import mixup, teacher_probabilities

_Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class AttributeTraining:
    """Settings of stage 1. The learning rate rises during the first epoch, then falls along a cosine.

    All shares and strengths are in [0, 1].
    """

    epochs: int = 30
    batch: int = 128  # faces
    learning_rate: float = 0.1  # the peak
    weight_decay: float = 5e-4  # of weights; biases and the scales of normalisations do not decay
    average_decay: float = 0.998  # per step, of the exponential moving average of the weights
    unaligned_share: float = 0.15  # of faces shown unaligned, so that the CNN tolerates poor landmarks
    final_strength: float = 0.4  # of the augmentation at the end; it falls linearly from 1
    rare_exponent: float = 0.25  # see `rarity_weights`
    teacher_share: float = 0.5  # of the teachers' probabilities in the targets; the rest is the votes
    mixup_share: float = 0.0  # of the batches that mixup blends; falls to 0 over the last 15 % of the run
    mixup_alpha: float = 0.3  # of its Beta distribution
    precision: str = "float32"  # or "bfloat16", for convolutions under autocast
    seed: int = 1


def train_attributes(
    train: Faces,
    valid: Faces,
    output: Path,
    training: AttributeTraining | None = None,
    network: NetworkConfig | None = None,
    device: str = "cpu",
    initial_cnn: DiscreteEmotionCNN | None = None,
    teachers: Sequence[DiscreteEmotionCNN] = (),
) -> float:
    """Train, or resume the run in `output`.

    A resumed run ends with the same weights as an uninterrupted one: the randomness of an epoch depends only on the
    seed and the epoch's number.

    Args:
        train: Faces to train on.
        valid: Faces to choose the best epoch by.
        output: Folder for the results.
        training: Settings.
        network: Sizes of the CNN.
        device: "cpu", "cuda" or "cuda:N".
        initial_cnn: Weights to start from in place of random ones.
        teachers: CNNs to distil; their probabilities are averaged.

    Returns:
        The majority accuracy of the best epoch on `valid`, in [0, 1].

    Raises:
        DataError: `output` holds a run with other settings.
    """
    training, network, engine = training or AttributeTraining(), network or NetworkConfig(), Engine(device)
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(training.seed)
    settings = {
        "training": asdict(training),
        "network": asdict(network),
        "initial_cnn": {"digest": state_digest(initial_cnn) if initial_cnn else None},
        "teachers": {"digests": [state_digest(teacher) for teacher in teachers]},
    }
    model = (initial_cnn or DiscreteEmotionCNN(network)).to(engine.device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(model, multi_avg_fn=_moving_average(training.average_decay), use_buffers=True)
    optimizer = _optimizer(model, training)
    checkpoint = Checkpoint(output / "last.safetensors", settings, {"model": model, "averaged": averaged}, optimizer)
    progress = checkpoint.load()
    first_epoch = int(progress.get("epoch", 0))
    best, best_accuracy = progress.get("best", math.inf), progress.get("best_accuracy", 0.0)

    images = torch.from_numpy(np.stack([train.chips, train.images])).unsqueeze(2)  # aligned, unaligned
    votes = torch.from_numpy(vote_distribution(train.votes))
    autocast = partial(torch.autocast, engine.device.type, torch.bfloat16, enabled=training.precision == "bfloat16")
    for teacher in teachers:
        teacher.eval().to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = rarity_weights(votes, training.rare_exponent)
    usable = int((weights > 0).sum())
    steps = math.ceil(usable / training.batch)
    schedule = warmup_cosine(optimizer, training.epochs * steps, warmup_steps=steps, finished_steps=first_epoch * steps)
    for epoch in range(first_epoch, training.epochs):
        started, total = time.perf_counter(), 0.0
        torch.manual_seed(training.seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(training.seed * 100_003 + epoch)
        order = weighted_order(weights, usable, generator).split(training.batch)
        model.train()
        for index, chosen in enumerate(tqdm(order, f"epoch {epoch + 1}/{training.epochs}", unit="batch")):
            unaligned = (torch.rand(len(chosen), generator=generator) < training.unaligned_share).long()
            done = (epoch + index / steps) / training.epochs
            strength = 1 + (training.final_strength - 1) * done
            wanted = votes[chosen].to(engine.device)
            chips = augment(images[unaligned, chosen].to(engine.device).float(), generator, strength)
            if float(torch.rand((), generator=generator)) < training.mixup_share * min(1.0, (1 - done) / 0.15):
                chips, wanted = mixup(chips, wanted, training.mixup_alpha, generator)
            chips = chips.to(memory_format=torch.channels_last)
            with autocast():
                if teachers:
                    taught = teacher_probabilities(teachers, chips, generator)
                    wanted = torch.lerp(wanted, taught, training.teacher_share)
                _, logits = model(chips)
            loss = vote_cross_entropy(logits, wanted)
            engine.step(loss, model, optimizer, largest_norm=5.0)
            schedule.step()
            averaged.update_parameters(model)
            total += float(loss.detach())
        error, accuracy = held_out_metrics(averaged, valid, device)
        if error < best:
            best, best_accuracy = error, accuracy
            save_cnn(averaged.module, network, output / "cnn.safetensors")
        checkpoint.save(epoch=epoch + 1, best=best, best_accuracy=best_accuracy)
        row = {"epoch": epoch + 1, "train_loss": total / steps, "valid_loss": error, "valid_accuracy": accuracy}
        log_row(output / "epochs.csv", row | {"seconds": time.perf_counter() - started})
    return best_accuracy


def _optimizer(model: nn.Module, training: AttributeTraining) -> torch.optim.Optimizer:
    """SGD; weights decay, biases and the scales of normalisations do not."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, training.learning_rate, momentum=0.9, nesterov=True)


def _moving_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    """Update function of AveragedModel: an exponential moving average whose decay rises to `decay`, counters copied."""

    @torch.no_grad()
    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(count)) / (20 + int(count)))
        for ours, theirs in zip(averaged, current):
            if ours.is_floating_point():
                ours.lerp_(theirs, weight)
            else:
                ours.copy_(theirs)

    return update


def held_out_metrics(model: nn.Module, faces: Faces, device: str = "cpu") -> tuple[float, float]:
    """Measure a CNN on the chips of `faces` that have a majority emotion and are no duplicates of training images.

    Returns:
        Cross-entropy against the votes, by which epochs are compared as it varies less from chance than accuracy does,
        and FER+ majority accuracy in [0, 1] (Barsoum et al. 2016).
    """
    truth = majority_emotion(faces.votes)
    chosen = (truth >= 0) & ~faces.duplicate
    logits = _predict_logits(model, faces.chips[chosen], device)
    error = vote_cross_entropy(logits, torch.from_numpy(vote_distribution(faces.votes[chosen])))
    return float(error), float((logits.argmax(dim=1).numpy() == truth[chosen]).mean())


@torch.inference_mode()
def _predict_logits(model: nn.Module, chips: np.ndarray, device: str, batch: int = 256) -> Tensor:
    """N x 8 logits of N x S x S uint8 chips, on the CPU."""
    model.eval()
    parts = torch.from_numpy(chips).unsqueeze(1).split(batch)
    return torch.cat([model(p.to(device))[1].float().cpu() for p in parts])

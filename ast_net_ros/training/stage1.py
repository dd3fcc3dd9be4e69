"""Stage 1: the discrete-emotion CNN, trained on the raters' vote distributions.

In: two sets of :class:`~ast_net_ros.training.data.faces.Faces`. Out: `cnn.safetensors` (the averaged weights of the
best epoch), `last.safetensors` (everything a later run needs to go on) and `epochs.csv` in the output folder.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from ast_net_ros.model.network import DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.model.weights import parse_config
from ast_net_ros.training.augmentation import augment
from ast_net_ros.training.data.faces import DataError, Faces, majority_emotion, vote_distribution


@dataclass(frozen=True)
class AttributeTraining:
    """How stage 1 is trained. Learning rate rises over the first epoch, then falls along a cosine.

    unaligned_share: how often a face is shown as it stands in its picture instead of as its chip,
    so that a poor landmark does not lose the face.
    final_strength: augmentation falls along a line from full strength to this share of it, so that
    the last epochs see faces nearly as the camera does.
    rare_exponent: a face is drawn in proportion to (how rare its emotions are) ** this; 0 draws all alike.
    precision: "float32", or "bfloat16" for convolutions in fewer bits; the weights stay float32.
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    average_decay: float = 0.998
    unaligned_share: float = 0.15
    final_strength: float = 0.4
    rare_exponent: float = 0.25
    precision: str = "float32"
    seed: int = 1


def train_attributes(
    train: Faces,
    valid: Faces,
    output: Path,
    training: AttributeTraining | None = None,
    network: NetworkConfig | None = None,
    device: str = "cpu",
    start: DiscreteEmotionCNN | None = None,
) -> float:
    """Train, or go on with the run in `output`; returns the best valid majority accuracy in [0, 1].

    start: weights to begin with in place of random ones (see :mod:`~ast_net_ros.training.warm_start`).

    Interrupted and continued, a run ends with the same weights as one in a single go: each epoch's
    randomness depends on the seed and the epoch's number alone.
    """
    training, network = training or AttributeTraining(), network or NetworkConfig()
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(training.seed)
    model = (start or DiscreteEmotionCNN(network)).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    optimizer = _optimizer(model, training)
    settings = {"training": asdict(training), "network": asdict(network), "start": _fingerprint(start)}
    first_epoch, best = _resume(output / "last.safetensors", settings, model, average, optimizer)

    targets = torch.from_numpy(vote_distribution(train.votes))
    weights = draw_weights(targets, training.rare_exponent)
    usable = int((weights > 0).sum())
    pictures = torch.from_numpy(np.stack([train.chips, train.images])).unsqueeze(2)
    steps = math.ceil(usable / training.batch)
    for epoch in range(first_epoch, training.epochs):
        began = time.perf_counter()
        torch.manual_seed(training.seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(training.seed * 100_003 + epoch)
        order = draw_order(weights, usable, generator)
        model.train()
        total = 0.0
        progress = tqdm(order.split(training.batch), desc=f"epoch {epoch + 1}/{training.epochs}", unit="batch")
        for index, chosen in enumerate(progress):
            step = epoch * steps + index
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(step, steps, training)
            unaligned = (torch.rand(len(chosen), generator=generator) < training.unaligned_share).long()
            chips = pictures[unaligned, chosen].to(device).float()
            strength = 1 + (training.final_strength - 1) * step / (training.epochs * steps)
            loss = _loss(model, augment(chips, generator, strength), targets[chosen].to(device), training.precision)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            _update_average(average, model, min(training.average_decay, (1 + step) / (20 + step)))
            total += float(loss.detach())
        accuracy = majority_accuracy(average, valid, device)
        if accuracy > best:
            best = accuracy
            save_file(_state(average, ""), output / "cnn.safetensors", {"network": json.dumps(asdict(network))})
        _checkpoint(output / "last.safetensors", settings, epoch + 1, best, model, average, optimizer)
        _log(output / "epochs.csv", epoch + 1, total / steps, accuracy, time.perf_counter() - began)
    return best


def _optimizer(model: nn.Module, training: AttributeTraining) -> torch.optim.Optimizer:
    """Weights decay; biases and the normalisations' scales do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.SGD(
        [{"params": decayed, "weight_decay": training.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=training.learning_rate,
        momentum=0.9,
        nesterov=True,
    )


def _loss(model: nn.Module, chips: Tensor, targets: Tensor, precision: str) -> Tensor:
    """Mean cross-entropy of N x 1 x S x S chips against N x 8 vote distributions."""
    with torch.autocast(chips.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        _, logits = model(chips.to(memory_format=torch.channels_last))
    return -(targets * torch.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()


def draw_weights(targets: Tensor, rare_exponent: float) -> Tensor:
    """N relative frequencies (float64) of drawing each face, from N x 8 targets; 0 where there is no target.

    A face weighs the mean of (largest share / own share) ** rare_exponent over its emotions.
    """
    share = targets.double().sum(dim=0)
    rarity = (share.max() / share.clamp(min=1)) ** rare_exponent
    return targets.double() @ rarity


def draw_order(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` indices in random order, each about as often as its weight says.

    Systematic sampling: the whole part of an expected number of draws is certain, so with equal weights every
    face comes exactly once.
    """
    ends = torch.cumsum(weights * (count / weights.sum()), dim=0)
    ends[-1] = count
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    drawn = torch.searchsorted(ends, torch.arange(count, dtype=torch.float64) + offset, right=True)
    return drawn[torch.randperm(count, generator=generator)]


def load_cnn(path: Path) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """The CNN in a `cnn.safetensors`, and the configuration it was trained with. Raises DataError for another file."""
    try:
        with safe_open(path, framework="pt") as stored:
            network = parse_config((stored.metadata() or {}).get("network", ""))
        cnn = DiscreteEmotionCNN(network)
        cnn.load_state_dict(load_file(path))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: not a cnn.safetensors of `ast_net train-attributes` ({error})") from error
    return network, cnn.eval()


def majority_accuracy(model: nn.Module, faces: Faces, device: str = "cpu") -> float:
    """FER+ majority accuracy on the chips of `faces`, duplicates of training pictures left out."""
    truth = majority_emotion(faces.votes)
    chosen = (truth >= 0) & ~faces.duplicate
    predicted = predict_logits(model, faces.chips[chosen], device).argmax(dim=1).numpy()
    return float((predicted == truth[chosen]).mean())


@torch.inference_mode()
def predict_logits(model: nn.Module, chips: np.ndarray, device: str = "cpu", batch: int = 256) -> Tensor:
    """N x 8 logits of N x S x S uint8 chips, on the CPU."""
    model.eval()
    parts = torch.from_numpy(chips).unsqueeze(1).split(batch)
    return torch.cat([model(p.to(device))[1].float().cpu() for p in parts])


def _learning_rate(step: int, steps_per_epoch: int, training: AttributeTraining) -> float:
    last = training.epochs * steps_per_epoch
    if step < steps_per_epoch:
        return training.learning_rate * (step + 1) / steps_per_epoch
    progress = (step - steps_per_epoch) / max(1, last - steps_per_epoch)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    ours, theirs = average.state_dict(), model.state_dict()
    for name, value in ours.items():
        if value.dtype.is_floating_point:
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])


def _fingerprint(start: nn.Module | None) -> str | None:
    if start is None:
        return None
    digest = hashlib.sha256()
    for value in start.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def _checkpoint(
    path: Path,
    settings: dict,
    epoch: int,
    best: float,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = {**_state(model, "model."), **_state(average, "average.")}
    for name, parameter in model.named_parameters():
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors["momentum." + name] = buffer.cpu().contiguous()
    aside = path.with_suffix(".partial")
    save_file(tensors, aside, {"settings": json.dumps(settings), "epoch": str(epoch), "best": repr(best)})
    aside.replace(path)


def _resume(
    path: Path, settings: dict, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load the run in `path` if there is one; returns the number of finished epochs and the best accuracy."""
    if not path.is_file():
        return 0, 0.0
    with safe_open(path, framework="pt") as stored:
        about = stored.metadata()
        before = json.loads(about["settings"])
        now = json.loads(json.dumps(settings))
        if before != now:
            raise DataError(f"{path} belongs to a run with {before}, this one has {now}; choose another output folder")
        names = list(stored.keys())
        tensors = {name: stored.get_tensor(name) for name in names}
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    average.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("average.")})
    for name, parameter in model.named_parameters():
        if "momentum." + name in tensors:
            momentum = torch.empty_like(parameter).copy_(tensors["momentum." + name])
            optimizer.state[parameter]["momentum_buffer"] = momentum
    return int(about["epoch"]), float(about["best"])


def _log(path: Path, epoch: int, loss: float, accuracy: float, seconds: float) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["epoch", "train_loss", "valid_accuracy", "seconds"])
        writer.writerow([epoch, f"{loss:.5f}", f"{accuracy:.5f}", f"{seconds:.1f}"])

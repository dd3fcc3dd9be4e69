"""Stage 2: the stacked LSTM, trained as a Siamese network on temporally shifted clips.

In: features with labels (simulation.py, recorded_clips.py). Out: a trained :class:`StackedLSTM`, its figures on
held-out people and, where an output folder is given, `temporal.csv` and what is needed to go on after an interruption.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ast_net_ros.model.network import AffectOutput, NetworkConfig, StackedLSTM
from ast_net_ros.training.data.faces import DataError
from ast_net_ros.training.engine import Engine, SingleProcess
from ast_net_ros.training.losses import concordance, consistency_loss, regression_loss

ClipSampler = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]
"""(count, steps, generator) -> features (count x steps x F) and labels (count x steps x 2, NaN for none).

For training, features may be 2 x count x steps x F: each Siamese branch's own look at the same moments. Where the
CNN is trained along, chips (S x S) stand in place of the features (F).
"""

Trained = TypeVar("Trained", bound=nn.Module)

STATE_FILE = "temporal_state.safetensors"

_LOG_COLUMNS = ("iteration", "loss", "regression", "consistency", "ccc_valence", "ccc_arousal", "seconds")


@dataclass(frozen=True)
class TemporalTraining:
    """How stage 2 is trained. clip_steps: length of a branch's clip. largest_shift: between the branches, in steps.

    consistency: weight of the Siamese term; 0 trains without it. settle_steps: see objective.consistency_loss.
    branch_noise: relative noise (standard deviation) on the features, each branch's its own, as if each had looked for
        itself; without it both see the very same features of a moment, and to consistency asks for no calm under noise.
    cnn_share: of the learning rate, at which the CNN is trained along (fine_tuning.py); 0 keeps it frozen.
    batch: clips of each process. learning_rate rises over the first tenth, then falls along a cosine.
    check_every: iterations from one line of the log (and one state to go on from) to the next.
    """

    iterations: int = 1500
    batch: int = 48
    clip_steps: int = 150
    largest_shift: int = 50
    settle_steps: int = 5
    consistency: float = 1.0
    branch_noise: float = 0.0
    cnn_share: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 1
    check_every: int = 100

    def __post_init__(self) -> None:
        if self.largest_shift < 1:
            raise DataError(f"largest_shift is {self.largest_shift}: the second clip must begin at least a step later")
        if self.largest_shift + self.settle_steps >= self.clip_steps:
            raise DataError(
                f"clips of {self.clip_steps} steps shifted by up to {self.largest_shift} leave nothing to consistency on "
                f"after {self.settle_steps} steps of settling; lengthen clip_steps or lower largest_shift"
            )
        if self.branch_noise and self.cnn_share:
            raise DataError(
                f"branch_noise is {self.branch_noise} while the CNN is trained along: it is noise on features, and "
                "there are none; let each clip have its own look instead"
            )


@dataclass(frozen=True)
class CNNFile:
    """The file of the CNN that a run stands on, as its user named it. sha256: of the file."""

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> CNNFile:
        """Reads the file to the end."""
        return cls(str(path), hashlib.sha256(path.read_bytes()).hexdigest())

    def __str__(self) -> str:
        return f"{self.path} (SHA-256 {self.sha256})"


def train_temporal(
    draw: ClipSampler,
    network: NetworkConfig,
    training: TemporalTraining | None = None,
    output: Path | None = None,
    valid: ClipSampler | None = None,
    engine: Engine | None = None,
    cnn: CNNFile | None = None,
) -> StackedLSTM:
    """Train a stacked LSTM on clips that `draw` makes, or go on with the run in `output`.

    Interrupted and continued, a run ends with the same weights as one in a single go: each iteration's
    randomness depends on the seed, the iteration's number and the process's rank alone.
    valid: clips of other people, for the log. cnn: whose features the clips are made of. Raises DataError when `output`
    holds a run with other settings, or on another CNN.
    """
    return train_model(StackedLSTM, draw, network, training, output, valid, engine, cnn=cnn)


def train_model(
    make_model: Callable[[NetworkConfig], Trained],
    draw: ClipSampler,
    network: NetworkConfig,
    training: TemporalTraining | None = None,
    output: Path | None = None,
    valid: ClipSampler | None = None,
    engine: Engine | None = None,
    parameter_groups: Callable[[Trained], list[dict]] | None = None,
    cnn: CNNFile | None = None,
) -> Trained:
    """`train_temporal` for anything that is called like a StackedLSTM.

    parameter_groups: the optimizer's groups; "share" of one is that of its learning rate.
    """
    training, engine = training or TemporalTraining(), engine or SingleProcess()
    torch.manual_seed(training.seed)
    model = make_model(network).to(engine.device)
    groups = parameter_groups(model) if parameter_groups else [{"params": list(model.parameters())}]
    optimizer = torch.optim.AdamW(groups, training.learning_rate, weight_decay=training.weight_decay)
    settings = _settings(network, training, engine)
    state = output / STATE_FILE if output else None
    first = _resume(state, settings, cnn, model, optimizer) if state else 0
    branch, stepper = engine.prepare(model, optimizer)
    losses: list[Tensor] = []
    began = time.perf_counter()
    progress = tqdm(range(first, training.iterations), "training LSTM", unit="batch", disable=engine.rank > 0)
    for iteration in progress:
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(iteration, training) * group.get("share", 1.0)
        generator = torch.Generator().manual_seed(
            (training.seed * 1_000_003 + iteration) * engine.processes + engine.rank
        )
        loss, parts = _siamese_loss(branch, draw, training, generator, engine.device)
        engine.step(loss, branch, stepper, largest_norm=1.0)
        losses.append(parts)
        done = iteration + 1
        if output and state and (done % training.check_every == 0 or done == training.iterations):
            if engine.rank == 0:
                _log(output, done, torch.stack(losses).mean(dim=0), model, valid, time.perf_counter() - began)
                _checkpoint(state, settings, cnn, done, model, optimizer)
            losses.clear()
            engine.wait()
    return model.eval()


def _siamese_loss(
    branch: Callable, draw: ClipSampler, training: TemporalTraining, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The loss to minimise, and what is logged of it: (loss, regression, consistency)."""
    shift = int(torch.randint(1, training.largest_shift + 1, (1,), generator=generator))
    features, labels = (t.to(device) for t in draw(training.batch, training.clip_steps + shift, generator))
    # Both branches in one batch: the same weights by construction, and one pass for several processes to follow.
    one_look = features.shape[:2] == labels.shape[:2]
    looks = torch.stack([features, features]) if one_look else features
    seen = torch.cat([looks[0, :, :-shift], looks[1, :, shift:]])
    if training.branch_noise:
        seen = seen * (1 + training.branch_noise * torch.randn(seen.shape, generator=generator).to(device))
    both, _ = branch(seen)
    earlier, later = (AffectOutput(*pair) for pair in zip(both.affect.chunk(2), both.sigma.chunk(2)))
    regression = (regression_loss(earlier, labels[:, :-shift]) + regression_loss(later, labels[:, shift:])) / 2
    consistency = consistency_loss(earlier.affect, later.affect, shift, training.settle_steps)
    loss = regression + training.consistency * consistency if training.consistency else regression
    return loss, torch.stack([loss.detach(), regression.detach(), consistency.detach()]).cpu()


def _learning_rate(iteration: int, training: TemporalTraining) -> float:
    rising = max(1, training.iterations // 10)
    if iteration < rising:
        return training.learning_rate * (iteration + 1) / rising
    progress = (iteration - rising) / max(1, training.iterations - rising)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _settings(network: NetworkConfig, training: TemporalTraining, engine: Engine) -> dict:
    """What a run that is continued must have in common with the one before, but for the CNN."""
    return {"training": asdict(training), "network": asdict(network), "processes": engine.processes}


def _checkpoint(
    path: Path,
    settings: dict,
    cnn: CNNFile | None,
    iterations: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value.detach().cpu().contiguous()
    aside = path.with_suffix(".partial")
    about = {"settings": json.dumps(settings), "iterations": str(iterations)}
    save_file(tensors, aside, about | ({"cnn": json.dumps(asdict(cnn))} if cnn else {}))
    aside.replace(path)


def check_run(
    output: Path, network: NetworkConfig, training: TemporalTraining, engine: Engine, cnn: CNNFile | None = None
) -> None:
    """Raise DataError where training into `output` would refuse to go on, before the data are read, which may last."""
    if (output / STATE_FILE).is_file():
        _read_state(output / STATE_FILE, _settings(network, training, engine), cnn)


def _read_state(path: Path, settings: dict, cnn: CNNFile | None) -> tuple[int, dict[str, Tensor]]:
    """(finished iterations, tensors) of a run with these settings on this CNN; DataError for every other."""
    try:
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata() or {}
            before, now = json.loads(about["settings"]), json.loads(json.dumps(settings))
            cnn_before = CNNFile(**json.loads(about["cnn"])) if "cnn" in about else None
            iterations = int(about["iterations"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not the state of a run ({error}); remove it to begin anew") from error
    if before != now:
        raise DataError(f"{path} belongs to a run with {before}, this one has {now}; choose another output folder")
    if (cnn_before and cnn_before.sha256) != (cnn and cnn.sha256):
        raise DataError(
            f"{path} belongs to a run on the CNN {cnn_before or 'of an unknown file'}, this one is on "
            f"{cnn or 'one of an unknown file'}; choose another output folder"
        )
    return iterations, tensors


def _resume(path: Path, settings: dict, cnn: CNNFile | None, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the run in `path` if there is one; returns the number of finished iterations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        return 0
    iterations, tensors = _read_state(path, settings, cnn)
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in model.named_parameters():
        if f"step.{name}" in tensors:  # a parameter that is held has none
            optimizer.state[parameter] = {
                key: tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
    return iterations


def _log(
    output: Path, iteration: int, losses: Tensor, model: nn.Module, valid: ClipSampler | None, seconds: float
) -> None:
    """One line of temporal.csv. Lines of iterations that are made again after an interruption are replaced."""
    path = output / "temporal.csv"
    rows: list[list[str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [row for row in list(csv.reader(file))[1:] if row and int(row[0]) < iteration]
    ccc = ["", ""]
    if valid:
        figures = temporal_metrics(model.eval(), valid, count=64)
        ccc = [f"{figures[f'ccc_{name}']:.5f}" for name in ("valence", "arousal")]
    rows.append([str(iteration), *(f"{float(value):.5f}" for value in losses), *ccc, f"{seconds:.1f}"])
    aside = path.with_suffix(".partial")
    with aside.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([list(_LOG_COLUMNS), *rows])
    aside.replace(path)


@torch.inference_mode()
def temporal_metrics(model: nn.Module, draw: ClipSampler, seed: int = 0, count: int = 200, steps: int = 300) -> dict:
    """CCC, RMSE and calibration of sigma on `count` held-out clips, those of all put end to end.

    Keys name the dimension. Moments without a label do not count.
    """
    device = next(model.parameters()).device
    features, labels = (t.to(device) for t in draw(count, steps, torch.Generator().manual_seed(seed)))
    output, _ = model(features)
    labelled = torch.isfinite(labels).all(dim=-1)
    affect, sigma, labels = output.affect[labelled], output.sigma[labelled], labels[labelled]
    error = affect - labels
    ccc, rmse = concordance(affect, labels), error.square().mean(dim=0).sqrt()
    within = (error.abs() <= sigma).float().mean(dim=0)  # 0.683 for a calibrated normal error
    names = ("valence", "arousal")
    return {
        **{f"ccc_{n}": round(float(v), 4) for n, v in zip(names, ccc)},
        **{f"rmse_{n}": round(float(v), 4) for n, v in zip(names, rmse)},
        **{f"within_one_sigma_{n}": round(float(v), 4) for n, v in zip(names, within)},
    }

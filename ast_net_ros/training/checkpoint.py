"""Files of a run of either stage: the state to resume from, its log, and the CNN that stage 1 hands to stage 2.

All are written whole or not at all, the state and the CNN as safetensors. A run is resumed only with the settings it
was started with.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ast_net_ros.atomic_files import atomic_file
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.model.weights import parse_config
from ast_net_ros.rating_files import DataError

_READ_ERRORS = (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError, RuntimeError)

Settings = Mapping[str, Mapping[str, Any]]
"""What a run must share with the one it resumes: section -> name -> JSON value."""


class Checkpoint:
    """The state of one run with these settings: named modules, optimizer and progress, kept in the file `path`."""

    def __init__(self, path: Path, settings: Settings, modules: Mapping[str, nn.Module], optimizer: Optimizer):
        self.path, self.settings, self.modules, self.optimizer = path, settings, modules, optimizer

    def save(self, **progress: float) -> None:
        """Write the current state and `progress` (named numbers), replacing the state before."""
        tensors: dict[str, Tensor] = {}
        for module_name, module in self.modules.items():
            tensors |= {f"{module_name}/{name}": value for name, value in module.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in state.items()}
        _save(tensors, self.path, {"settings": json.dumps(self.settings), "progress": json.dumps(progress)})

    def load(self) -> dict[str, float]:
        """Restore modules and optimizer, and return the progress that was saved, empty where there is no file yet.

        Raises:
            DataError: The file is damaged or belongs to a run with other settings.
        """
        if not self.path.is_file():
            return {}
        check_settings(self.path, self.settings)
        try:
            progress = json.loads(_metadata(self.path)["progress"])
            tensors = load_file(self.path)
            for module_name, module in self.modules.items():
                module.load_state_dict(_below(tensors, module_name))
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _below(tensors, "optimizer").items():
                index, _, key = name.partition("/")
                state.setdefault(int(index), {})[key] = value
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        except _READ_ERRORS as error:
            raise _damaged(self.path, error) from error
        return progress


def check_settings(path: Path, settings: Settings) -> None:
    """Raise DataError unless the run in `path`, if there is one, can be resumed with `settings`."""
    if not path.is_file():
        return
    try:
        before = _flat(json.loads(_metadata(path)["settings"]))
    except _READ_ERRORS as error:
        raise _damaged(path, error) from error
    now = _flat(json.loads(json.dumps(settings)))
    changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if changed:
        differences = "; ".join(f"{name} was {before.get(name)}, now {now.get(name)}" for name in changed)
        raise DataError(f"{path} belongs to a run with other settings ({differences}); choose another output folder")


def log_row(path: Path, row: Mapping[str, int | float | str]) -> None:
    """Add one row to the log; write the header first where the file is new.

    The first column is the step, a whole number that rises; rows of this or a later step are dropped, as a resumed run
    repeats them.
    """
    columns = list(row)
    rows: list[list[str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [old for old in list(csv.reader(file))[1:] if old and int(old[0]) < int(row[columns[0]])]
    rows.append([f"{value:.5f}" if isinstance(value, float) else str(value) for value in row.values()])
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def state_digest(module: nn.Module) -> str:
    """The SHA-256 of a module's parameter names and values, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_cnn(cnn: nn.Module, network: NetworkConfig, path: Path) -> None:
    """Write a CNN and its sizes to `path`, as `load_cnn` reads it."""
    _save(cnn.state_dict(), path, {"network": json.dumps(asdict(network))})


def load_cnn(path: Path) -> tuple[NetworkConfig, DiscreteEmotionCNN]:
    """Read the sizes and the CNN (on the CPU, in evaluation mode) of a `cnn.safetensors`."""
    try:
        network = parse_config(_metadata(path).get("network", ""))
        cnn = DiscreteEmotionCNN(network)
        cnn.load_state_dict(load_file(path))
    except _READ_ERRORS as error:
        raise DataError(f"{path}: not a cnn.safetensors of `ast_net train-attributes` ({error})") from error
    return network, cnn.eval()


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as stored:
        return stored.metadata() or {}


def _save(tensors: Mapping[str, Tensor], path: Path, about: dict[str, str]) -> None:
    with atomic_file(path) as partial:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, about)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{prefix}/"): value for n, value in tensors.items() if n.startswith(f"{prefix}/")}


def _flat(settings: Settings) -> dict[str, Any]:
    return {f"{section}.{name}": value for section, values in settings.items() for name, value in values.items()}


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not the checkpoint of a run ({error}); delete it to start again")

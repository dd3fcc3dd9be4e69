"""Weights files: one safetensors file that carries its own configuration and checksum.

In and out: an :class:`~ast_net_ros.model.network.ASTNet`. A file that is not whole, not ours or not
sane is refused by name and reason before a network of its size is built. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ast_net_ros.model.network import ASTNet, NetworkConfig

FORMAT = "ast_net/1"
LARGEST_FILE = 512 * 2**20  # bytes; the default weights have about 5 MB
LARGEST_HEADER = 2**20  # bytes; that of the default weights has 13 kB
LONGEST_DESCRIPTION = 500  # characters that are shown; diagnostics repeat them every second
_LARGEST_SIZE = 4096  # of any single number in a configuration
_NUMBER_TYPES = {"F16", "BF16", "F32", "F64", "I64"}  # what PyTorch can hold, check and convert, whatever its version
_MEND = "take the file again from its source, or save one with ast_net_ros.model.weights.save_weights"


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file, the reason and the mend."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a file says of itself. sha256: of configuration, description and tensors.

    description: free text on one line, fit for a terminal: at most about LONGEST_DESCRIPTION characters, none
    of which controls it.
    """

    path: Path
    sha256: str
    description: str


def save_weights(network: ASTNet, path: str | Path, description: str) -> WeightsInfo:
    """Write `network` to `path` (whole or not at all) and return what was written."""
    path = Path(path)
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    config = json.dumps(asdict(network.config), sort_keys=True)
    digest = _digest(config, description, tensors)
    about = {"format": FORMAT, "config": config, "sha256": digest, "description": description}
    aside = path.with_suffix(path.suffix + ".partial")
    save_file(tensors, aside, about)
    aside.replace(path)
    return WeightsInfo(path, digest, _shown(description))


def load_weights(path: str | Path) -> tuple[ASTNet, WeightsInfo]:
    """The network in `path`, on the CPU and in evaluation mode, and what the file says of itself.

    Raises WeightsError when the file is missing, damaged, of another format or has values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights '{path}': no such file; give the path of a .safetensors file of AST-Net")
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(
            f"weights '{path}': {path.stat().st_size} bytes, more than the {LARGEST_FILE} allowed; {_MEND}"
        )
    try:
        _check_header(path)
        with safe_open(path, framework="pt") as stored:
            about = stored.metadata() or {}
            config = _read_config(path, about)
            with torch.device("meta"):
                expected = ASTNet(config).state_dict()
            names = list(stored.keys())
            slices = {name: stored.get_slice(name) for name in names}
            _check_shapes(path, expected, {name: one.get_shape() for name, one in slices.items()})
            _check_types(path, {name: one.get_dtype() for name, one in slices.items()})
            tensors = {name: stored.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights '{path}': not a whole safetensors file ({error}); {_MEND}") from error
    digest = _digest(about["config"], about.get("description", ""), tensors)
    if digest != about.get("sha256"):
        raise WeightsError(
            f"weights '{path}': content has SHA-256 {digest}, the file says {about.get('sha256')}; {_MEND}"
        )
    broken = [name for name, value in tensors.items() if not bool(torch.isfinite(value.float()).all())]
    if broken:
        raise WeightsError(f"weights '{path}': {broken[0]} holds NaN or infinity; {_MEND}")
    network = ASTNet(config)
    network.load_state_dict(tensors)
    return network.eval(), WeightsInfo(path, digest, _shown(about.get("description", "")))


def _check_header(path: Path) -> None:
    """Refuses a header of a size that no such file needs, before it is read whole and taken apart."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise WeightsError(
            f"weights '{path}': not a whole safetensors file (its header claims {size} bytes, more than the "
            f"{LARGEST_HEADER} allowed); {_MEND}"
        )


def _shown(description: str) -> str:
    """A description without line breaks and control characters, which could rewrite a terminal or a log."""
    line = "".join(c if c.isprintable() else " " for c in description)
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[:LONGEST_DESCRIPTION]}..."


def parse_config(text: str) -> NetworkConfig:
    """A network's sizes from the JSON stored beside its weights. Raises ValueError naming what is out of range."""
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"its configuration is not JSON ({error})") from error
    names = {field.name for field in fields(NetworkConfig)}
    if not isinstance(values, dict) or set(values) != names:
        raise ValueError(f"its configuration must have exactly {sorted(names)}")
    for name, value in values.items():
        numbers = value if isinstance(value, list) else [value]
        kinds = (int, float) if name == "step_seconds" else (int,)
        sane = all(type(n) in kinds and 0 < n <= _LARGEST_SIZE for n in numbers) and 0 < len(numbers) <= 16
        if not sane or isinstance(value, list) != (name in ("widths", "depths")):
            raise ValueError(f"configuration {name} = {value!r} is out of range")
    if len(values["widths"]) != len(values["depths"]) or sum(values["depths"]) > 256:
        raise ValueError("configuration widths and depths do not fit each other")
    sizes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return NetworkConfig(**sizes)


def _read_config(path: Path, about: dict[str, str]) -> NetworkConfig:
    if about.get("format") != FORMAT:
        raise WeightsError(f"weights '{path}': format is {about.get('format')!r}, wanted {FORMAT!r}; {_MEND}")
    try:
        return parse_config(about.get("config", ""))
    except ValueError as error:
        raise WeightsError(f"weights '{path}': {error}; {_MEND}") from error


def _check_shapes(path: Path, expected: dict[str, Tensor], found: dict[str, list[int]]) -> None:
    missing, surplus = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or surplus:
        raise WeightsError(f"weights '{path}': lacks {missing[:3]}, has unknown {surplus[:3]}; {_MEND}")
    for name, tensor in expected.items():
        if list(tensor.shape) != list(found[name]):
            raise WeightsError(f"weights '{path}': {name} is {found[name]}, wanted {list(tensor.shape)}; {_MEND}")


def _check_types(path: Path, found: dict[str, str]) -> None:
    for name, kind in found.items():
        if kind not in _NUMBER_TYPES:
            raise WeightsError(
                f"weights '{path}': {name} is of type {kind}, wanted one of {', '.join(sorted(_NUMBER_TYPES))}; {_MEND}"
            )


def _digest(config: str, description: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the configuration, the description and every tensor's name, type, shape and bytes, in name order."""
    digest = hashlib.sha256(json.dumps([config, description]).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

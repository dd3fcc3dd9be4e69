"""Weights files: one safetensors file that carries its configuration, a description and a checksum.

A file that is damaged, of another format or not finite is refused with the reason, before a network is built. Nothing
is unpickled, and torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ast_net_ros.model.config import NetworkConfig, parameter_shapes

FORMAT = "ast_net/1"
MAX_FILE_BYTES = 512 * 2**20  # the default weights have about 5 MB
MAX_HEADER_BYTES = 2**20  # that of the default weights has 13 kB
MAX_DESCRIPTION = 500  # characters that are shown; diagnostics repeat them every second
_MAX_SIZE = 4096  # of any single number in a configuration
_NUMBER_TYPES = ("F16", "F32", "F64", "I64")
_FIX = "get the file again from its source, or save one with ast_net_ros.model.network.save_weights"


class WeightsError(ValueError):
    """A weights file that cannot be used. The message names the file, the reason and the fix."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file states about itself.

    Attributes:
        path: The file; empty for weights that were never stored.
        sha256: Of configuration, description, provenance and tensors, 64 hex digits.
        description: Free text on one line without control characters, at most about MAX_DESCRIPTION characters.
    """

    path: Path
    sha256: str
    description: str


@dataclass(frozen=True)
class Weights:
    """A network as arrays.

    Attributes:
        config: The network's sizes.
        tensors: Every array of `parameter_shapes(config)` by its name.
        info: Where they come from.
        description: As stored, not shortened.
        provenance: Where they come from, as JSON: parent, data and metrics of weights that `ast_net fit` wrote. Else
            empty.
    """

    config: NetworkConfig
    tensors: Mapping[str, np.ndarray]
    info: WeightsInfo
    description: str
    provenance: str = ""


def make_weights(
    config: NetworkConfig, tensors: Mapping[str, np.ndarray], description: str = "", provenance: str = ""
) -> Weights:
    """Describe arrays that are in memory as weights."""
    digest = _digest(_config_text(config), description, provenance, tensors)
    return Weights(config, tensors, WeightsInfo(Path(), digest, _printable(description)), description, provenance)


def write_weights(path: str | Path, weights: Weights) -> WeightsInfo:
    """Write a weights file atomically, and return what it states about itself."""
    path = Path(path)
    metadata = {
        "format": FORMAT,
        "config": _config_text(weights.config),
        "sha256": weights.info.sha256,
        "description": weights.description,
    }
    if weights.provenance:
        metadata["provenance"] = weights.provenance
    partial = path.with_suffix(path.suffix + ".partial")
    save_file(dict(weights.tensors), partial, metadata)
    partial.replace(path)
    return replace(weights.info, path=path)


def read_weights(path: str | Path) -> Weights:
    """Read and check a weights file.

    Raises:
        WeightsError: The file is missing, damaged, of another format, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights '{path}': no such file; give the path of a .safetensors file of AST-Net")
    try:
        return _read_checked(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights '{path}': not a complete safetensors file ({error}); {_FIX}") from error
    except ValueError as error:
        raise WeightsError(f"weights '{path}': {error}; {_FIX}") from error


def _read_checked(path: Path) -> Weights:
    """Read a weights file; the message of a ValueError is the reason why it is refused."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, more than the {MAX_FILE_BYTES} allowed")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > MAX_HEADER_BYTES:  # before it is parsed
        raise SafetensorError(f"its header declares {header} bytes, more than the {MAX_HEADER_BYTES} allowed")
    with safe_open(path, framework="np") as stored:
        metadata = stored.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"format is {metadata.get('format')!r}, expected {FORMAT!r}")
        config = parse_config(metadata.get("config", ""))
        _check_tensors(config, {name: stored.get_slice(name) for name in stored.keys()})  # noqa: SIM118
        tensors = {name: np.asarray(stored.get_tensor(name)) for name in stored.keys()}  # noqa: SIM118
    description, provenance = metadata.get("description", ""), metadata.get("provenance", "")
    digest = _digest(metadata["config"], description, provenance, tensors)
    if digest != metadata.get("sha256"):
        raise ValueError(f"the content has SHA-256 {digest}, but the file states {metadata.get('sha256')}")
    for name, value in tensors.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity")
    return Weights(config, tensors, WeightsInfo(path, digest, _printable(description)), description, provenance)


def _check_tensors(config: NetworkConfig, stored: dict[str, Any]) -> None:
    """Check names, shapes and types, before the values are read."""
    expected = parameter_shapes(config)
    missing, surplus = sorted(set(expected) - set(stored)), sorted(set(stored) - set(expected))
    if missing or surplus:
        raise ValueError(f"lacks {missing[:3]}, has unknown {surplus[:3]}")
    for name, shape in expected.items():
        found, kind = stored[name].get_shape(), stored[name].get_dtype()
        if list(shape) != found:
            raise ValueError(f"{name} is {found}, expected {list(shape)}")
        if kind not in _NUMBER_TYPES:
            raise ValueError(f"{name} is of type {kind}, expected one of {', '.join(_NUMBER_TYPES)}")


def parse_config(text: str) -> NetworkConfig:
    """Read a network's sizes from the JSON stored with its weights.

    Raises:
        ValueError: The text is not such JSON, or a size is out of range. The message names it.
    """
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
        sane = all(type(n) in kinds and 0 < n <= _MAX_SIZE for n in numbers) and 0 < len(numbers) <= 16
        if not sane or isinstance(value, list) != (name in ("widths", "depths")):
            raise ValueError(f"configuration {name} = {value!r} is out of range")
    if len(values["widths"]) != len(values["depths"]) or sum(values["depths"]) > 256:
        raise ValueError(
            "configuration: widths and depths must have the same length, and the depths a sum of at most 256"
        )
    sizes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return NetworkConfig(**sizes)


def _config_text(config: NetworkConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)


def _digest(config: str, description: str, provenance: str, tensors: Mapping[str, np.ndarray]) -> str:
    """Hash the texts, and every tensor's name, type, shape and bytes in the order of their names.

    Without a provenance the hash is that of the first release, which had none.
    """
    texts = [config, description, *([provenance] if provenance else [])]
    digest = hashlib.sha256(json.dumps(texts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}|torch.{tensor.dtype.name}|{list(tensor.shape)}|".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _printable(description: str) -> str:
    """Remove line breaks and control characters, which could rewrite a terminal or a log, and shorten."""
    line = "".join(c if c.isprintable() else " " for c in description)
    return line if len(line) <= MAX_DESCRIPTION else f"{line[:MAX_DESCRIPTION]}..."

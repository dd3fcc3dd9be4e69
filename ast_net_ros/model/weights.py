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
LARGEST_FILE = 512 * 2**20  # bytes; the default weights have about 5 MB
LARGEST_HEADER = 2**20  # bytes; that of the default weights has 13 kB
LONGEST_DESCRIPTION = 500  # characters that are shown; diagnostics repeat them every second
_LARGEST_SIZE = 4096  # of any single number in a configuration
_TYPE_NAMES = {"F16": "torch.float16", "F32": "torch.float32", "F64": "torch.float64", "I64": "torch.int64"}
"""Number types of a weights file, and the names under which the checksum counts them: those of the first release."""
_FIX = "get the file again from its source, or save one with ast_net_ros.model.network.save_weights"


class WeightsError(ValueError):
    """A weights file that cannot be used. The message names the file, the reason and the fix."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file states about itself.

    Attributes:
        path: The file; empty for weights that were never stored.
        sha256: Of configuration, description, provenance and tensors, 64 hex digits.
        description: Free text on one line without control characters, at most about LONGEST_DESCRIPTION characters.
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
    """Write a weights file atomically.

    Returns:
        What the file states about itself.
    """
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
    if path.stat().st_size > LARGEST_FILE:
        raise WeightsError(
            f"weights '{path}': {path.stat().st_size} bytes, more than the {LARGEST_FILE} allowed; {_FIX}"
        )
    try:
        _check_header_size(path)
        with safe_open(path, framework="np") as stored:
            metadata = stored.metadata() or {}
            config = _read_config(path, metadata)
            slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118
            _check_shapes(path, parameter_shapes(config), {name: one.get_shape() for name, one in slices.items()})
            _check_types(path, {name: one.get_dtype() for name, one in slices.items()})
            tensors = {name: np.asarray(stored.get_tensor(name)) for name in slices}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights '{path}': not a whole safetensors file ({error}); {_FIX}") from error
    description, provenance = metadata.get("description", ""), metadata.get("provenance", "")
    digest = _digest(metadata["config"], description, provenance, tensors)
    if digest != metadata.get("sha256"):
        raise WeightsError(
            f"weights '{path}': content has SHA-256 {digest}, the file states {metadata.get('sha256')}; {_FIX}"
        )
    broken = [name for name, value in tensors.items() if not np.isfinite(value).all()]
    if broken:
        raise WeightsError(f"weights '{path}': {broken[0]} holds NaN or infinity; {_FIX}")
    return Weights(config, tensors, WeightsInfo(path, digest, _printable(description)), description, provenance)


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
        sane = all(type(n) in kinds and 0 < n <= _LARGEST_SIZE for n in numbers) and 0 < len(numbers) <= 16
        if not sane or isinstance(value, list) != (name in ("widths", "depths")):
            raise ValueError(f"configuration {name} = {value!r} is out of range")
    if len(values["widths"]) != len(values["depths"]) or sum(values["depths"]) > 256:
        raise ValueError("configuration widths and depths do not fit each other")
    sizes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return NetworkConfig(**sizes)


def _config_text(config: NetworkConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)


def _read_config(path: Path, metadata: dict[str, str]) -> NetworkConfig:
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"weights '{path}': format is {metadata.get('format')!r}, wanted {FORMAT!r}; {_FIX}")
    try:
        return parse_config(metadata.get("config", ""))
    except ValueError as error:
        raise WeightsError(f"weights '{path}': {error}; {_FIX}") from error


def _check_header_size(path: Path) -> None:
    """Refuse a header that is larger than any weights file needs, before it is parsed."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LARGEST_HEADER:
        raise WeightsError(
            f"weights '{path}': not a whole safetensors file (its header claims {size} bytes, more than the "
            f"{LARGEST_HEADER} allowed); {_FIX}"
        )


def _check_shapes(path: Path, expected: dict[str, tuple[int, ...]], found: dict[str, list[int]]) -> None:
    missing, surplus = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or surplus:
        raise WeightsError(f"weights '{path}': lacks {missing[:3]}, has unknown {surplus[:3]}; {_FIX}")
    for name, shape in expected.items():
        if list(shape) != list(found[name]):
            raise WeightsError(f"weights '{path}': {name} is {found[name]}, wanted {list(shape)}; {_FIX}")


def _check_types(path: Path, found: dict[str, str]) -> None:
    for name, kind in found.items():
        if kind not in _TYPE_NAMES:
            raise WeightsError(
                f"weights '{path}': {name} is of type {kind}, wanted one of {', '.join(_TYPE_NAMES)}; {_FIX}"
            )


def _digest(config: str, description: str, provenance: str, tensors: Mapping[str, np.ndarray]) -> str:
    """Hash the texts, and every tensor's name, type, shape and bytes in the order of their names.

    Without a provenance the hash is that of the first release, which had none.
    """
    types = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}
    texts = [config, description, *([provenance] if provenance else [])]
    digest = hashlib.sha256(json.dumps(texts).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        kind = _TYPE_NAMES[types.get(tensor.dtype, "I64")]
        digest.update(f"{name}|{kind}|{list(tensors[name].shape)}|".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _printable(description: str) -> str:
    """Remove line breaks and control characters, which could rewrite a terminal or a log, and shorten."""
    line = "".join(c if c.isprintable() else " " for c in description)
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[:LONGEST_DESCRIPTION]}..."

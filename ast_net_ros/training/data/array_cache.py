"""Arrays that take long to make, kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ast_net_ros.atomic_files import atomic_file


def cached_arrays(path: Path | None, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Read named arrays from an .npz file, or make them and write it where it is missing, damaged or of another key."""
    if path is None:
        return make()
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                return {name: stored[name] for name in stored.files if name != "key"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass
    arrays = make()
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, key=np.array(key), **arrays)
    return arrays

"""Names and suffixes of recordings and of their results. Imports nothing heavy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ast_net_ros.atomic_files import PARTIAL_SUFFIX

STORAGE_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
"""Files of rosbag2 recordings."""

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv")
"""Files taken for videos when a folder is searched; a file that is named itself may have any suffix."""

STILL_SUFFIXES = (".jpeg", ".jpg", ".png")
"""Still images that `ast_net annotate` reads."""

LABEL_SUFFIXES = (".csv", ".dat", ".json", ".tsv", ".txt")
"""Files that lie beside recordings, such as labels; `recordings/*` names them too, and they are passed over."""

LIVE_SUFFIX = ".live"
"""Suffix of the folder with the results of a live run."""


def recording_name(path: Path) -> str:
    """Derive a name for the results of a recording, safe to use as a folder name."""
    resolved = path.resolve()
    name = resolved.name
    for suffix in (*STORAGE_SUFFIXES[::-1], resolved.suffix if resolved.is_file() else ""):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".")[:100] or "recording"


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Derive a unique name for each recording; where several share one, parent folders are prepended."""
    names = [_safe(recording_name(path)) for path in paths]
    for depth in range(1, 20):
        shared = {name for name, count in Counter(names).items() if count > 1}
        if not shared:
            return names
        for index, path in enumerate(paths):
            parents = path.resolve().parents
            if names[index] in shared and depth <= len(parents):
                names[index] = f"{_safe(recording_name(parents[depth - 1]))}-{names[index]}"
    counted: Counter[str] = Counter()
    for index, name in enumerate(names):  # such as take.mp4 beside take.avi
        counted[name] += 1
        names[index] = name if counted[name] == 1 else f"{name}-{counted[name]}"
    return names


def _safe(name: str) -> str:
    """Replace the suffixes that mark unfinished folders and live results."""
    for suffix in (PARTIAL_SUFFIX, LIVE_SUFFIX):
        name = name.replace(suffix, suffix.replace(".", "_"))
    return name

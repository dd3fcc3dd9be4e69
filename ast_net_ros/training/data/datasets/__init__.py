"""Data sets of labelled recordings, one module each; :func:`open_recordings` selects one by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.datasets.afew_va import read_afew_va
from ast_net_ros.training.data.datasets.aff_wild2 import read_aff_wild2
from ast_net_ros.training.data.datasets.avec2012 import read_avec2012
from ast_net_ros.training.data.datasets.manifest import read_manifest
from ast_net_ros.training.data.recordings import RecordingSet

DATA_SETS: dict[str, Callable[[Path], RecordingSet]] = {
    "avec2012": read_avec2012,
    "afew-va": read_afew_va,
    "aff-wild2": read_aff_wild2,
    "manifest": read_manifest,
}


def open_recordings(which: str) -> RecordingSet:
    """Open the recordings of "NAME:PATH", where NAME is one of DATA_SETS.

    Raises:
        DataError: The name is unknown, the path is missing, or it contains no usable recording.
    """
    name, colon, path = which.partition(":")
    if not colon or name not in DATA_SETS:
        raise DataError(f"data '{which}': expected NAME:PATH with NAME one of {', '.join(DATA_SETS)}")
    if not Path(path).exists():
        raise DataError(f"data '{which}': {path} does not exist")
    opened = DATA_SETS[name](Path(path))
    if not opened.recordings:
        reasons = "; ".join(opened.left_out[:3]) or "it is empty"
        raise DataError(f"data '{which}': no usable recording ({reasons})")
    return opened

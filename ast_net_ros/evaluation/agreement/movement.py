"""The movement of a rated face: the emotions of each of its frames in an estimates.csv, at the times of a panel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ast_net_ros.evaluation.agreement.panels import AgreementError, Panel
from ast_net_ros.evaluation.estimates import iterate_estimates

FILE = "estimates.csv"


def find_estimates(places: Sequence[Path], recording: str, alone: bool) -> Path | None:
    """Find the estimates of a recording in results of `annotate` and `evaluate`; None if there are none.

    Args:
        places: estimates.csv files, folders that hold one, or folders of NAME/estimates.csv or
            recordings/NAME/estimates.csv.
        recording: Its name.
        alone: Whether it is the only recording, so that a file without its name belongs to it.
    """
    for place in places:
        for path in (place / recording / FILE, place / "recordings" / recording / FILE):
            if path.is_file():
                return path
        path = place / FILE if place.is_dir() else place
        if path.is_file() and (alone or path.resolve().parent.name == recording):
            return path
    return None


def check_places(places: Sequence[Path]) -> None:
    """Raise AgreementError for a place that does not exist."""
    missing = next((place for place in places if not place.exists()), None)
    if missing:
        raise AgreementError(f"estimates {missing}: no such file or folder")


def face_movement(path: Path, panel: Panel) -> np.ndarray | None:
    """Read the emotions of the panel's face at the panel's times: T x 8, NaN where it is not visible.

    The face is the one of that name or, for face_N as `ast_net rate` names them, the one visible N-th longest. None
    where there is no such face.

    Raises:
        EstimatesError: The file is damaged.
    """
    rows: dict[str, list[tuple[float, ...]]] = {}
    for row in iterate_estimates(path):
        rows.setdefault(row.face.face_id, []).append((row.time, *row.face.emotions))
    face = panel.info.face
    if face not in rows:
        by_length = [name for name, _ in Counter({name: len(of_face) for name, of_face in rows.items()}).most_common()]
        named = re.fullmatch(r"face_(\d+)", face)
        place = int(named.group(1)) - 1 if named else 0
        if not 0 <= place < len(by_length):
            return None
        face = by_length[place]
    table = np.array(rows[face])
    table = table[np.unique(table[:, 0], return_index=True)[1]]
    inside = (panel.times >= table[0, 0]) & (panel.times <= table[-1, 0])
    found = np.stack([np.interp(panel.times, table[:, 0], column) for column in table[:, 1:].T], axis=1)
    return np.where(inside[:, None], found, np.nan)

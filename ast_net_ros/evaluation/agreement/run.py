"""Run `ast_net agree`: read ratings and estimates, analyse them, write the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.evaluation.agreement.analysis import analyse
from ast_net_ros.evaluation.agreement.gold import write_gold
from ast_net_ros.evaluation.agreement.page import write_page
from ast_net_ros.evaluation.agreement.panels import AgreementError, Panel, read_panels, safe_name
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.metrics.summary import write_results
from ast_net_ros.label_statistics import write_label_statistics

_RESULTS = ("agreement.json", "agreement.html", "label_statistics.json")


def run_agreement(
    places: Sequence[Path],
    output: Path,
    estimates: Sequence[Path] = (),
    excluded: Sequence[str] = (),
    show_progress: bool = False,
) -> dict[str, Any]:
    """Compare the ratings in files and folders and write all results; return the content of agreement.json.

    Raises:
        DataError: A place is missing, two files are of one rater, or no face has two raters.
        EstimatesError: An estimates file is damaged.
    """
    for place in estimates:
        if not place.exists():
            raise AgreementError(f"estimates {place}: no such file or folder")
    panel_set = read_panels(places, excluded)
    alone = len({panel.info.recording_sha256 for panel in panel_set.panels}) == 1
    movements: dict[str, np.ndarray] = {}
    remarks = []
    if estimates:
        for panel in tqdm(panel_set.panels, desc="estimates", disable=None if show_progress else True):
            movement = _movement(panel, estimates, alone)
            if isinstance(movement, str):
                remarks.append(movement)
            else:
                movements[panel.name] = movement
    agreement = analyse(panel_set, movements, excluded)
    agreement.content["remarks"] += remarks
    with atomic_dir(output / "gold") as folder:
        for panel, gold, about in zip(agreement.panels, agreement.golds, agreement.content["recordings"]):
            about["gold"] = f"gold/{write_gold(folder, panel, gold).name}"
    with atomic_dir(output, _RESULTS) as folder:
        content, page, statistics = (folder / name for name in _RESULTS)
        write_results(content, agreement.content)
        write_page(page, agreement, show_progress)
        if agreement.statistics:
            write_label_statistics(statistics, agreement.statistics)
    return agreement.content


def _movement(panel: Panel, places: Sequence[Path], alone: bool) -> np.ndarray | str:
    """Return the emotions of the panel's face, T x 8 with NaN where it is not visible, or why there are none.

    The face is the one of that name or, for face_N as `ast_net rate` names them, the one visible N-th longest. `alone`
    means that it is the only recording, so that a file without its name belongs to it.
    """
    path = _find_estimates(places, safe_name(panel.info.recording), alone)
    if path is None:
        return f"no estimates of '{panel.info.recording}' given"
    rows: dict[str, list[tuple[float, ...]]] = {}
    for row in iterate_estimates(path):
        rows.setdefault(row.face.face_id, []).append((row.time, *row.face.emotions))
    table = np.array(rows.get(panel.info.face, ()))
    if not len(table):
        named = re.fullmatch(r"face_(\d+)", panel.info.face)
        place = int(named.group(1)) - 1 if named else 0
        if not 0 <= place < len(rows):
            return f"{path}: contains no face that matches {panel.info.face}"
        table = np.array(sorted(rows.values(), key=len, reverse=True)[place])
    times, first = np.unique(table[:, 0], return_index=True)
    inside = (panel.times >= times[0]) & (panel.times <= times[-1])
    found = np.stack([np.interp(panel.times, times, column) for column in table[first, 1:].T], axis=1)
    return np.where(inside[:, None], found, np.nan)


def _find_estimates(places: Sequence[Path], recording: str, alone: bool) -> Path | None:
    """Find the estimates of a recording in results of `annotate` and `evaluate`: files, their folders, or outputs."""
    name = "estimates.csv"
    for place in places:
        for path in (place / recording / name, place / "recordings" / recording / name):
            if path.is_file():
                return path
        path = place / name if place.is_dir() else place
        if path.is_file() and (alone or path.resolve().parent.name == recording):
            return path
    return None

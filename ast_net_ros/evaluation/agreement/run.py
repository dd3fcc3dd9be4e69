"""Run `ast_net agree`: read ratings and estimates, analyse them, write the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_dir
from ast_net_ros.evaluation.agreement.analysis import AgreementOptions, analyse
from ast_net_ros.evaluation.agreement.gold import write_gold
from ast_net_ros.evaluation.agreement.movement import check_places, face_movement, find_estimates
from ast_net_ros.evaluation.agreement.page import write_page
from ast_net_ros.evaluation.agreement.panels import Panel, read_panels, safe_name
from ast_net_ros.evaluation.metrics.summary import write_results
from ast_net_ros.label_statistics import write_label_statistics

GOLD = "gold"
_FILES = ("agreement.json", "agreement.html", "label_statistics.json")


def run_agreement(
    places: Sequence[Path],
    output: Path,
    estimates: Sequence[Path] = (),
    options: AgreementOptions | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Compare the ratings in files and folders and write all results; return the content of agreement.json.

    Raises:
        DataError: A place is missing, two files are of one rater, or no face has two raters.
        EstimatesError: An estimates file is damaged.
    """
    options = options or AgreementOptions()
    check_places(estimates)
    panel_set = read_panels(places, options.excluded)
    recordings = {panel.info.recording_sha256 for panel in panel_set.panels}
    movements = {}
    remarks = []
    if estimates:
        for panel in tqdm(panel_set.panels, desc="estimates", disable=None if show_progress else True):
            movement, remark = _movement(panel, estimates, len(recordings) == 1)
            if movement is not None:
                movements[panel.name] = movement
            if remark:
                remarks.append(remark)
    agreement = analyse(panel_set, movements, options)
    agreement.content["remarks"] += remarks
    with atomic_dir(output / GOLD) as folder:
        for panel, gold, about in zip(agreement.panels, agreement.golds, agreement.content["recordings"]):
            about["gold"] = f"{GOLD}/{write_gold(folder, panel, gold).name}"
    with atomic_dir(output, _FILES) as folder:
        write_results(folder / _FILES[0], agreement.content)
        write_page(folder / _FILES[1], agreement, show_progress)
        if agreement.statistics:
            write_label_statistics(folder / _FILES[2], agreement.statistics)
    return agreement.content


def _movement(panel: Panel, estimates: Sequence[Path], alone: bool) -> tuple[Any, str]:
    path = find_estimates(estimates, safe_name(panel.info.recording), alone)
    if path is None:
        return None, f"no estimates of '{panel.info.recording}' given"
    movement = face_movement(path, panel)
    return movement, "" if movement is not None else f"{path}: has no face that could be {panel.info.face}"

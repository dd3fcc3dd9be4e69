"""Write agreement.html: how raters agree and their curves, as one page without script that loads nothing.

Parts and rules are those of the evaluation report: names are escaped and enter no plot; raters are told apart by colour
and dashes, which the page's own legend names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.evaluation.agreement.analysis import Agreement, headline
from ast_net_ros.evaluation.agreement.panels import Panel
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.report.page import template_environment
from ast_net_ros.evaluation.report.page_plots import (
    COLORS,
    NARROW,
    TRUTH,
    WIDE,
    svg_plot,
    thinned,
    time_axis,
    value_axis,
)

MOST_CURVES = 40
"""Recordings with curves on the page: those in which the raters agree least."""

# Of Okabe and Ito's palette, without the colours of valence and arousal.
_PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#8C6D1F", "#7A7A7A", "#5E4FA2")
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))


class _Stroke(NamedTuple):
    color: str
    dashes: tuple[float, ...]


def write_page(path: Path, agreement: Agreement, show_progress: bool = False) -> None:
    """Write the page; it appears complete or not at all."""
    content = agreement.content
    strokes = {
        rater: _Stroke(_PALETTE[i % len(_PALETTE)], _DASHES[i // len(_PALETTE) % len(_DASHES)])
        for i, rater in enumerate(content["raters"])
    }
    shown = _least_agreeing(content["recordings"])
    curves = sum(len(agreement.panels[index].raters) for index in shown) * 4
    points = max(120, min(600, 200_000 // max(1, curves)))
    parts = [
        {
            "number": index + 1,
            "about": content["recordings"][index],
            "strokes": {rater: strokes[rater] for rater in agreement.panels[index].raters},
            "wide": _curves(agreement.panels[index], agreement.golds[index], strokes, WIDE, points),
            "narrow": _curves(agreement.panels[index], agreement.golds[index], strokes, NARROW, points // 2),
        }
        for index in tqdm(shown, desc="page", disable=None if show_progress else True)
    ]
    page = template_environment().get_template("agreement.html.j2").render(
        content=content,
        kind=headline(content["summary"]),
        parts=parts,
        statistics=agreement.statistics,
        outlying={rater: about["outlying"] for rater, about in content["raters"].items() if about["outlying"]},
    )  # fmt: skip
    atomic_write(path, page)


def _least_agreeing(recordings: list[dict[str, Any]]) -> list[int]:
    """Return the indices of MOST_CURVES recordings by rising CCC, unknown first; all in their own order if fewer."""
    if len(recordings) <= MOST_CURVES:
        return list(range(len(recordings)))

    def mean_ccc(index: int) -> float:
        values = [recordings[index]["aligned"][d]["ccc_mean"]["value"] for d in DIMENSIONS]
        return min(-1.0 if value is None else value for value in values)

    return sorted(range(len(recordings)), key=mean_ccc)[:MOST_CURVES]


def _curves(panel: Panel, gold: np.ndarray, strokes: dict[str, _Stroke], width: int, points: int) -> str:
    def draw(figure: Figure) -> None:
        for index, (axes, dimension) in enumerate(zip(figure.subplots(2, 1, sharex=True), DIMENSIONS)):
            value_axis(axes)
            axes.set_title(dimension, loc="left", fontsize=11, color=COLORS[dimension], weight="bold", pad=5)
            for rater, values in zip(panel.raters, panel.values):
                style = strokes[rater]
                (line,) = axes.plot(*thinned(panel.times, values[:, index], points), color=style.color, linewidth=1)
                if style.dashes:
                    line.set_dashes(style.dashes)
            axes.plot(*thinned(panel.times, gold[:, index], points), color=TRUTH, linewidth=2, zorder=3)
            time_axis(axes, float(panel.times[-1]), width)

    margins = {"left": 34 / width, "right": 1 - 12 / width, "top": 0.94, "bottom": 0.09, "hspace": 0.32}
    return svg_plot(draw, (width, 360), "ratings and gold standard over time", margins)

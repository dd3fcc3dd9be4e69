"""Draw the plots of report.html as SVG elements.

Plots are drawn at the width in CSS pixels at which they are displayed, so text is legible on a phone; text remains text
in the page's fonts. No name from a recording enters a plot; the page escapes names. The colours are of Okabe and Ito's
palette, which colour-blind people can distinguish; in grey print, dashes do.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.metrics.summary import counted, scored, seconds_of
from ast_net_ros.evaluation.recording_result import RecordingResult
from ast_net_ros.model.config import CONFIDENCE_RADIUS

COLORS = {"valence": "#0072B2", "arousal": "#D55E00"}
TRUTH, CONFIDENCE = "#3b4653", "#009E73"
WIDE, NARROW = 720, 360
"""Widths in CSS pixels: a page, and a phone or a third of a page."""

INK, _MUTED, _GRID, _ZERO, _GAP = "#3b4653", "#6b7785", "#e6eaee", "#b8c1ca", "#f1f3f5"
_TIME = LinearSegmentedColormap.from_list("time", ["#c6d3e3", "#56799f", "#0f2d4e"])
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)
_PATH_POINTS, _PATH_SHADES = 480, 24
_QUADRANTS = ((0.95, 0.93, "excited"), (-0.95, 0.93, "distressed"), (-0.95, -0.93, "sad"), (0.95, -0.93, "calm"))
_MINUS = "\N{MINUS SIGN}"
NONE = "–"  # noqa: RUF001  (an en dash, as in tables)
_UNIT_LABELS = [f"{_MINUS}1", "", "0", "", "1"]
STYLE: Any = {  # matplotlib types the names of its settings as literals
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.8,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def time_curves(result: RecordingResult, warm_up_seconds: float, width: int, points: int) -> str:
    """Plot valence, arousal and confidence over time, labels dashed, periods without an estimate shaded.

    Estimates within the warm-up, which metrics exclude, are pale. Curves have about `points` points; peaks survive.
    """
    seconds, used = seconds_of(result), counted(result, warm_up_seconds)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.3], "hspace": 0.3})
        gaps = list(_gaps(seconds, np.isfinite(result.predicted).all(axis=1)))
        for axes in panels:
            for start, end in gaps:
                axes.axvspan(start, end, color=_GAP, linewidth=0, zorder=0)
        for index, (axes, dimension) in enumerate(zip(panels, DIMENSIONS)):
            value_axis(axes)
            axes.set_title(dimension, loc="left", fontsize=11, color=COLORS[dimension], weight="bold", pad=5)
            predicted = np.where(_face_changes(result), np.nan, result.predicted[:, index])
            if not used.all():
                axes.plot(*thinned(seconds, predicted, points), color=COLORS[dimension], linewidth=1.2, alpha=0.35)
            kept = np.where(used, predicted, np.nan)
            axes.plot(*thinned(seconds, kept, points), color=COLORS[dimension], linewidth=1.5, zorder=3)
            if np.isfinite(result.truth[:, index]).any():
                truth = thinned(seconds, result.truth[:, index], points)
                axes.plot(*truth, color=TRUTH, linewidth=1.2, dashes=(4, 2), zorder=2.5)
        _confidence_panel(panels[2], *thinned(seconds, result.confidence, points))
        time_axis(panels[2], float(seconds[-1]) if len(seconds) else 1.0, width)

    margins = {"left": 34 / width, "right": 1 - 12 / width, "top": 0.94, "bottom": 0.075}
    return svg_plot(draw, (width, 400 if width < WIDE else 380), "valence, arousal and confidence over time", margins)


def affect_path(result: RecordingResult, warm_up_seconds: float) -> str:
    """Plot the path in the valence-arousal plane, pale at the start and dark at the end, labels dashed."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        plane_axes(axes)
        truth = _averaged(result.truth, _PATH_POINTS)
        axes.plot(*truth.T, color=TRUTH, linewidth=1, dashes=(4, 2), zorder=2, alpha=0.7)
        usable = counted(result, warm_up_seconds) & ~_face_changes(result)
        path = _averaged(np.where(usable[:, None], result.predicted, np.nan), _PATH_POINTS)
        for shade in range(_PATH_SHADES):
            start, end = (round(part * len(path) / _PATH_SHADES) for part in (shade, shade + 1))
            piece = path[start : end + 1]  # includes the next piece's first point, so that they join
            axes.plot(*piece.T, color=_TIME(shade / (_PATH_SHADES - 1)), linewidth=1.8, zorder=3)
        known = path[np.isfinite(path).all(axis=1)]
        if len(known):
            axes.plot(*known[0], "o", markersize=6.5, markerfacecolor="white", markeredgecolor="#56799f", zorder=4)
            axes.plot(*known[-1], "o", markersize=7, color=_TIME(1.0), markeredgecolor="white", zorder=5)

    margins = {"left": 40 / NARROW, "right": 1 - 14 / NARROW, "top": 1 - 10 / 346, "bottom": 40 / 346}
    return svg_plot(draw, (NARROW, 346), "path in the plane of valence and arousal", margins)


def error_distribution(results: Sequence[RecordingResult], warm_up_seconds: float) -> str | None:
    """Plot the distribution of the errors (estimate minus label) of both dimensions; None without labels."""
    errors = [(r.predicted - r.truth)[scored(r, warm_up_seconds)] for r in results]
    error = np.concatenate([*errors, np.zeros((0, 2))])
    if not len(error):
        return None
    limit = min(2.0, max(0.5, math.ceil(4 * float(np.abs(error).max())) / 4))
    edges = np.linspace(-limit, limit, 41)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 1, sharex=True, sharey=True, gridspec_kw={"hspace": 0.28})
        for index, (axes, dimension) in enumerate(zip(panels, DIMENSIONS)):
            counts = np.histogram(np.clip(error[:, index], -limit, limit), edges)[0] * 100 / len(error)
            axes.stairs(counts, edges, fill=True, color=COLORS[dimension], alpha=0.35, linewidth=0)
            axes.stairs(counts, edges, color=COLORS[dimension], linewidth=1.2)
            axes.axvline(0, color=_ZERO, linewidth=0.8)
            bias = float(error[:, index].mean())
            axes.axvline(bias, color=COLORS[dimension], linewidth=1.2, dashes=(3, 2))
            axes.set_title(dimension, loc="left", fontsize=11, color=COLORS[dimension], weight="bold", pad=4)
            axes.set_title(f"mean {signed(bias)}", loc="right", fontsize=10, color=_MUTED, pad=4)
            axes.set_xlim(-limit, limit)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
            axes.locator_params(axis="y", nbins=3)
            axes.locator_params(axis="x", nbins=5)
            _plain(axes, "y")
        panels[1].set_ylim(0, None)
        panels[1].xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", _MINUS))
        panels[1].set_xlabel("estimate minus label")

    margins = {"left": 44 / NARROW, "right": 1 - 14 / NARROW, "top": 1 - 24 / 346, "bottom": 40 / 346}
    return svg_plot(draw, (NARROW, 346), "distribution of the errors", margins)


def confidence_plot(metrics: dict) -> str | None:
    """Plot `confidence_calibration`: share within CONFIDENCE_RADIUS and RMSE against confidence; None without data."""
    if not metrics["bins"]:
        return None
    margins = {"left": 40 / NARROW, "right": 1 - 14 / NARROW, "top": 1 - 24 / 346, "bottom": 40 / 346}
    return svg_plot(confidence_panels(metrics), (NARROW, 346), "calibration of the confidence", margins)


def confidence_panels(metrics: Mapping) -> Callable[[Figure], None]:
    """Return what draws `confidence_plot` into a figure."""
    bins = metrics["bins"]
    certainty = [b["confidence"] for b in bins]

    def draw(figure: Figure) -> None:
        calibration, error = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2, 1], "hspace": 0.28})
        calibration.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, dashes=(4, 2))
        calibration.plot(certainty, [b["within"] for b in bins], "o-", color=CONFIDENCE, markersize=4.5, linewidth=1.5)
        calibration.set(xlim=(0, 1), ylim=(0, 1))
        title = f"share of estimates within {CONFIDENCE_RADIUS:g}"
        calibration.set_title(title, loc="left", fontsize=11, color=CONFIDENCE, weight="bold", pad=4)
        error.plot(certainty, [b["rmse"] for b in bins], "o-", color=INK, markersize=4, linewidth=1.2)
        error.set_title("RMSE", loc="left", fontsize=11, color=INK, weight="bold", pad=4)
        error.set(ylim=(0, 1.15 * max(b["rmse"] for b in bins) or 1))
        error.set_xlabel("stated confidence")
        for axes in (calibration, error):
            axes.locator_params(axis="y", nbins=4 if axes is calibration else 2)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            _plain(axes)

    return draw


def thinned(times: np.ndarray, values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Thin a curve to about `points` points, keeping the minimum and maximum of every section.

    NaN breaks the line where a section has missing values.
    """
    if len(values) <= points:
        return times, values
    kept: list[int] = []
    for part in np.array_split(np.arange(len(values)), max(1, points // 2)):
        known = part[np.isfinite(values[part])]
        kept += part[~np.isfinite(values[part])][:1].tolist()  # one break per section
        if len(known):
            kept += {int(known[np.argmin(values[known])]), int(known[np.argmax(values[known])])}
    order = sorted(kept)
    return times[order], values[order]


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """Format a number with a true minus sign, and with `sign` "+" a plus sign; a dash if missing."""
    if value is None:
        return NONE
    text = f"{value:{sign}.{digits}f}"
    return text.replace("-", _MINUS) if float(text) else text.lstrip("+-")


def signed(value: float | None, digits: int = 2) -> str:
    """Format a number as `number` does, with its sign."""
    return number(value, digits, "+")


def clock(seconds: float, hours: bool = False) -> str:
    """Format seconds as m:ss, or h:mm:ss if `hours`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _averaged(trajectory: np.ndarray, points: int) -> np.ndarray:
    """Average T x 2 values over at most `points` sections; NaN where a section has none."""
    if len(trajectory) <= points:
        return trajectory
    known = [part[np.isfinite(part).all(axis=1)] for part in np.array_split(trajectory, points)]
    return np.array([part.mean(axis=0) if len(part) else [np.nan, np.nan] for part in known])


def _face_changes(result: RecordingResult) -> np.ndarray:
    """Return N bool: the first frame of another face, where the line is broken."""
    changes = [bool(a and b and a != b) for a, b in zip(result.face_ids, result.face_ids[1:])]
    return np.array([False, *changes][: len(result.face_ids)], bool)


def _gaps(seconds: np.ndarray, known: np.ndarray) -> Iterable[tuple[float, float]]:
    """Yield the periods without an estimate that are long enough to be visible."""
    if len(seconds) < 2:
        return
    least = max(0.4, float(seconds[-1]) / 300)
    padded = np.concatenate([[True], known, [True]])
    starts, ends = np.flatnonzero(padded[:-1] & ~padded[1:]), np.flatnonzero(~padded[:-1] & padded[1:])
    for first, last in zip(seconds[starts].tolist(), seconds[np.minimum(ends, len(seconds) - 1)].tolist()):
        if last - first >= least:
            yield first, last


def value_axis(axes: Axes) -> None:
    """Set up an axis of valence or arousal, from -1 to 1."""
    axes.set_ylim(-1, 1)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1], _UNIT_LABELS)
    axes.axhline(0, color=_ZERO, linewidth=0.8, zorder=1)
    _plain(axes, "y")


def plane_axes(axes: Axes) -> None:
    """Set up the valence-arousal plane."""
    axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="valence", ylabel="arousal")
    axes.set_xticks([-1, -0.5, 0, 0.5, 1], _UNIT_LABELS)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1], _UNIT_LABELS)
    _plain(axes)
    axes.axhline(0, color=_ZERO, linewidth=0.8, zorder=1)
    axes.axvline(0, color=_ZERO, linewidth=0.8, zorder=1)
    for x, y, name in _QUADRANTS:
        side, level = ("right" if x > 0 else "left"), ("top" if y > 0 else "bottom")
        axes.text(x, y, name, ha=side, va=level, fontsize=10, color=_MUTED, style="italic")


def _confidence_panel(axes: Axes, times: np.ndarray, values: np.ndarray) -> None:
    axes.fill_between(times, 0, values, color=CONFIDENCE, alpha=0.25, linewidth=0)
    axes.plot(times, values, color=CONFIDENCE, linewidth=1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"])
    axes.set_title("confidence", loc="left", fontsize=11, color=CONFIDENCE, weight="bold", pad=5)
    _plain(axes, "y")


def time_axis(axes: Axes, end: float, width: int) -> None:
    """Set up an axis of `end` seconds, with ticks that fit a plot of this width."""
    end = end or 1.0
    most = 5 if width < WIDE else 9
    step = next((s for s in _TIME_STEPS if end / s <= most), 86400)
    ticks = np.arange(0, end + 1e-9, step)
    axes.set_xlim(0, end)
    axes.tick_params(axis="x", pad=8)  # clear of the lowest label of the value axis
    axes.set_xticks(ticks, [clock(tick, hours=end >= 3600) for tick in ticks])


def _plain(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    axes.grid(axis=grid, color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")


def svg_plot(draw: Callable[[Figure], None], size: tuple[int, int], label: str, margins: dict[str, float]) -> str:
    """Return what `draw` draws as an SVG element of `size` CSS pixels; screen readers read `label`."""
    style: Any = {**STYLE, "svg.hashsalt": label}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
        canvas = FigureCanvasSVG(figure)
        draw(figure)
        figure.subplots_adjust(**margins)
        text = io.StringIO()
        canvas.print_svg(text, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_a_page(text.getvalue(), size, label)


def write_plot(path: Path, draw: Callable[[Figure], None], size: tuple[int, int], title: str = "") -> None:
    """Write what `draw` draws as a PNG file of twice `size` pixels."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=144)
        FigureCanvasAgg(figure)
        draw(figure)
        figure.subplots_adjust(left=0.11, right=0.96, top=0.86, bottom=0.12)
        figure.suptitle(title, fontsize=11)
        figure.savefig(path)


def _for_a_page(svg: str, size: tuple[int, int], label: str) -> str:
    """Remove what a stand-alone file needs, and make ids unique within the page."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    # More than two decimals are invisible and half of the text.
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path.group()), body)
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{zlib.crc32(svg.encode()):08x}-", body)
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{label}">{body}'

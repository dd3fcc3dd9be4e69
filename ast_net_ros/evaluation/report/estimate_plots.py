"""Plot estimates as PNG files: curves over time and paths in the valence-arousal plane.

Matplotlib draws on Agg canvases without pyplot, so there is no global state and no display is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ast_net_ros.evaluation.estimates import EstimateRow
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.report.page_plots import COLORS, INK, STYLE, plane_axes, value_axis
from ast_net_ros.vision.drawing import face_color


@rc_context(STYLE)
def plot_estimates(estimates: Sequence[EstimateRow], path: Path, title: str = "", duration: float = 0.0) -> None:
    """Write a PNG with valence and arousal over time, and the paths of the faces in the valence-arousal plane.

    The band around a curve is the predicted standard deviation; it is omitted for more than two faces. `duration` is
    the length of the recording in seconds, if it is longer than its last face.
    """
    faces = by_face(estimates)
    figure = Figure(figsize=(13, 6), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    valence = figure.add_subplot(grid[0, 0])
    arousal = figure.add_subplot(grid[1, 0], sharex=valence)
    plane = figure.add_subplot(grid[:, 1])
    banded = len(faces) <= 2 and any(row.face.valence_sigma for row in estimates)  # more bands are illegible
    for axes, dimension in zip((valence, arousal), DIMENSIONS):
        style_curves(axes, estimates, duration)
        axes.set_ylabel(dimension)
        for face_id, rows in faces.items():
            color = paper_color(face_id) if len(faces) > 1 else COLORS[dimension]
            if banded:
                draw_band(axes, rows, dimension, color)
            draw_curve(axes, rows, dimension, color, label=face_id)
    valence.tick_params(labelbottom=False)
    arousal.set_xlabel("time in seconds" + "   (band: ±1 standard deviation, as predicted)" * banded)
    if 1 < len(faces) <= 8:
        legend_above(valence, columns=4)
    _draw_plane(figure, plane, faces)
    if title:
        figure.suptitle(title, color=INK)
    write_png(path, pixels(figure))


def by_face(estimates: Sequence[EstimateRow]) -> dict[str, list[EstimateRow]]:
    """Group rows by face, thinned to what a plot can show; faces seen most come first."""
    faces: dict[str, list[EstimateRow]] = {}
    for row in estimates:
        faces.setdefault(row.face.face_id, []).append(row)
    ordered = sorted(faces.items(), key=lambda item: -len(item[1]))
    return {face_id: rows[:: math.ceil(len(rows) / 1500)] for face_id, rows in ordered}


def style_curves(axes: Axes, estimates: Sequence[EstimateRow], duration: float) -> None:
    """Set up a time axis and a value axis from -1 to 1."""
    end = max(duration, max((row.time for row in estimates), default=0.0))
    axes.set_xlim(0, end if end > 0 else 1)
    value_axis(axes)
    if not estimates:
        axes.text(0.5, 0.6, "no face detected", transform=axes.transAxes, ha="center", color=INK)


def draw_curve(
    axes: Axes, rows: Sequence[EstimateRow], dimension: str, color: str, label: str, style: str = "-"
) -> None:
    """Draw one dimension of the estimates over time."""
    times, values = _curve(rows, dimension)
    axes.plot(times, values, style, color=color, linewidth=1.8, label=label, zorder=3)


def _curve(rows: Sequence[EstimateRow], dimension: str) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values, with NaN where the face was not visible, so that no line bridges the gap."""
    times = np.array([row.time for row in rows])
    values = np.array([getattr(row.face, dimension) for row in rows])
    after_gap = np.flatnonzero(_gaps(times)) + 1
    return np.insert(times, after_gap, times[after_gap]), np.insert(values, after_gap, np.nan)


def _gaps(times: np.ndarray) -> np.ndarray:
    """Return for each pair of consecutive times whether the face was not visible between them."""
    steps = np.diff(times)
    return steps > max(0.3, 3 * float(np.median(steps))) if steps.size else np.zeros(0, bool)


def draw_band(axes: Axes, rows: Sequence[EstimateRow], dimension: str, color: str) -> None:
    """Draw the band of one predicted standard deviation around a curve, with thin edges so that two can overlap."""
    times, values = _curve(rows, dimension)
    _, sigmas = _curve(rows, f"{dimension}_sigma")
    axes.fill_between(times, values - sigmas, values + sigmas, color=color, alpha=0.16, linewidth=0, zorder=2)
    for side in (-1, 1):
        axes.plot(times, values + side * sigmas, color=color, alpha=0.4, linewidth=0.6, zorder=2)


def legend_above(axes: Axes, columns: int) -> None:
    """Put the legend above the axes, where it hides no data."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncol=columns, frameon=False, fontsize="small"
    )


def _draw_plane(figure: Figure, axes: Axes, faces: dict[str, list[EstimateRow]]) -> None:
    """Draw the paths in the plane, coloured by time and ending in the face's colour."""
    plane_axes(axes)
    shown = dict(list(faces.items())[:4])
    if len(shown) < len(faces):
        axes.set_title(f"the {len(shown)} of {len(faces)} faces seen longest", fontsize="small", color=INK)
    if not shown:
        return
    times = [row.time for rows in shown.values() for row in rows]
    time_colors = ScalarMappable(Normalize(min(times), max(times)), "viridis")
    for face_id, rows in shown.items():
        _draw_path(axes, rows, paper_color(face_id), time_colors)
    bar = figure.colorbar(time_colors, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("time in seconds   (○ start, ● end)", color=INK)
    bar.outline.set_visible(False)


def _draw_path(axes: Axes, rows: Sequence[EstimateRow], color: str, time_colors: ScalarMappable) -> None:
    points = np.array([(row.face.valence, row.face.arousal) for row in rows])
    times = np.array([row.time for row in rows])
    seen = np.flatnonzero(~_gaps(times))
    pieces = [points[i : i + 2] for i in seen]
    path = LineCollection(pieces, colors=time_colors.to_rgba(times[seen]), linewidths=2.2, zorder=3)
    path.set_capstyle("round")
    axes.add_collection(path, autolim=False)
    axes.plot(*points[0], "o", markersize=7, markerfacecolor="white", markeredgecolor=color, zorder=4)
    axes.plot(*points[-1], "o", markersize=8, color=color, markeredgecolor="white", zorder=5)
    inwards = points[-1][0] > 0.5
    axes.annotate(
        rows[0].face.face_id,
        points[-1],
        xytext=(-7 if inwards else 7, 7),
        textcoords="offset points",
        ha="right" if inwards else "left",
        fontsize="small",
        color=color,
        path_effects=[withStroke(linewidth=3, foreground="white")],
        zorder=6,
    )


def paper_color(face_id: str) -> str:
    """Return the face's colour, darkened for a white background."""
    blue, green, red = (round(0.8 * part) for part in face_color(face_id))
    return f"#{red:02x}{green:02x}{blue:02x}"


def pixels(figure: Figure) -> np.ndarray:
    """Render the figure as a BGR image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a BGR image; raises OSError if the file cannot be written."""
    # OpenCV's own writer fails without a reason.
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())

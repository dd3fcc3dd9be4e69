"""Pictures of estimates: curves over time, paths in the valence-arousal plane, and a contact sheet.

In: rows of an estimates file (evaluation/estimates.py). Out: PNG files. Matplotlib draws on its Agg canvas through
figures of its own, so nothing here touches pyplot's global state or needs a display.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from ast_net_ros.evaluation.estimates import FaceEstimate
from ast_net_ros.evaluation.metrics.agreement import DIMENSIONS
from ast_net_ros.model.config import CONFIDENCE_RADIUS
from ast_net_ros.vision.drawing import DrawableFace, draw_caption, draw_faces, face_color

SheetFrame = tuple[float, np.ndarray, Sequence[DrawableFace]]
"""A picture for the contact sheet: seconds from the first frame, BGR image, and the faces to draw into it."""

_COLORS = {"valence": "#2b6cb0", "arousal": "#c05621"}
_QUADRANTS = ((0.97, 0.97, "excited"), (-0.97, 0.97, "distressed"), (-0.97, -0.97, "sad"), (0.97, -0.97, "calm"))
_MOST_POINTS = 1500
_MOST_PATHS = 4
_MOST_COLUMNS = 4
_MOST_SHADES = 2  # the shades of more faces mix to mud
_INK, _GRID = "#2d3748", "#e2e8f0"


def plot_estimates(estimates: Sequence[FaceEstimate], path: Path, title: str = "", duration: float = 0.0) -> None:
    """Writes one PNG: valence and arousal over time, and the paths of the faces in the valence-arousal plane.

    The shade around a curve reaches CONFIDENCE_RADIUS to either side and is the darker the higher the confidence;
    it is left out where more than two faces would overlay each other's.
    duration: seconds that the recording lasts, where it lasts longer than its last face.
    """
    faces = _by_face(estimates)
    figure = Figure(figsize=(13, 6), dpi=110, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    valence = figure.add_subplot(grid[0, 0])
    arousal = figure.add_subplot(grid[1, 0], sharex=valence)
    plane = figure.add_subplot(grid[:, 1])
    shaded = 1 <= len(faces) <= _MOST_SHADES
    for axes, dimension in zip((valence, arousal), DIMENSIONS):
        _style_curves(axes, estimates, duration)
        axes.set_ylabel(dimension)
        for face_id, rows in faces.items():
            color = _paper_color(face_id) if len(faces) > 1 else _COLORS[dimension]
            if shaded:
                _draw_confidence(axes, rows, dimension, color)
            _draw_curve(axes, rows, dimension, color, label=face_id)
    valence.tick_params(labelbottom=False)
    explanation = f"   (shade: ±{CONFIDENCE_RADIUS}, darker where the model is more confident)"
    arousal.set_xlabel("time in seconds" + explanation * shaded)
    if 1 < len(faces) <= 8:
        valence.legend(loc="upper left", ncol=4, frameon=False, fontsize="small")
    _draw_plane(figure, plane, faces)
    if title:
        figure.suptitle(title, color=_INK)
    _write_png(path, _pixels(figure))


def contact_sheet(frames: Sequence[SheetFrame], estimates: Sequence[FaceEstimate], path: Path, title: str = "") -> None:
    """Writes one PNG: the frames with their faces drawn in, row by row, and the curves of all estimates below.

    frames: any sizes; eight of one size, spread over the recording, look best. At least one.
    """
    if not frames:
        raise ValueError("contact sheet: no frame was given; give at least one")
    columns = min(_MOST_COLUMNS, len(frames))
    tile_width, gap = 1960 // columns - 8, 8
    tiles = [_tile(frame, tile_width) for frame in frames]
    tile_height = max(tile.shape[0] for tile in tiles)
    row_count = math.ceil(len(tiles) / columns)
    width, pictures_height = columns * (tile_width + gap) + gap, row_count * (tile_height + gap) + gap
    curves = _sheet_curves(estimates, [time for time, _, _ in frames], title, width)
    sheet = np.full((pictures_height + curves.shape[0], width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = gap + (index // columns) * (tile_height + gap)
        left = gap + (index % columns) * (tile_width + gap)
        sheet[top : top + tile.shape[0], left : left + tile_width] = tile
    sheet[pictures_height:] = curves
    _write_png(path, sheet)


def _tile(frame: SheetFrame, width: int) -> np.ndarray:
    """One picture of the sheet. Drawn at its final size, where lines and text are crisp."""
    time, image, faces = frame
    scale = width / image.shape[1]
    height = max(1, round(image.shape[0] * scale))
    tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    draw_faces(tile, [_scaled(face, scale) for face in faces], magnification=1.5)
    draw_caption(tile, f"{time:.1f} s", magnification=1.5)
    return tile


def _scaled(face: DrawableFace, scale: float) -> FaceEstimate:
    x, y, width, height = (value * scale for value in face.box)
    return FaceEstimate(
        0, 0.0, face.face_id, (x, y, width, height), face.valence, face.arousal, face.confidence, 0.0, ()
    )


def _sheet_curves(estimates: Sequence[FaceEstimate], times: Sequence[float], title: str, width: int) -> np.ndarray:
    dpi = 130
    figure = Figure(figsize=(width / dpi, 3.4), dpi=dpi, layout="constrained")
    axes = figure.add_subplot()
    faces = _by_face(estimates)
    _style_curves(axes, estimates, max(times))
    for time in times:
        axes.axvline(time, color="#a0aec0", linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    for face_id, rows in faces.items():
        prefix = f"{face_id} " if len(faces) > 1 else ""
        for dimension, style in zip(DIMENSIONS, ("-", "--")):
            color = _paper_color(face_id) if len(faces) > 1 else _COLORS[dimension]
            if len(faces) == 1:
                style = "-"
                _draw_confidence(axes, rows, dimension, color)
            _draw_curve(axes, rows, dimension, color, prefix + dimension, style)
    if 1 <= len(faces) <= 4:
        axes.legend(loc="upper left", ncol=4, frameon=False)
    axes.set_xlabel("time in seconds")
    if title:
        axes.set_title(title, color=_INK)
    return _pixels(figure)


def _by_face(estimates: Sequence[FaceEstimate]) -> dict[str, list[FaceEstimate]]:
    """The rows of every face in time order, thinned to what a picture can show; faces seen most come first."""
    faces: dict[str, list[FaceEstimate]] = {}
    for row in estimates:
        faces.setdefault(row.face_id, []).append(row)
    ordered = sorted(faces.items(), key=lambda item: -len(item[1]))
    return {face_id: rows[:: math.ceil(len(rows) / _MOST_POINTS)] for face_id, rows in ordered}


def _style_curves(axes: Axes, estimates: Sequence[FaceEstimate], duration: float) -> None:
    """A time axis over a value axis from -1 to 1."""
    end = max(duration, max((row.time for row in estimates), default=0.0))
    axes.set_xlim(0, end if end > 0 else 1)
    axes.set_ylim(-1, 1)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    _style(axes)
    if not estimates:
        axes.text(0.5, 0.6, "no face was found", transform=axes.transAxes, ha="center", color=_INK)


def _style(axes: Axes) -> None:
    axes.grid(color=_GRID, linewidth=0.8)
    axes.axhline(0, color="#a0aec0", linewidth=1.0, zorder=1)
    axes.set_axisbelow(True)
    axes.tick_params(color=_GRID, labelcolor=_INK)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_color(_INK)
    for spine in axes.spines.values():
        spine.set_color(_GRID)


def _draw_curve(
    axes: Axes, rows: Sequence[FaceEstimate], dimension: str, color: str, label: str, style: str = "-"
) -> None:
    times, values = _curve(rows, dimension)
    axes.plot(times, values, style, color=color, linewidth=1.8, label=label, zorder=3)


def _curve(rows: Sequence[FaceEstimate], dimension: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and values, with NaN between where the face was out of sight, so that no line bridges that time."""
    times = np.array([row.time for row in rows])
    values = np.array([getattr(row, dimension) for row in rows])
    after_gap = np.flatnonzero(_gaps(times)) + 1
    return np.insert(times, after_gap, times[after_gap]), np.insert(values, after_gap, np.nan)


def _gaps(times: np.ndarray) -> np.ndarray:
    """For every pair of neighbouring times whether the face was out of sight between them."""
    steps = np.diff(times)
    return steps > max(0.3, 3 * float(np.median(steps))) if steps.size else np.zeros(0, bool)


def _draw_confidence(axes: Axes, rows: Sequence[FaceEstimate], dimension: str, color: str) -> None:
    """The shade around a curve: a row of pixels, each as opaque as the model was confident, cut to the band's shape."""
    times = np.array([row.time for row in rows])
    if times.size < 2:
        return
    values = np.array([getattr(row, dimension) for row in rows])
    columns = np.linspace(times[0], times[-1], 1000)
    opacity = 0.45 * np.interp(columns, times, [row.confidence for row in rows])
    before = np.clip(np.searchsorted(times, columns) - 1, 0, times.size - 2)
    opacity[_gaps(times)[before]] = 0
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    shade = np.dstack([np.full_like(opacity, part) for part in (red, green, blue)] + [np.clip(opacity, 0, 1)])
    image = axes.imshow(shade, extent=(times[0], times[-1], -1, 1), aspect="auto", interpolation="nearest", zorder=2)
    edge = np.concatenate([values + CONFIDENCE_RADIUS, (values - CONFIDENCE_RADIUS)[::-1]])
    outline = np.column_stack([np.concatenate([times, times[::-1]]), edge])
    image.set_clip_path(Outline(outline, closed=False), transform=axes.transData)


def _draw_plane(figure: Figure, axes: Axes, faces: dict[str, list[FaceEstimate]]) -> None:
    """Valence to the right, arousal up; a path is coloured by time and ends in its face's colour."""
    axes.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="valence", ylabel="arousal", aspect="equal")
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    _style(axes)
    axes.axvline(0, color="#a0aec0", linewidth=1.0, zorder=1)
    for x, y, name in _QUADRANTS:
        axes.text(
            x,
            y,
            name,
            ha="right" if x > 0 else "left",
            va="top" if y > 0 else "bottom",
            color="#718096",
            style="italic",
        )
    shown = dict(list(faces.items())[:_MOST_PATHS])
    if len(shown) < len(faces):
        axes.set_title(f"the {len(shown)} faces seen longest of {len(faces)}", fontsize="small", color=_INK)
    if not shown:
        return
    times = [row.time for rows in shown.values() for row in rows]
    time_colors = ScalarMappable(Normalize(min(times), max(times)), "viridis")
    for face_id, rows in shown.items():
        _draw_path(axes, rows, _paper_color(face_id), time_colors)
    bar = figure.colorbar(time_colors, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("time in seconds   (○ start, ● end)", color=_INK)
    bar.outline.set_edgecolor(_GRID)


def _draw_path(axes: Axes, rows: Sequence[FaceEstimate], color: str, time_colors: ScalarMappable) -> None:
    points = np.array([(row.valence, row.arousal) for row in rows])
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
        rows[0].face_id,
        points[-1],
        xytext=(-7 if inwards else 7, 7),
        textcoords="offset points",
        ha="right" if inwards else "left",
        fontsize="small",
        color=color,
        zorder=5,
    )


def _paper_color(face_id: str) -> str:
    """The face's colour, darkened to stand out on white."""
    blue, green, red = (round(0.8 * part) for part in face_color(face_id))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _pixels(figure: Figure) -> np.ndarray:
    """The figure as a BGR image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)


def _write_png(path: Path, image: np.ndarray) -> None:
    # Encoded here and written by Python: OpenCV's own writer fails without saying why.
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())

"""Draw a contact sheet: frames of a video with their faces, and the curves of all estimates below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from ast_net_ros.evaluation.estimates import EstimateRow
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.report.estimate_plots import (
    by_face,
    draw_band,
    draw_curve,
    legend_above,
    paper_color,
    pixels,
    style_curves,
    write_png,
)
from ast_net_ros.evaluation.report.page_plots import COLORS, INK
from ast_net_ros.face_affect import Box, FaceAffect
from ast_net_ros.vision.drawing import draw_faces

SheetFrame = tuple[float, np.ndarray, Sequence[FaceAffect]]
"""A frame of the sheet: seconds from the first frame, H x W x 3 uint8 BGR, and the faces to draw."""

_MAX_COLUMNS = 4


def contact_sheet(frames: Sequence[SheetFrame], estimates: Sequence[EstimateRow], path: Path, title: str = "") -> None:
    """Write a PNG with some frames and their faces, row by row, and the curves of all estimates below.

    Args:
        frames: At least one; eight of equal size, spread over the recording, fit best.
        estimates: Rows of an estimates file.
        path: The PNG file.
        title: Title of the curves.

    Raises:
        ValueError: There is no frame.
    """
    if not frames:
        raise ValueError("contact sheet: no frame; at least one is needed")
    columns = min(_MAX_COLUMNS, len(frames))
    tile_width, gap = 1960 // columns - 8, 8
    tiles = [_tile(frame, tile_width) for frame in frames]
    tile_height = max(tile.shape[0] for tile in tiles)
    row_count = math.ceil(len(tiles) / columns)
    width, frames_height = columns * (tile_width + gap) + gap, row_count * (tile_height + gap) + gap
    curves = _sheet_curves(estimates, [time for time, _, _ in frames], title, width)
    sheet = np.full((frames_height + curves.shape[0], width, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = gap + (index // columns) * (tile_height + gap)
        left = gap + (index % columns) * (tile_width + gap)
        sheet[top : top + tile.shape[0], left : left + tile_width] = tile
    sheet[frames_height:] = curves
    write_png(path, sheet)


def _tile(frame: SheetFrame, width: int) -> np.ndarray:
    """Draw one frame of the sheet at its final size, where lines and text are crisp."""
    time, image, faces = frame
    scale = width / image.shape[1]
    height = max(1, round(image.shape[0] * scale))
    tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    draw_faces(tile, [replace(face, box=_scaled(face.box, scale)) for face in faces], magnification=1.5)
    _draw_caption(tile, f"{time:.1f} s")
    return tile


def _draw_caption(tile: np.ndarray, text: str) -> None:
    """Write a text on a dark panel into the lower left corner."""
    scale = min(tile.shape[:2]) / 570
    font = cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(2.5 * scale))
    (width, height), _ = cv2.getTextSize(text, *font)
    margin, padding, bottom = round(20 * scale), round(18 * scale), tile.shape[0] - round(20 * scale)
    corners = (margin, bottom - height - 2 * padding), (margin + width + 2 * padding, bottom)
    cv2.rectangle(tile, *corners, (26, 22, 20), cv2.FILLED)
    cv2.putText(tile, text, (margin + padding, bottom - padding), *font[:2], (245, 245, 245), font[2], cv2.LINE_AA)


def _scaled(box: Box, scale: float) -> Box:
    x, y, width, height = (value * scale for value in box)
    return x, y, width, height


def _sheet_curves(estimates: Sequence[EstimateRow], times: Sequence[float], title: str, width: int) -> np.ndarray:
    dpi = 130
    figure = Figure(figsize=(width / dpi, 3.4), dpi=dpi, layout="constrained")
    axes = figure.add_subplot()
    faces = by_face(estimates)
    style_curves(axes, estimates, max(times))
    for time in times:
        axes.axvline(time, color="#a0aec0", linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    for face_id, rows in faces.items():
        prefix = f"{face_id} " if len(faces) > 1 else ""
        for dimension, style in zip(DIMENSIONS, ("-", "--")):
            color = paper_color(face_id) if len(faces) > 1 else COLORS[dimension]
            if len(faces) == 1:
                style = "-"
                draw_band(axes, rows, dimension, color)
            draw_curve(axes, rows, dimension, color, prefix + dimension, style)
    if 1 <= len(faces) <= 4:
        legend_above(axes, columns=4)
    axes.set_xlabel("time in seconds")
    if title:
        figure.suptitle(title, color=INK)
    return pixels(figure)

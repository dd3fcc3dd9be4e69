"""Draws affect estimates into an image: boxes with their values, and a valence-arousal plane with trails.

Images are H x W x 3 uint8 BGR, contiguous and writable, and are drawn into in place. Sizes follow the image; a face id
has the same colour everywhere.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from ast_net_ros.face_affect import Box, FaceAffect, shared_area

Color = tuple[int, int, int]
"""Blue, green, red, each 0 to 255."""

# Legible on the dark label and on white paper; neighbours differ in hue and in lightness.
_FACE_COLORS: tuple[Color, ...] = (
    (255, 176, 66),
    (64, 160, 255),
    (110, 205, 90),
    (190, 110, 245),
    (70, 215, 240),
    (205, 190, 60),
    (110, 110, 250),
    (245, 130, 145),
    (60, 200, 180),
    (205, 150, 215),
)
_PANEL: Color = (26, 22, 20)
_TEXT: Color = (245, 245, 245)
_MUTED: Color = (150, 146, 142)
_PANEL_OPACITY = 0.72
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SUBPIXEL_BITS = 4
_MIN_UNIT = 0.8


def face_color(face_id: str) -> Color:
    """Return the colour of a face: the same for the same id in every run.

    It depends on the number at the end of the id, or on the whole id where there is none.
    """
    number = re.search(r"(\d{1,9})$", face_id)
    index = int(number.group(1)) - 1 if number else zlib.crc32(face_id.encode())
    return _FACE_COLORS[index % len(_FACE_COLORS)]


def draw_faces(image: np.ndarray, faces: Sequence[FaceAffect], magnification: float = 1.0) -> None:
    """Draw the box of every face and a label with its id, valence, arousal and confidence (in percent).

    `magnification` scales lines and text, for images that will be shown smaller than they are.
    """
    unit = _unit(image) * magnification
    # Labels last, so that no box crosses a label.
    for face in faces:
        _draw_box(image, face, unit)
    taken: list[Box] = []
    for face in faces:
        taken.append(_draw_label(image, face, faces, taken, unit))


class AffectPlane:
    """A small valence-arousal plane in a lower corner, with the recent path of every face.

    Call `update` for every frame, also for those that are not drawn, and `draw` for those that are.
    """

    trail_seconds = 5.0  # how much of the past a trail shows

    def __init__(self) -> None:
        self._trails: dict[str, deque[tuple[float, float, float]]] = {}
        self._newest = -math.inf
        self._boxes: list[Box] = []
        self._at_right = True

    def update(self, faces: Sequence[FaceAffect], stamp: float) -> None:
        """Add all faces of one frame. A `stamp`, in seconds, before the last one clears all trails."""
        if stamp < self._newest:
            self._trails.clear()
        self._newest = stamp
        self._boxes = [face.box for face in faces]
        for face in faces:
            self._trails.setdefault(face.face_id, deque()).append((stamp, face.valence, face.arousal))
        for face_id, trail in list(self._trails.items()):
            while trail and trail[0][0] < stamp - self.trail_seconds:
                trail.popleft()
            if not trail:
                del self._trails[face_id]

    def draw(self, image: np.ndarray) -> None:
        """Draw the plane into `image`, unless the image is too small for it."""
        height, width = image.shape[:2]
        unit = _unit(image)
        side = round(min(110 * unit, 0.4 * min(height, width)))
        margin = round(8 * unit)
        if side < 32:
            return
        left, top = self._left_edge(width, height, side, margin), height - margin - side
        _shade(image, left, top, side, side, round(6 * unit))
        inset = image[top : top + side, left : left + side]
        _draw_axes(inset, unit)
        for face_id, trail in self._trails.items():
            self._draw_trail(inset, face_id, trail, unit)

    def _left_edge(self, width: int, height: int, side: int, margin: int) -> int:
        """Keep the corner until faces cover much of it and the other is clearly emptier, to avoid flicker."""
        edges = {True: width - margin - side, False: margin}
        covered = {
            at_right: sum(shared_area((left, height - margin - side, side, side), box) for box in self._boxes)
            for at_right, left in edges.items()
        }
        if covered[self._at_right] > 0.1 * side * side and covered[not self._at_right] < covered[self._at_right] / 4:
            self._at_right = not self._at_right
        return edges[self._at_right]

    def _draw_trail(
        self, inset: np.ndarray, face_id: str, trail: deque[tuple[float, float, float]], unit: float
    ) -> None:
        color = face_color(face_id)
        points = [_plane_point(inset, valence, arousal, unit) for _, valence, arousal in trail]
        fixed = np.array([_fixed(point) for point in points], np.int32)
        # A dozen shades pass for a gradient and need a tenth of the lines that one for each frame would.
        length = max(1, math.ceil(len(points) / 12))
        for start in range(0, len(points) - 1, length):
            age = (self._newest - trail[start][0]) / self.trail_seconds
            piece = [fixed[start : start + length + 1]]
            faded = _mix(color, _PANEL, 0.1 + 0.8 * age)
            cv2.polylines(inset, piece, False, faded, max(1, round(1.6 * unit)), cv2.LINE_AA, _SUBPIXEL_BITS)
        seen_now = trail[-1][0] == self._newest
        radius = (3.6 if seen_now else 2.2) * unit
        _disc(inset, points[-1], radius + max(1.0, unit), _PANEL)
        _disc(inset, points[-1], radius, color if seen_now else _mix(color, _PANEL, 0.5))


def _unit(image: np.ndarray) -> float:
    """Pixels per drawing unit: 1 for an image 360 pixels high, never so small that text is illegible."""
    return max(_MIN_UNIT, min(image.shape[:2]) / 360)


def _draw_box(image: np.ndarray, face: FaceAffect, unit: float) -> None:
    """Draw a thin rectangle with thick corners."""
    x, y, width, height = face.box
    color = face_color(face.face_id)
    left, top, right, bottom = (round(v) for v in (x, y, x + width, y + height))
    thin, thick = max(1, round(unit)), max(2, round(2.4 * unit))
    cv2.rectangle(image, (left, top), (right, bottom), color, thin, cv2.LINE_AA)
    arm = round(min(width, height) * 0.18)
    for corner_x, towards_x in ((left, 1), (right, -1)):
        for corner_y, towards_y in ((top, 1), (bottom, -1)):
            for end in ((corner_x + towards_x * arm, corner_y), (corner_x, corner_y + towards_y * arm)):
                cv2.line(image, (corner_x, corner_y), end, color, thick, cv2.LINE_AA)


def _draw_label(image: np.ndarray, face: FaceAffect, faces: Sequence[FaceAffect], taken: list[Box], unit: float) -> Box:
    """Draw two lines near the box, id and confidence, then the values. Returns the label's box."""
    # Text shrinks with the face, so that the labels of a group do not hide each other.
    unit = max(min(unit, _MIN_UNIT), min(unit, face.box[2] / 90))
    values, certainty = f"V {face.valence:+.2f}  A {face.arousal:+.2f}", f"{face.confidence:.0%}"
    scale, thickness = 0.42 * unit, max(1, round(1.1 * unit))
    padding = gap = round(5 * unit)
    values_width, line_height = _text_size(values, scale, thickness)
    id_width, _ = _text_size(face.face_id, scale, thickness)
    certainty_width, _ = _text_size(certainty, scale, thickness)
    width = max(values_width, id_width + certainty_width + 2 * gap) + 2 * padding
    height = 2 * line_height + gap + 2 * padding

    others = [other.box for other in faces if other is not face]
    left, top = _label_place(image.shape, face.box, (width, height), round(4 * unit), [*taken, *others])
    _shade(image, left, top, width, height, round(4 * unit))
    first, second = top + padding + line_height, top + padding + 2 * line_height + gap
    right = left + width - padding
    _text(image, face.face_id, (left + padding, first), scale, face_color(face.face_id), thickness)
    _text(image, certainty, (right - certainty_width, first), scale, _MUTED, thickness)
    _text(image, values, (left + padding, second), scale, _TEXT, thickness)
    return left, top, width, height


def _label_place(
    image_shape: tuple[int, ...], box: Box, size: tuple[int, int], gap: int, occupied: Sequence[Box]
) -> tuple[int, int]:
    """Choose the top left corner of a label: above, below or beside the face, where it hides least."""
    x, y, box_width, box_height = (round(v) for v in box)
    width, height = size
    wanted = [(x, y - height - gap), (x, y + box_height + gap), (x + box_width + gap, y), (x - width - gap, y)]
    room = (max(0, image_shape[1] - width), max(0, image_shape[0] - height))
    places = [(min(max(left, 0), room[0]), min(max(top, 0), room[1])) for left, top in wanted]

    def hidden(place: tuple[int, int]) -> float:
        label = (*place, *size)
        # A little of its own face may be covered: better than a label that jumps with every movement of the head.
        own = max(0.0, shared_area(label, box) - 0.3 * width * height)
        return own + sum(shared_area(label, other) for other in occupied)

    return min(places, key=hidden)  # the first of equals: above the face where that hides nothing


def _draw_axes(inset: np.ndarray, unit: float) -> None:
    side = inset.shape[0]
    thin = max(1, round(0.8 * unit))
    grid = _mix(_MUTED, _PANEL, 0.55)
    for value, color in ((-1, grid), (1, grid), (0, _MUTED)):  # the axes last
        for start, end in (((value, -1), (value, 1)), ((-1, value), (1, value))):
            first, last = (_fixed(_plane_point(inset, *point, unit)) for point in (start, end))
            cv2.line(inset, first, last, color, thin, cv2.LINE_AA, _SUBPIXEL_BITS)
    scale, thickness = 0.3 * unit, max(1, round(0.8 * unit))
    for text, valence, arousal, align in (("valence", 1, 0, 1.0), ("arousal", 0, 1, 0.0)):
        text_width, text_height = _text_size(text, scale, thickness)
        x, y = _plane_point(inset, valence, arousal, unit)
        corner_x = x - text_width - 2 * unit if align else x + 3 * unit
        corner_y = y - 3 * unit if align else y + text_height + 3 * unit
        if text_width < side / 2:
            _text(inset, text, (round(corner_x), round(corner_y)), scale, _MUTED, thickness)


def _plane_point(inset: np.ndarray, valence: float, arousal: float, unit: float) -> tuple[float, float]:
    """Map valence and arousal in [-1, 1] to pixels of the plane; arousal points up."""
    half = inset.shape[0] / 2
    reach = half - 7 * unit
    return half + max(-1.0, min(1.0, valence)) * reach, half - max(-1.0, min(1.0, arousal)) * reach


def _shade(image: np.ndarray, left: int, top: int, width: int, height: int, radius: int) -> None:
    """Darken a rounded rectangle, so that text on it is legible on any background."""
    region = image[max(0, top) : top + height, max(0, left) : left + width]
    if region.size == 0:
        return
    rows, columns = region.shape[:2]
    mask = np.zeros((rows, columns), np.uint8)
    bottom, right = rows - 1, columns - 1
    radius = min(radius, bottom // 2, right // 2)
    cv2.rectangle(mask, (radius, 0), (right - radius, bottom), 255, cv2.FILLED)
    cv2.rectangle(mask, (0, radius), (right, bottom - radius), 255, cv2.FILLED)
    for x in (radius, right - radius):
        for y in (radius, bottom - radius):
            cv2.circle(mask, (x, y), radius, 255, cv2.FILLED, cv2.LINE_AA)
    opacity = cv2.merge([mask] * 3).astype(np.float32) * (_PANEL_OPACITY / 255)
    region[...] = (region + (np.array(_PANEL, np.float32) - region) * opacity + 0.5).astype(np.uint8)


def _text_size(text: str, scale: float, thickness: int) -> tuple[int, int]:
    """Measure a text: width and height above the baseline, in pixels."""
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    return width, height


def _text(
    image: np.ndarray, text: str, baseline_left: tuple[int, int], scale: float, color: Color, thickness: int
) -> None:
    cv2.putText(image, text, baseline_left, _FONT, scale, color, thickness, cv2.LINE_AA)


def _disc(image: np.ndarray, centre: tuple[float, float], radius: float, color: Color) -> None:
    scale = 1 << _SUBPIXEL_BITS
    cv2.circle(image, _fixed(centre), round(radius * scale), color, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    """Convert a point to OpenCV's fixed-point format, so that a slow trail moves smoothly."""
    scale = 1 << _SUBPIXEL_BITS
    return round(point[0] * scale), round(point[1] * scale)


def _mix(color: Color, other: Color, share: float) -> Color:
    """Mix `color` with a `share` of `other`."""
    blue, green, red = (round(a + (b - a) * share) for a, b in zip(color, other))
    return blue, green, red

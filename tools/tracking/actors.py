"""People for the tracking scenes: portraits that turn their heads, and recorded videos.

In: image and video files with one face each. Out: for any pose a sprite (colour, opacity) and the face's box in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ast_net_ros.vision.detection import Detection, Detector

Box = tuple[float, float, float, float]
_TEXTURE = (320, 320)  # pixels of a portrait
_SIDE_LIGHT = np.array([0.12, 0.22, 0.30])  # blue, green, red: how much brighter the right side is lit than the middle


@dataclass(frozen=True)
class Pose:
    """How an actor stands in one frame.

    x, y: centre of the face in pixels of the frame. size: width of the face when it looks ahead, in pixels.
    roll, yaw, pitch: degrees; in-plane turn, turn to the side, nod. smile: 0 neutral to 1. present: whether to show it.
    """

    x: float
    y: float
    size: float
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    smile: float = 0.0
    present: bool = True


@dataclass(frozen=True)
class Sprite:
    """An actor on a canvas.

    colour: BGR uint8. opacity: float32 in [0, 1]. corner: left and top of both on the canvas.
    box: the face's, in pixels of the canvas.
    """

    colour: np.ndarray
    opacity: np.ndarray
    corner: tuple[int, int]
    box: Box


class Actor(Protocol):
    """Somebody who can be shown."""

    name: str

    def sprite(self, pose: Pose, time: float, canvas: tuple[int, int]) -> Sprite:
        """Return the actor in `pose` on a canvas of (width, height)."""
        ...


class Portrait:
    """A frontal photograph, neutral and smiling, as the texture of a head that turns.

    The head is an ellipsoid under parallel projection, so out-of-plane turns are simulated: ears, nose and hair have
    no relief. Trusted up to about 45 degrees.
    """

    def __init__(self, name: str, neutral: np.ndarray, smiling: np.ndarray, detector: Detector):
        self.name = name
        neutral, smiling = (cv2.resize(image, _TEXTURE, interpolation=cv2.INTER_AREA) for image in (neutral, smiling))
        face = _one_face(detector, neutral, name)
        other = _one_face(detector, smiling, name)
        to_neutral, _ = cv2.estimateAffinePartial2D(other.landmarks, face.landmarks)
        smiling = cv2.warpAffine(smiling, to_neutral, neutral.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        self._neutral, self._smiling = neutral, smiling
        self._flow = _dense_flow(neutral, smiling)
        x, y, width, height = face.box
        self._centre = np.array([x + width / 2, y + height * 0.45])
        self._axes = np.array([0.68 * width, 0.78 * height, 0.7 * width])
        self._width, self._box_offset, self._height = width, np.array([0.0, 0.05 * height]), height

    def sprite(self, pose: Pose, time: float, canvas: tuple[int, int]) -> Sprite:
        """The portrait in `pose` on a canvas of (width, height)."""
        scale = pose.size / self._width
        texture = self._expression(pose.smile)
        reach = 2.2 * pose.size
        left, right = (int(np.clip(pose.x + side * reach, 0, canvas[0])) for side in (-1, 1))
        top, bottom = (int(np.clip(pose.y + side * reach, 0, canvas[1])) for side in (-1, 1))
        rotation = head_rotation(pose.yaw, pose.pitch)
        box = self._box(pose, rotation, scale)
        if not pose.present or right <= left or bottom <= top:
            return _nothing(box)
        columns, rows = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
        turned = np.deg2rad(pose.roll)
        dx, dy = (columns - pose.x) / scale, (rows - pose.y) / scale
        u = np.cos(turned) * dx + np.sin(turned) * dy
        v = -np.sin(turned) * dx + np.cos(turned) * dy
        head_x, head_y, head_alpha = self._cast(u, v, rotation)
        body_alpha = self._body(u, v)
        head = head_alpha > 0
        map_x = np.where(head, head_x, u) + self._centre[0]
        map_y = np.where(head, head_y, v) + self._centre[1]
        if scale < 1:  # average down before sampling
            texture = cv2.resize(texture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            map_x, map_y = map_x * scale, map_y * scale
        maps = map_x.astype(np.float32), map_y.astype(np.float32)
        colour = cv2.remap(texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        depth = self._axes[2] * np.sqrt(
            np.clip(1 - (head_x / self._axes[0]) ** 2 - (head_y / self._axes[1]) ** 2, 0, 1)
        )
        normal = np.stack([head_x, head_y, depth], axis=-1) / self._axes**2
        side = normal @ rotation[0] / np.maximum(np.linalg.norm(normal, axis=-1), 1e-9)
        light = 1 + _SIDE_LIGHT * np.where(head, side, 0)[..., None]
        colour = np.clip(colour * light, 0, 255).astype(np.uint8)
        return Sprite(colour, np.maximum(head_alpha, body_alpha), (left, top), box)

    def _expression(self, smile: float) -> np.ndarray:
        if smile <= 0.02:
            return self._neutral
        rows, columns = np.indices(self._neutral.shape[:2], dtype=np.float32)
        grid = np.stack([columns, rows], axis=-1)
        from_neutral = (grid - smile * self._flow).astype(np.float32)
        from_smiling = (grid + (1 - smile) * self._flow).astype(np.float32)
        first = cv2.remap(self._neutral, from_neutral, None, cv2.INTER_LINEAR)
        second = cv2.remap(self._smiling, from_smiling, None, cv2.INTER_LINEAR)
        return cv2.addWeighted(first, 1 - smile, second, smile, 0)

    def _cast(self, u: np.ndarray, v: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where rays along the view meet the turned ellipsoid, in the head's own x and y, and the head's opacity."""
        inverse = 1 / self._axes**2
        back = rotation.T
        origin = [back[i, 0] * u + back[i, 1] * v for i in range(3)]
        ray = back[:, 2]
        a = float((ray**2 * inverse).sum())
        b = 2 * sum(origin[i] * (ray[i] * inverse[i]) for i in range(3))
        c = sum(origin[i] ** 2 * inverse[i] for i in range(3)) - 1
        root = b * b - 4 * a * c
        depth = (-b + np.sqrt(np.maximum(root, 0))) / (2 * a)
        return origin[0] + depth * ray[0], origin[1] + depth * ray[1], np.clip(root / (0.6 * a), 0, 1)

    def _body(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Neck and shoulders, which do not turn."""
        neck = (np.abs(u) < 0.42 * self._width) & (v > 0.2 * self._height)
        low = self._height * 1.45
        shoulders = (u / (1.25 * self._width)) ** 2 + ((v - low) / (0.65 * self._height)) ** 2 < 1
        return ((neck | shoulders) & (v < low)).astype(np.float32)

    def _box(self, pose: Pose, rotation: np.ndarray, scale: float) -> Box:
        """The face's box: its middle lies on the ellipsoid's surface and turns along."""
        middle = rotation @ np.array([*self._box_offset, 0.55 * self._axes[2]])
        turned = np.deg2rad(pose.roll)
        spin = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
        x, y = np.array([pose.x, pose.y]) + spin @ middle[:2] * scale
        width, height = self._width * scale, self._height * scale
        return (float(x - width / 2), float(y - height / 2), width, height)


class Recording:
    """A video with one face, cut out around the person. It plays to and fro at its own speed."""

    def __init__(self, path: Path, detector: Detector, rate: float | None = None):
        self.name = path.stem
        capture = cv2.VideoCapture(str(path))
        self._rate = rate or capture.get(cv2.CAP_PROP_FPS)
        self._frames: list[np.ndarray] = []
        self._boxes: list[Box] = []
        while len(self._frames) < 300:
            read, frame = capture.read()
            if not read:
                break
            faces = sorted(detector.detect(frame), key=lambda face: -face.box[2] * face.box[3])
            if not faces and not self._boxes:
                continue
            self._frames.append(frame)
            self._boxes.append(faces[0].box if faces else self._boxes[-1])
        if not self._frames:
            raise ValueError(f"{path}: no face in this video")
        boxes = np.array(self._boxes)
        self._size = float(np.median(boxes[:, 2]))
        self._centre = np.median(boxes[:, :2] + boxes[:, 2:] / 2, axis=0)

    def sprite(self, pose: Pose, time: float, canvas: tuple[int, int]) -> Sprite:
        """The video at `time`, its median face at `pose`'s place; yaw, pitch and smile are its own."""
        last = len(self._frames) - 1
        step = int(time * self._rate) % max(2 * last, 1)
        index = step if step <= last else 2 * last - step
        frame, scale = self._frames[index], pose.size / self._size
        placed = cv2.getRotationMatrix2D(tuple(self._centre), -pose.roll, scale)
        placed[:, 2] += np.array([pose.x, pose.y]) - self._centre
        reach = 1.15 * self._size
        left, right = (int(np.clip(self._centre[0] + side * reach * 1.2, 0, frame.shape[1])) for side in (-1, 1))
        top, bottom = (int(np.clip(self._centre[1] + side * reach * 1.4, 0, frame.shape[0])) for side in (-1, 1))
        mask = np.zeros(frame.shape[:2], np.float32)
        mask[top:bottom, left:right] = 1
        if scale < 0.6:
            frame = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale)
        colour = cv2.warpAffine(frame, placed, canvas, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(mask, placed, canvas)
        x, y, width, height = self._boxes[index]
        middle = placed[:, :2] @ np.array([x + width / 2, y + height / 2]) + placed[:, 2]
        width, height = width * scale, height * scale
        box = (float(middle[0] - width / 2), float(middle[1] - height / 2), width, height)
        return Sprite(colour, opacity, (0, 0), box) if pose.present else _nothing(box)


def _nothing(box: Box) -> Sprite:
    return Sprite(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32), (0, 0), box)


def head_rotation(yaw: float, pitch: float) -> np.ndarray:
    """Camera from head: x right, y down, z towards the camera; degrees."""
    cy, sy = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    cp, sp = np.cos(np.deg2rad(pitch)), np.sin(np.deg2rad(pitch))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return about_y @ about_x


def load_portraits(folder: Path, detector: Detector) -> list[Portrait]:
    """Every `NAME_neutral.jpg` of the folder that has a `NAME_smiling.jpg`, by name."""
    portraits = []
    for path in sorted(folder.glob("*_neutral.jpg")):
        smiling = path.with_name(path.name.replace("neutral", "smiling"))
        if smiling.is_file():
            name = path.stem.removesuffix("_neutral")
            neutral_image, smiling_image = (np.asarray(cv2.imread(str(image))) for image in (path, smiling))
            portraits.append(Portrait(name, neutral_image, smiling_image, detector))
    return portraits


def halves(actors: Sequence[Actor]) -> tuple[list[Actor], list[Actor]]:
    """Every second person for choosing, the others for reporting."""
    return list(actors[::2]), list(actors[1::2])


def _one_face(detector: Detector, image: np.ndarray, name: str) -> Detection:
    faces = detector.detect(image)
    if not faces:
        raise ValueError(f"{name}: no face was found in the portrait")
    return faces[0]


def _dense_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (before, after)]
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey[0], grey[1], None)

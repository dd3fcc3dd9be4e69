"""Renders heads of the `anny` body model (NAVER, Apache-2.0) in a given pose.

In: how many heads. Out: images. Drawn in flat shaded triangles, far ones first; no textures, so irises, brows and
hair are coloured vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]
_SKIN, _HAIR, _BROW, _WHITE, _IRIS = (120, 150, 205), (30, 35, 45), (40, 50, 60), (225, 225, 225), (30, 30, 30)
_LIGHT = np.array([0.81, 0.30, 0.51])  # direction to the light: mostly from the camera
FOCAL = 2.2  # of the camera, in sides of the image
_EXPRESSIONS: tuple[dict[str, float], ...] = ({}, {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}, {}, {"jawOpen": 0.4})


@dataclass(frozen=True)
class Head:
    """One head. points: N x 3, x forward, y to the head's left, z up, metres. colours: N x 3, BGR.

    eyes: 2 x 3, the middle of each eye's surface.
    """

    points: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    eyes: np.ndarray


def make_heads(count: int, seed: int = 0) -> list[Head]:
    """Make grown-up heads of random phenotypes; half of them smile or open the mouth."""
    import anny
    import torch

    model = anny.Anny(rig="makehuman-head", topology="head", facial_actions="all")
    rng = np.random.default_rng(seed)
    triangles = model.faces.numpy()
    heads = []
    for number in range(count):
        phenotype = {label: float(rng.uniform(0.1, 0.9)) for label in model.phenotype_labels}
        phenotype["age"] = float(rng.uniform(0.45, 1.0))
        with torch.no_grad():
            actions = _EXPRESSIONS[number % len(_EXPRESSIONS)] or None
            body = model(phenotype_kwargs=phenotype, facial_actions=actions)["vertices"][0].numpy()
        heads.append(_head(np.stack([-body[:, 1], body[:, 0], body[:, 2]], axis=1), triangles))
    return heads


def render(head: Head, angles: tuple[float, float, float], distance: float, side: int = 240) -> np.ndarray:
    """Render a head in front of the camera.

    Args:
        head: What to render.
        angles: Roll, pitch and yaw, degrees, as in `ast_net_ros.vision.head_pose`.
        distance: From the camera, metres.
        side: Of the square image, pixels.
    """
    turned = head.points @ rotation(*angles).T
    depth = distance - turned[:, 0]
    focal = FOCAL * side
    pixels = np.stack([side / 2 + focal * turned[:, 1] / depth, side / 2 - focal * turned[:, 2] / depth], axis=1)
    corners = turned[head.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    at_vertex = np.zeros_like(turned)
    for corner in range(3):
        np.add.at(at_vertex, head.triangles[:, corner], normals)
    at_vertex /= np.maximum(np.linalg.norm(at_vertex, axis=1, keepdims=True), 1e-12)
    lit = head.colours * (0.35 + 0.65 * np.clip(at_vertex @ _LIGHT, 0, 1))[:, None]
    facing = ((np.array([distance, 0, 0]) - corners.mean(axis=1)) * normals).sum(axis=1) > 0
    order = np.argsort(-depth[head.triangles].mean(axis=1))
    image = np.full((side, side, 3), (150, 140, 130), np.uint8)
    fixed = np.round(pixels * 16).astype(np.int32)
    colours = lit[head.triangles].mean(axis=1)
    for index in order[facing[order]]:
        cv2.fillConvexPoly(image, fixed[head.triangles[index]], colours[index].tolist(), cv2.LINE_8, 4)
    return cv2.GaussianBlur(image, (3, 3), 0.7)


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Rotate by yaw, pitch and roll in degrees, in this order about the turned axes (REP-103)."""
    r, p, y = np.deg2rad([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]])
    about_y = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    about_z = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _head(points: np.ndarray, triangles: np.ndarray) -> Head:
    """Colour a head and put its middle, 3 cm behind and below the eyes, into the origin."""
    part = _parts(len(points), triangles)
    eyes = [part == number for number in np.unique(part) if _is_eye(points[part == number])]
    if len(eyes) != 2:
        raise ValueError(f"this version of anny has {len(eyes)} parts that look like an eye; wanted 2")
    between = np.mean([points[eye].mean(axis=0) for eye in eyes], axis=0)
    colours = np.tile(np.array(_SKIN, float), (len(points), 1))
    ahead, up = points[:, 0] - between[0], points[:, 2] - between[2]
    colours[(up > 0.06) | ((ahead < -0.06) & (up > -0.05))] = _HAIR
    for eye in eyes:
        centre = points[eye].mean(axis=0)
        off = points - centre
        colours[(np.abs(off[:, 1]) < 0.022) & (np.abs(off[:, 2] - 0.022) < 0.005) & (off[:, 0] > -0.005)] = _BROW
        radius = np.ptp(points[eye][:, 1]) / 2
        iris = (off[:, 0] > 0) & (np.hypot(off[:, 1], off[:, 2]) < 0.55 * radius)
        colours[eye] = _WHITE
        colours[eye & iris] = _IRIS
    middle = between - np.array([0.03, 0.0, 0.03])
    pupils = np.array([[points[eye][:, 0].max(), *points[eye][:, 1:].mean(axis=0)] for eye in eyes])
    return Head(points - middle, triangles, colours, pupils - middle)


def _is_eye(points: np.ndarray) -> bool:
    size = np.ptp(points, axis=0).max()
    return len(points) > 20 and 0.02 < size < 0.04 and abs(points[:, 1].mean()) > 0.02


def _parts(count: int, triangles: np.ndarray) -> np.ndarray:
    """Number the connected parts of a mesh: the least vertex of each."""
    part = np.arange(count)
    while True:
        before = part.copy()
        least = part[triangles].min(axis=1)
        for corner in range(3):
            np.minimum.at(part, triangles[:, corner], least)
        part = part[part]
        if (part == before).all():
            return part

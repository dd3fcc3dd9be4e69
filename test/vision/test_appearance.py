"""Appearance: the same under other light, different between people, finite for blank images."""

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.alignment import CHIP_SIDE, LANDMARK_TEMPLATE
from ast_net_ros.vision.appearance import edge_orientations, hair_colour


def _chip(person: int) -> np.ndarray:
    """A chip with an appearance of its own for every person."""
    coarse = np.random.default_rng(person).integers(0, 255, (8, 8), dtype=np.uint8)
    return cv2.resize(coarse, (CHIP_SIDE, CHIP_SIDE), interpolation=cv2.INTER_CUBIC)


def _head(skin: tuple[int, int, int], hair: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A plain head, BGR colours, and its landmarks."""
    image = np.full((200, 200, 3), hair, np.uint8)
    image[80:] = skin
    return image, LANDMARK_TEMPLATE * 100 + np.array([50, 70], np.float32)


def test_the_shape_does_not_depend_on_light():
    chip = _chip(4)
    darker = (chip * 0.6 + 20).astype(np.uint8)
    assert float(edge_orientations(chip) @ edge_orientations(darker)) > 0.9
    assert float(edge_orientations(chip) @ edge_orientations(_chip(5))) < 0.5


def test_a_blank_chip_has_a_finite_shape():
    assert np.isfinite(edge_orientations(np.zeros((CHIP_SIDE, CHIP_SIDE), np.uint8))).all()


def test_hair_is_told_apart_whatever_the_skin():
    dark, landmarks = _head((120, 150, 200), (20, 20, 20))
    fair, _ = _head((120, 150, 200), (60, 160, 190))
    tanned, _ = _head((60, 80, 120), (20, 20, 20))
    assert np.linalg.norm(hair_colour(dark, landmarks) - hair_colour(fair, landmarks)) > 30
    assert np.linalg.norm(hair_colour(dark, landmarks) - hair_colour(tanned, landmarks)) < 1


def test_a_face_at_the_border_has_a_finite_colour():
    image, landmarks = _head((120, 150, 200), (20, 20, 20))
    assert np.isfinite(hair_colour(image, landmarks - 80)).all()


@pytest.mark.parametrize("side", [48, 64])
def test_edge_orientations_follow_the_plain_formula(side):
    """Every pixel against every orientation, every cell by itself; exact where the cells are whole pixels."""
    for chip in [cv2.resize(_chip(person), (side, side)) for person in range(20)] + [np.zeros((side, side), np.uint8)]:
        grey = chip.astype(np.float32)
        dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        angle = np.mod(np.arctan2(dy, dx), np.pi) * (8 / np.pi)
        votes = np.clip(1 - np.abs(np.mod(angle[..., None] - np.arange(8) + 4, 8) - 4), 0, None)
        votes = (votes * np.hypot(dx, dy)[..., None]).astype(np.float32)
        cells = np.stack(
            [cv2.resize(v, (6, 6), interpolation=cv2.INTER_AREA) for v in np.moveaxis(votes, 2, 0)], axis=2
        )
        cells = np.sqrt(cells / (np.linalg.norm(cells, axis=2, keepdims=True) + 20))
        cells -= cells.mean(axis=(0, 1))
        expected = (cells / max(float(np.linalg.norm(cells)), 1e-6)).ravel()
        assert np.abs(edge_orientations(chip) - expected).max() < 1e-5

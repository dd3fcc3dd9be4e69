"""The contact sheet shows the frames with their faces, and the curves below."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.estimates import EstimateRow
from ast_net_ros.face_affect import FaceAffect
from demo.contact_sheet import contact_sheet


def estimate(frame, time, valence=0.0):
    face = FaceAffect("face_1", (20.0, 10.0, 30.0, 40.0), valence, 0.5, 0.6, (0.125,) * 8, time, 0.2, 0.2)
    return EstimateRow(frame, time, face)


def test_the_contact_sheet_shows_the_frames_in_order(tmp_path):
    greys = [40, 90, 140, 190, 240]
    frames = [
        (float(i), np.full((90, 160, 3), grey, np.uint8), [estimate(i, float(i)).face]) for i, grey in enumerate(greys)
    ]
    contact_sheet(
        frames, [estimate(i, i / 25, i / 50 - 1) for i in range(100)], tmp_path / "sheet.png", title="five greys"
    )
    image = cv2.imread(str(tmp_path / "sheet.png"))
    assert image is not None
    tile_width, tile_height = image.shape[1] // 4, image.shape[1] // 4 * 9 // 16
    for index, grey in enumerate(greys):
        x = round((index % 4 + 0.9) * tile_width)
        y = round((index // 4 + 0.5) * tile_height)
        assert np.abs(image[y, x].astype(int) - grey).max() <= 2
        tile = image[index // 4 * tile_height :, index % 4 * tile_width :][:tile_height, :tile_width]
        box_color = np.array([0xFF, 0xB0, 0x42])
        assert (np.abs(tile.astype(int) - box_color).max(axis=2) < 40).sum() > 200
    assert all(frame.min() == frame.max() for _, frame, _ in frames)  # the caller's images are unchanged


def test_a_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [], tmp_path / "sheet.png")

"""Plots and contact sheets are pictures in which the data can be found again, made without global state."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.estimates import FaceEstimate
from ast_net_ros.evaluation.report import plots
from ast_net_ros.evaluation.report.estimate_plots import contact_sheet, plot_estimates


def estimate(frame, time, face_id="face_1", valence=0.0, arousal=0.0, confidence=0.6):
    return FaceEstimate(
        frame, time, face_id, (20.0, 10.0, 30.0, 40.0), valence, arousal, confidence, time, (0.125,) * 8
    )


def ramp(face_id="face_1", frames=100, missing=()):
    return [
        estimate(i, i / 25, face_id, valence=i / 50 - 1, arousal=0.5, confidence=i / 100)
        for i in range(frames)
        if i not in missing
    ]


def read(path):
    image = cv2.imread(str(path))
    assert image is not None
    return image


def colored(image, color):
    """Mask of the pixels of an "#rrggbb" colour."""
    bgr = [int(color[i : i + 2], 16) for i in (5, 3, 1)]
    return np.abs(image.astype(int) - bgr).max(axis=2) < 40


def test_the_plot_shows_rising_valence_and_level_arousal(tmp_path):
    plot_estimates(ramp(), tmp_path / "plot.png", title="a ramp")
    image = read(tmp_path / "plot.png")
    height, width = image.shape[:2]
    assert height >= 600 and width >= 1200
    rows, columns = np.nonzero(colored(image[: height // 2, : width // 2], "#2b6cb0"))
    assert np.corrcoef(columns, rows)[0, 1] < -0.99  # up to the right
    rows, _ = np.nonzero(colored(image[height // 2 :, : width // 2], "#c05621"))
    assert np.ptp(rows) < 8


def test_the_confidence_band_darkens_with_confidence():
    figure = plots.Figure()
    axes = figure.add_subplot()
    plots._draw_confidence(axes, ramp(), "valence", "#2b6cb0")
    (shade,) = axes.images
    opacity = np.asarray(shade.get_array())[0, :, 3]
    assert (np.diff(opacity) >= 0).all() and opacity[-1] > opacity[0] + 0.3


def test_no_line_bridges_the_time_out_of_sight():
    times, values = plots._curve(ramp(missing=range(40, 60)), "valence")
    assert np.isnan(values).sum() == 1 and np.isfinite(times).all() and (np.diff(times) >= 0).all()
    assert not np.isnan(plots._curve(ramp(), "valence")[1]).any()


@pytest.mark.parametrize(
    "estimates",
    [[], [estimate(3, 0.0)], ramp(missing=range(10, 60)), [r for k in range(12) for r in ramp(f"face_{k}", 9)]],
    ids=["none", "one", "gap", "twelve faces"],
)
def test_any_number_of_faces_gives_a_plot_and_a_sheet(tmp_path, estimates):
    plot_estimates(estimates, tmp_path / "plot.png", duration=4.0)
    contact_sheet([(0.0, np.zeros((48, 64, 3), np.uint8), estimates[:1])], estimates, tmp_path / "sheet.png")
    assert read(tmp_path / "plot.png").std() > 1 and read(tmp_path / "sheet.png").std() > 1


def test_a_long_recording_is_thinned_to_what_can_be_seen():
    faces = plots._by_face([*ramp(frames=10_000), *ramp("face_2", frames=20)])
    assert list(faces) == ["face_1", "face_2"]
    assert len(faces["face_1"]) <= 1500 and len(faces["face_2"]) == 20


def test_the_contact_sheet_shows_the_frames_in_order(tmp_path):
    greys = [40, 90, 140, 190, 240]
    frames = [
        (float(i), np.full((90, 160, 3), grey, np.uint8), [estimate(i, float(i))]) for i, grey in enumerate(greys)
    ]
    contact_sheet(frames, ramp(), tmp_path / "sheet.png", title="five greys")
    image = read(tmp_path / "sheet.png")
    tile_width, tile_height = image.shape[1] // 4, image.shape[1] // 4 * 9 // 16
    for index, grey in enumerate(greys):
        x = round((index % 4 + 0.9) * tile_width)
        y = round((index // 4 + 0.5) * tile_height)
        assert np.abs(image[y, x].astype(int) - grey).max() <= 2
        tile = image[index // 4 * tile_height :, index % 4 * tile_width :][:tile_height, :tile_width]
        assert colored(tile, "#42b0ff").sum() > 200  # the box of face_1
    assert all(frame.min() == frame.max() for _, frame, _ in frames)  # the caller's pictures stay as they are


def test_a_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [], tmp_path / "sheet.png")


def test_pyplot_and_its_global_state_are_not_used():
    code = "import ast_net_ros.evaluation.report.estimate_plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

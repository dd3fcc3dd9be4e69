"""Plots show the data, and are drawn without pyplot's global state."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.estimates import EstimateRow
from ast_net_ros.evaluation.report import estimate_plots
from ast_net_ros.evaluation.report.estimate_plots import plot_estimates
from ast_net_ros.evaluation.report.page_plots import COLORS
from ast_net_ros.face_affect import FaceAffect


def estimate(frame, time, face_id="face_1", valence=0.0, arousal=0.0, confidence=0.6, sigma=0.2):
    box = (20.0, 10.0, 30.0, 40.0)
    return EstimateRow(
        frame, time, FaceAffect(face_id, box, valence, arousal, confidence, (0.125,) * 8, time, sigma, sigma)
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
    rows, columns = np.nonzero(colored(image[: height // 2, : width // 2], COLORS["valence"]))
    assert np.corrcoef(columns, rows)[0, 1] < -0.99  # up to the right
    rows, _ = np.nonzero(colored(image[height // 2 :, : width // 2], COLORS["arousal"]))
    assert np.ptp(rows) < 8


def test_bands_of_two_faces_leave_both_curves_visible(tmp_path):
    falling = [estimate(i, i / 25, "face_2", valence=1 - i / 50) for i in range(100)]
    plot_estimates([*ramp(), *falling], tmp_path / "plot.png")
    image = read(tmp_path / "plot.png")
    left = image[:, : image.shape[1] // 2]
    for face_id in ("face_1", "face_2"):
        assert colored(left, estimate_plots.paper_color(face_id)).sum() > 300


def test_the_legend_lies_above_the_axes(tmp_path, monkeypatch):
    figures = []
    draw = estimate_plots.pixels

    def keep(figure):
        figures.append(figure)
        return draw(figure)

    monkeypatch.setattr(estimate_plots, "pixels", keep)
    plot_estimates([*ramp(), *ramp("face_2")], tmp_path / "plot.png")
    axes = figures[0].axes[0]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1


def test_no_line_bridges_the_time_out_of_sight():
    times, values = estimate_plots._curve(ramp(missing=range(40, 60)), "valence")
    assert np.isnan(values).sum() == 1 and np.isfinite(times).all() and (np.diff(times) >= 0).all()
    assert not np.isnan(estimate_plots._curve(ramp(), "valence")[1]).any()


@pytest.mark.parametrize(
    "estimates",
    [[], [estimate(3, 0.0)], ramp(missing=range(10, 60)), [r for k in range(12) for r in ramp(f"face_{k}", 9)]],
    ids=["none", "one", "gap", "twelve faces"],
)
def test_any_number_of_faces_gives_a_plot(tmp_path, estimates):
    plot_estimates(estimates, tmp_path / "plot.png", duration=4.0)
    assert read(tmp_path / "plot.png").std() > 1


def test_a_long_recording_is_thinned_to_what_can_be_seen():
    faces = estimate_plots.by_face([*ramp(frames=10_000), *ramp("face_2", frames=20)])
    assert list(faces) == ["face_1", "face_2"]
    assert len(faces["face_1"]) <= 1500 and len(faces["face_2"]) == 20


def test_pyplot_is_not_imported():
    code = "import ast_net_ros.evaluation.report.estimate_plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

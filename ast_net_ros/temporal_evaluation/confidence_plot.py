"""Plot the stated confidence of stage 2 against observed errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ast_net_ros.model.config import CONFIDENCE_RADIUS

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#718096"


def plot_confidence(metrics: Mapping, path: Path) -> None:
    """Plot `confidence_calibration`: the share within CONFIDENCE_RADIUS, and the RMSE, against confidence."""
    bins = metrics["bins"]
    certainty = [b["confidence"] for b in bins]
    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    reliability, error = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="calibrated")
    reliability.plot(certainty, [b["within"] for b in bins], "o-", color=_BLUE, label="held-out recordings")
    share = f"share within {CONFIDENCE_RADIUS:g} of the label"
    reliability.set(xlabel="confidence", ylabel=share, xlim=(0, 1), ylim=(0, 1))
    reliability.legend(frameon=False)
    error.plot(certainty, [b["rmse"] for b in bins], "o-", color=_ORANGE)
    error.set(xlabel="confidence", ylabel="RMSE", ylim=(0, None))
    rank = metrics["rank_correlation"]
    error.set_title("" if rank is None else f"rank correlation of confidence and error {rank:.2f}", fontsize=10)
    figure.savefig(path)

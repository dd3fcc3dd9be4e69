"""Plots of stage 2's figures: confidence against truth, and the ablation's variants side by side.

In: the dictionaries of temporal_metrics.py and of the ablation. Out: PNG files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ast_net_ros.model.network import CONFIDENCE_RADIUS

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#718096"


def plot_confidence(figures: Mapping, path: Path) -> None:
    """Left: share of estimates within CONFIDENCE_RADIUS of the truth against confidence. Right: RMSE against it."""
    bins = figures["bins"]
    certainty = [b["confidence"] for b in bins]
    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    reliability, error = figure.subplots(1, 2)
    reliability.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="calibrated")
    reliability.plot(certainty, [b["within"] for b in bins], "o-", color=_BLUE, label="held-out recordings")
    share = f"share within {CONFIDENCE_RADIUS:g} of the truth"
    reliability.set(xlabel="confidence", ylabel=share, xlim=(0, 1), ylim=(0, 1))
    reliability.legend(frameon=False)
    error.plot(certainty, [b["rmse"] for b in bins], "o-", color=_ORANGE)
    error.set(xlabel="confidence", ylabel="RMSE", ylim=(0, None))
    rank = figures["rank_correlation"]
    error.set_title("" if rank is None else f"rank correlation of confidence and error {rank:.2f}", fontsize=10)
    figure.savefig(path)


def plot_ablation(variants: Mapping[str, Mapping[str, Sequence[float | None]]], path: Path) -> None:
    """One panel a measure, one bar a variant: mean over the seeds, each seed a dot. {variant: {measure: values}}."""
    measures = list(next(iter(variants.values())))
    figure = Figure(figsize=(2.4 + 1.7 * len(measures), 0.9 + 0.35 * len(variants)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False, sharey=True)[0], measures):
        for place, (name, values) in enumerate(variants.items()):
            seeds = [value for value in values[measure] if value is not None]
            axes.barh(place, sum(seeds) / max(1, len(seeds)), color=_BLUE if "Siamese" in name else _GREY, alpha=0.6)
            axes.plot(seeds, [place] * len(seeds), "o", color=_ORANGE, markersize=3)
        axes.set_yticks(range(len(variants)), list(variants), fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(measure, fontsize=8)
    axes.invert_yaxis()
    figure.savefig(path)

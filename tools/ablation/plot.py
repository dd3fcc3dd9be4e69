"""Plot the ablation's variants side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#718096"


def plot_ablation(variants: Mapping[str, Mapping[str, Sequence[float | None]]], path: Path) -> None:
    """Draw one panel per metric and one bar per variant: the mean over the seeds, each seed a dot.

    Args:
        variants: {variant: {metric: one value per seed}}.
        path: PNG file to write.
    """
    metrics = list(next(iter(variants.values())))
    figure = Figure(figsize=(2.4 + 1.7 * len(metrics), 0.9 + 0.35 * len(variants)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0], metrics):
        for place, (name, values) in enumerate(variants.items()):
            seeds = [value for value in values[metric] if value is not None]
            axes.barh(place, sum(seeds) / max(1, len(seeds)), color=_BLUE if "Siamese" in name else _GREY, alpha=0.6)
            axes.plot(seeds, [place] * len(seeds), "o", color=_ORANGE, markersize=3)
        axes.set_yticks(range(len(variants)), list(variants), fontsize=8)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(metric, fontsize=8)
    axes.invert_yaxis()
    figure.savefig(path)

"""Plots of the results, one PNG file for each scenario that ran."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.scenarios import EVERY_FRAME

FILES = ("pipeline.png", "stages.png", "latency.png")
_BLUE, _ORANGE, _GREY = "#2b6cb0", "#c05621", "#a0aec0"


def write_plots(results: dict, folder: Path) -> list[Path]:
    """Write the plots that the results have metrics for, and return their paths."""
    metrics, written = results["metrics"], []
    drawers = (
        ("pipeline.png", metrics.get("pipeline"), _pipeline),
        ("stages.png", metrics.get("floors", {}).get("stages"), _stages),
        ("latency.png", metrics.get("node", {}).get("at 30 Hz", {}).get("receipt_to_publish_ms"), _latency),
    )
    for name, data, draw in drawers:
        if not data:
            continue
        figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, data)
        figure.suptitle(results["machine"]["name"], fontsize=9, color="#4a5568")
        written.append(folder / name)
        figure.savefig(written[-1])
    return written


def _pipeline(figure: Figure, scenarios: dict[str, dict]) -> None:
    """Plot frames per second over the number of faces, with a line for each size."""
    axes = figure.add_subplot()
    lines: dict[str, list[tuple[int, dict]]] = {}
    for name, row in scenarios.items():
        size, faces, how = name.split(", ")
        if how == EVERY_FRAME:
            lines.setdefault(size, []).append((int(faces.split()[0]), row["frames_per_second"]))
    for size, points in lines.items():
        counts = [count for count, _ in points]
        middle = np.array([fps["median"] for _, fps in points])
        low, high = (np.array([fps[key] for _, fps in points]) for key in ("min", "max"))
        axes.errorbar(counts, middle, [middle - low, high - middle], marker="o", capsize=3, label=size)
    axes.set(xlabel="faces in the frame", ylabel="frames per second", xscale="log", xticks=counts)
    axes.set_xticklabels([str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _stages(figure: Figure, floors: dict[str, dict]) -> None:
    """Plot the measured time of every stage beside its floor."""
    axes = figure.add_subplot()
    names = list(floors)
    places = np.arange(len(names))
    measured = [floors[name]["measured_ms"]["median"] for name in names]
    axes.barh(places, measured, 0.6, color=_BLUE, label="measured")
    axes.barh(places, [floors[name]["floor_ms"] for name in names], 0.6, color=_ORANGE, label="floor")
    for place, name, value in zip(places.tolist(), names, measured):
        axes.text(value, place, f" {floors[name]['times_the_floor']:.3g} x", va="center", fontsize=8)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(right=1.15 * max(measured))
    axes.set_xlabel("milliseconds, one face at 640x360")
    axes.legend(frameon=False)


def _latency(figure: Figure, latency: dict) -> None:
    """Plot percentiles of the time from receipt to publishing."""
    axes = figure.add_subplot()
    points = [name for name in ("p50", "p90", "p99", "max") if name in latency]
    axes.bar(points, [latency[name] for name in points], color=[_BLUE, _BLUE, _ORANGE, _GREY][: len(points)])
    for place, name in enumerate(points):
        axes.text(place, latency[name], f"{latency[name]:.1f}", ha="center", va="bottom", fontsize=9)
    axes.set_ylabel("receipt to publish, ms (30 Hz, 640x480)")

"""The plot of a soak run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from soak.report import SoakRun


def plot(run: SoakRun, path: Path) -> None:
    """Plot memory, threads and files, latency, response rate and events over time.

    Args:
        run: What was observed.
        path: The PNG file to write.
    """
    minutes = np.array([s.seconds for s in run.samples]) / 60
    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    axes = figure.subplots(5, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 3, 3, 2]})
    axes[0].plot(minutes, [s.memory for s in run.samples], color="#2b6cb0")
    axes[0].set_ylabel("memory (MiB)")
    axes[0].set_ylim(bottom=0)
    axes[1].plot(minutes, [s.threads for s in run.samples], color="#2f855a", label="threads")
    axes[1].plot(minutes, [s.files for s in run.samples], color="#c05621", label="file descriptors")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(loc="lower right", ncols=2)
    axes[2].plot(minutes, [s.latency for s in run.samples], color="#6b46c1")
    axes[2].set_ylabel("receipt to publish,\np95 (ms)")
    axes[2].set_ylim(bottom=0)
    responses = np.array([s.responses for s in run.samples], float)
    seconds = np.maximum(np.diff(minutes * 60), 1e-3)
    axes[3].plot(minutes[1:], np.diff(responses) / seconds, color="#718096", linewidth=0.7)
    axes[3].set_ylabel("responses/s")
    kinds = sorted({kind for _, kind, _ in run.events})
    for row, kind in enumerate(kinds):
        moments = [seconds / 60 for seconds, k, _ in run.events if k == kind]
        axes[4].plot(moments, [row] * len(moments), "|", color="#2d3748", markersize=9)
    axes[4].set_yticks(range(len(kinds)), kinds)
    axes[4].set_ylim(-0.7, len(kinds) - 0.3)
    axes[4].set_xlabel("minutes")
    for ax in axes:
        ax.grid(color="#e2e8f0")
    figure.suptitle(f"ast_net_node over {run.minutes:.1f} minutes: {run.observer.response_count} responses")
    FigureCanvasAgg(figure).print_png(path)

"""Summarise the results of `ast_net evaluate` in a table and a plot, with NumPy and Matplotlib only.

Reads DIR/recordings/NAME/frames.csv, prints one line per recording and writes DIR/curves.png. Use it as a starting
point for your own analysis.

    ast_net evaluate bags/* --output out/evaluation
    python examples/analyse_results.py out/evaluation
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = ("valence", "arousal", "confidence", "truth_valence", "truth_arousal")


def read_frames(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return seconds since the first frame, and each column with NaN for empty fields."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = np.array([int(row["stamp_ns"]) for row in rows], np.int64)
    values = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    return (stamps - stamps[0]) / 1e9 if rows else np.zeros(0), values


def concordance(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return Lin's concordance correlation over the frames where both are known; NaN without any."""
    known = np.isfinite(predicted) & np.isfinite(truth)
    if known.sum() < 2:
        return float("nan")
    p, t = predicted[known], truth[known]
    spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    return float(2 * np.mean((p - p.mean()) * (t - t.mean())) / spread) if spread > 0 else float("nan")


def summary(seconds: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the metrics of one recording. Mean and share ignore estimates of low confidence."""
    seen = np.isfinite(values["valence"])
    sure = seen & (values["confidence"] > 0.4)
    valence = values["valence"][sure]
    return {
        "seconds": float(seconds[-1]) if len(seconds) else 0.0,
        "face seen": float(seen.mean()) if len(seen) else 0.0,
        "mean valence": float(valence.mean()) if len(valence) else float("nan"),
        "share above 0.3": float((valence > 0.3).mean()) if len(valence) else float("nan"),
        "CCC valence": concordance(values["valence"], values["truth_valence"]),
        "CCC arousal": concordance(values["arousal"], values["truth_arousal"]),
    }


def main() -> None:
    """Print a table and write a plot."""
    parser = argparse.ArgumentParser(description="Summarise a folder of ast_net evaluate in a table and a plot.")
    parser.add_argument("folder", type=Path, help="output folder of ast_net evaluate")
    folder = parser.parse_args().folder
    paths = sorted(folder.glob("recordings/*/frames.csv"))
    if not paths:
        raise SystemExit(f"{folder}: no recordings/*/frames.csv; give the output folder of `ast_net evaluate`")
    figure, axes = plt.subplots(len(paths), squeeze=False, figsize=(9, 2.2 * len(paths)), layout="constrained")
    for axis, path in zip(axes[:, 0], paths):
        seconds, values = read_frames(path)
        metrics = "  ".join(f"{name} {value:.2f}" for name, value in summary(seconds, values).items())
        print(f"{path.parent.name}: {metrics}")
        axis.plot(seconds, values["valence"], label="valence", color="tab:blue")
        axis.plot(seconds, values["arousal"], label="arousal", color="tab:orange")
        axis.plot(seconds, values["truth_valence"], ":", label="rated valence", color="tab:blue")
        axis.set(title=path.parent.name, ylim=(-1, 1), xlabel="seconds")
        axis.axhline(0, color="0.8", zorder=0)
    axes[0, 0].legend(ncols=3)
    figure.savefig(folder / "curves.png", dpi=120)
    print(f"plot: {folder / 'curves.png'}")


if __name__ == "__main__":
    main()

"""The results of the demo: rows, plots and a summary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ast_net_ros.evaluation.estimates import EstimateRow, EstimatesWriter, read_estimates
from ast_net_ros.evaluation.report.estimate_plots import plot_estimates
from ast_net_ros.ros import diagnostics_keys as keys
from ast_net_ros.ros.replay.recorder import ReceivedImage
from ast_net_ros.vision.video import open_video
from cpu import processor_name
from demo.contact_sheet import SheetFrame, contact_sheet

ESTIMATES, PLOT, OVERLAY, SUMMARY = "estimates.csv", "plot.png", "overlay.png", "summary.json"
FILES = (ESTIMATES, PLOT, OVERLAY, SUMMARY)
SHEET_FRAMES = 8


@dataclass(frozen=True)
class DemoRun:
    """What was observed.

    Attributes:
        video: The video that was played.
        frames: Stamp in ns -> (frame number, seconds) of every published image.
        received: What the node published.
        diagnostics: The node's last keys and values, by status name.
    """

    video: Path
    frames: Mapping[int, tuple[int, float]]
    received: Sequence[ReceivedImage]
    diagnostics: Mapping[str, Mapping[str, str]]


def write_results(run: DemoRun, folder: Path) -> list[EstimateRow]:
    """Write the estimates and the plots.

    Args:
        run: What was observed.
        folder: Where the files go.

    Returns:
        The estimates as they are in the file.
    """
    with EstimatesWriter(folder / ESTIMATES) as rows:
        for image in run.received:
            if image.stamp_ns in run.frames:
                frame, seconds = run.frames[image.stamp_ns]
                rows.write(frame, seconds, image.faces)
    estimates = read_estimates(folder / ESTIMATES)
    duration = max(seconds for _, seconds in run.frames.values())
    title = f"{run.video.name}, as received from ast_net_node"
    plot_estimates(estimates, folder / PLOT, title=title, duration=duration)
    contact_sheet(_sheet_frames(run, estimates), estimates, folder / OVERLAY, title=title)
    return estimates


def _sheet_frames(run: DemoRun, estimates: Sequence[EstimateRow]) -> list[SheetFrame]:
    """Return frames spread evenly over the run, each with the estimates for it."""
    processed = sorted({run.frames[i.stamp_ns][0] for i in run.received if i.stamp_ns in run.frames})
    chosen = {processed[round(i)] for i in np.linspace(0, len(processed) - 1, min(SHEET_FRAMES, len(processed)))}
    with open_video(run.video) as video:
        frames = enumerate(video)
        return [
            (seconds, image, [row.face for row in estimates if row.frame == number])
            for number, (seconds, image) in frames
            if number in chosen
        ]


def summarise(run: DemoRun, estimates: Sequence[EstimateRow]) -> dict[str, Any]:
    """Return the metrics of a run; latencies in ms from an image's stamp to the publication of its estimates."""
    about = next((v for name, v in run.diagnostics.items() if name.endswith(keys.estimation_status(""))), {})
    camera = next((v for name, v in run.diagnostics.items() if ": camera " in name), {})
    latencies = [(image.published_ns - image.stamp_ns) / 1e6 for image in run.received]
    span = (run.received[-1].published_ns - run.received[0].published_ns) / 1e9
    drops = (keys.DROPPED_LATE, keys.DROPPED_BAD, keys.DROPPED_FAILED)
    published, processed = len(run.frames), len(run.received)
    dropped = sum(int(camera.get(key, 0)) for key in drops)
    ids = list(dict.fromkeys(row.face.face_id for row in estimates))
    return {
        "video": str(run.video),
        "frames_published": published,
        "frames_processed": processed,
        "frames_dropped": dropped,
        "frames_lost_before_the_node": published - int(camera.get("received", processed)),
        "frames_with_face": len({row.frame for row in estimates}),
        "faces": len(ids),
        "face_ids": ids,
        "estimates": len(estimates),
        "latency_median_ms": round(float(np.median(latencies)), 2),
        "latency_p95_ms": round(float(np.percentile(latencies, 95)), 2),
        "latency_is": "from the image's stamp to the publication of its estimates, by this machine's clock",
        "frames_per_second": round((processed - 1) / span, 2) if span > 0 else 0.0,
        "valence_first_quarter": _quarter_mean(estimates, run, 0),
        "valence_last_quarter": _quarter_mean(estimates, run, 3),
        "arousal_range": [round(function(row.face.arousal for row in estimates), 3) for function in (min, max)],
        "device": about.get("device", "unknown"),
        "precision": about.get("precision", "unknown"),
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "weights": about.get("weights", "unknown"),
        "weights_sha256": about.get(keys.WEIGHTS_HASH, "unknown"),
        "weights_description": about.get(keys.WEIGHTS_DESCRIPTION, "unknown"),
    }


def _quarter_mean(estimates: Sequence[EstimateRow], run: DemoRun, quarter: int) -> float | None:
    """Return the mean valence in a quarter of the published frames; None if it has no estimate."""
    frames = len(run.frames)
    values = [row.face.valence for row in estimates if quarter * frames <= 4 * row.frame < (quarter + 1) * frames]
    return round(float(np.mean(values)), 3) if values else None


def print_summary(summary: Mapping[str, Any], output: Path) -> None:
    """Print the summary."""
    s = summary
    lines = (
        f"{s['frames_published']} frames published, {s['frames_processed']} processed, "
        f"{s['frames_dropped']} dropped by the node, {s['frames_lost_before_the_node']} lost before it",
        f"{s['frames_with_face']} frames with a face; {s['faces']} face(s): {', '.join(s['face_ids'][:4])}",
        f"valence {s['valence_first_quarter']} in the first quarter, {s['valence_last_quarter']} in the last; "
        f"arousal from {s['arousal_range'][0]} to {s['arousal_range'][1]}",
        f"{s['frames_per_second']} frames/s; {s['latency_median_ms']} ms from stamp to publication (median), "
        f"{s['latency_p95_ms']} ms (95th percentile)",
        f"on {s['device']} ({s['processor']}) in {s['precision']}",
        f"weights {s['weights']} ({s['weights_sha256'][:12]}): {s['weights_description']}",
        f"{', '.join(FILES)} are in {output}",
    )
    print("\n" + "\n".join(lines))

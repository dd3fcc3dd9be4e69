"""The command `ast_net evaluate-temporal`. Heavy modules are imported on use, so that `--help` is fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ast_net_ros.training.options import FILE, FILE_OR_FOLDER, FOLDER, SHOW_DEFAULTS, cache_option, label_delay_option


@click.command("evaluate-temporal", context_settings=SHOW_DEFAULTS)
@click.option("--weights", type=FILE, help="Weights to evaluate.  [default: packaged]")
@click.option(
    "--faces", type=FILE_OR_FOLDER, help="Faces of people not used in training; recordings are simulated from them."
)
@click.option("--data", multiple=True, metavar="NAME:PATH", help="Labelled recordings, as for train-temporal.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", help="Split of --data to evaluate.")
@label_delay_option
@click.option("--output", type=FOLDER, required=True, help="Folder for temporal_metrics.json and confidence.png.")
@cache_option
@click.option("--seed", type=int, default=2, help="Seed of the simulation.")
def evaluate_temporal_command(
    weights: Path | None, faces: Path | None, data: tuple[str, ...], split: str, output: Path, **given: Any
) -> None:
    """Measure accuracy, smoothness, convergence time, confidence and rate independence on held-out people."""
    from ast_net_ros.atomic_files import atomic_write
    from ast_net_ros.model import load_model
    from ast_net_ros.model.inference import DEFAULT_WEIGHTS
    from ast_net_ros.model.network import load_weights
    from ast_net_ros.rating_files import DataError
    from ast_net_ros.temporal_evaluation import temporal_metrics
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.data.simulation import Simulation, simulate_recordings
    from ast_net_ros.training.data.sources import recorded_clips

    if not faces and not data:
        raise DataError("nothing to evaluate on: give --faces, --data NAME:PATH or both")
    net, info = load_weights(weights or DEFAULT_WEIGHTS)
    predict, step = temporal_metrics.predictor(net.temporal), net.config.step_seconds
    output.mkdir(parents=True, exist_ok=True)
    cache = given["cache"] or output / "features"
    measured: dict[str, dict] = {}
    if faces:
        labelled = open_faces(faces, split, output, click.echo)
        simulation = Simulation(step_seconds=step)
        recordings = simulate_recordings(net.cnn, labelled, 2, given["seed"], simulation, cache, vote_share=1.0)
        rates = temporal_metrics.rate_independence(load_model(weights, "cpu"), recordings)
        measured["simulated"] = temporal_metrics.simulated_metrics(predict, recordings.sample, step, 200, 300)
        measured["simulated"]["rate_independence"] = rates
    if data:
        clips = recorded_clips(data, net.cnn, net.config, cache, given["label_delay"], click.echo)[split]
        if not clips:
            raise DataError(f"no usable recording has the split '{split}'")
        measured["recorded"] = {"split": split, **temporal_metrics.recorded_metrics(predict, clips, step)}
    temporal_metrics.plot_confidence(next(iter(measured.values()))["confidence"], output / "confidence.png")
    content = {"weights_sha256": info.sha256, **measured}
    atomic_write(output / "temporal_metrics.json", json.dumps(content, indent=2) + "\n")
    for name, metrics in measured.items():
        _print(name, metrics)
    click.echo(f"written: {output / 'temporal_metrics.json'}")


def _print(name: str, metrics: dict) -> None:
    def number(value: float | None) -> str:
        return "none" if value is None else f"{value:.3f}"

    for dimension in ("valence", "arousal"):
        for which in ("concatenated", "mean_of_recordings"):
            found = metrics["accuracy"][dimension][which]
            values = ", ".join(f"{measure} {number(found[measure])}" for measure in ("ccc", "r", "rmse", "sagr"))
            click.echo(f"{name} {dimension}, {which.replace('_', ' ')}: {values}")
    rank = metrics["confidence"]["rank_correlation"]
    click.echo(f"{name}: rank correlation of confidence and error {number(rank)}")
    if "convergence_time" in metrics:
        click.echo(f"{name}: a cold state converges after {metrics['convergence_time']['median']} s (median)")
        rates = metrics["rate_independence"]
        click.echo(f"{name}: largest RMSE between frame rates {rates['largest']:.3f} (limit 0.05)")

"""The command `ast_net evaluate-temporal`. Heavy modules are imported on use, so that `--help` is fast."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ast_net_ros.training.options import FILE, FILE_OR_FOLDER, FOLDER, SHOW_DEFAULTS, cache_option, label_delay_option


@click.command("evaluate-temporal", context_settings=SHOW_DEFAULTS)
@click.option("--weights", type=FILE, help="Weights to evaluate.  [default: packaged]")
@click.option(
    "--faces", type=FILE_OR_FOLDER, help="Faces of people not trained on, for metrics on simulated recordings of them."
)
@click.option("--data", multiple=True, metavar="NAME:PATH", help="Labelled recordings, as for train-temporal.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", help="Part of --data.")
@label_delay_option
@click.option("--output", type=FOLDER, required=True, help="Folder for temporal_metrics.json and confidence.png.")
@cache_option
@click.option("--seed", type=int, default=2, help="Seed of the simulation.")
def evaluate_temporal_command(
    weights: Path | None,
    faces: Path | None,
    data: tuple[str, ...],
    split: str,
    label_delay: float,
    output: Path,
    cache: Path | None,
    seed: int,
) -> None:
    """Measure accuracy, smoothness, convergence time, confidence and rate independence on held-out people."""
    from ast_net_ros.atomic_files import atomic_write
    from ast_net_ros.model import load_model
    from ast_net_ros.model.inference import DEFAULT_WEIGHTS
    from ast_net_ros.model.network import load_weights
    from ast_net_ros.rating_files import DataError
    from ast_net_ros.temporal_evaluation.held_out import (
        evaluate_simulated,
        plot_confidence,
        predictor,
        recorded_metrics,
    )
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.data.simulation import Simulation, simulate_recordings
    from ast_net_ros.training.data.sources import recorded_clips

    if not faces and not data:
        raise DataError("nothing to evaluate on: give --faces, --data NAME:PATH or both")
    net, info = load_weights(weights or DEFAULT_WEIGHTS)
    step = net.config.step_seconds
    output.mkdir(parents=True, exist_ok=True)
    cache = cache or output / "features"
    metrics: dict = {"weights_sha256": info.sha256}
    if faces:
        labelled = open_faces(faces, split, output, click.echo)
        simulation = Simulation(step_seconds=step)
        recordings = simulate_recordings(net.cnn, labelled, 2, seed, simulation, cache, vote_share=1.0)
        metrics["simulated"] = evaluate_simulated(net.temporal, load_model(weights, "cpu"), recordings, output)
    if data:
        clips = recorded_clips(data, net.cnn, net.config, cache, label_delay, click.echo)[split]
        if not clips:
            raise DataError(f"no usable recording has the split '{split}'")
        metrics["recorded"] = {"split": split, **recorded_metrics(predictor(net.temporal), clips, step)}
        if not faces:
            plot_confidence(metrics["recorded"]["confidence"], output / "confidence.png")
    atomic_write(output / "temporal_metrics.json", json.dumps(metrics, indent=2) + "\n")
    for name in ("simulated", "recorded"):
        if name in metrics:
            _print(name, metrics[name])
    click.echo(f"written: {output / 'temporal_metrics.json'}")


def _print(name: str, metrics: dict) -> None:
    for dimension in ("valence", "arousal"):
        f = metrics["accuracy"][dimension]
        for which in ("concatenated", "mean_of_recordings"):
            values = ", ".join(
                f"{measure} {'none' if f[which][measure] is None else format(f[which][measure], '.3f')}"
                for measure in ("ccc", "r", "rmse", "sagr")
            )
            click.echo(f"{name} {dimension}, {which.replace('_', ' ')}: {values}")
    rank = metrics["confidence"]["rank_correlation"]
    click.echo(f"{name}: rank correlation of confidence and error {'none' if rank is None else format(rank, '.3f')}")
    if "convergence_time" in metrics:
        click.echo(f"{name}: a cold state converges after {metrics['convergence_time']['median']} s (median)")
        rates = metrics["rate_independence"]
        click.echo(f"{name}: largest RMSE between frame rates {rates['largest']:.3f} (limit 0.05)")

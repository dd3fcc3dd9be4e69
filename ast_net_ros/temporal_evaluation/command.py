"""The command `ast_net evaluate-temporal`. Only click is imported here, so that help comes at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ast_net_ros.training.options import (
    FILE,
    FILE_OR_FOLDER,
    FOLDER,
    SHOW_DEFAULTS,
    cache_option,
    label_delay_option,
)


@click.command("evaluate-temporal", context_settings=SHOW_DEFAULTS)
@click.option("--weights", type=FILE, help="Weights to evaluate; the packaged ones if left out.")
@click.option(
    "--faces", type=FILE_OR_FOLDER, help="Faces of people not trained on: figures on simulated recordings of them."
)
@click.option("--data", multiple=True, metavar="NAME:PATH", help="Labelled recordings, as for train-temporal.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", help="Of --data.")
@label_delay_option
@click.option("--output", type=FOLDER, required=True, help="Folder for temporal_metrics.json and confidence.png.")
@cache_option
@click.option("--seed", type=int, default=2, help="Of the simulated faces' disturbances.")
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
    """Accuracy, calm, catching up, confidence and rate independence of trained weights on held-out people."""
    from ast_net_ros.evaluation.report.temporal_plots import plot_confidence
    from ast_net_ros.model import load_model
    from ast_net_ros.model.inference import DEFAULT_WEIGHTS
    from ast_net_ros.model.network import load_weights
    from ast_net_ros.rating_files import DataError
    from ast_net_ros.temporal_evaluation.held_out import evaluate_simulated, predictor, recorded_metrics
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.data.simulation import Simulation, simulate_recordings
    from ast_net_ros.training.data.sources import Sources, recorded_clips

    if not faces and not data:
        raise DataError("nothing to evaluate on: give --faces, --data NAME:PATH or both")
    net, info = load_weights(weights or DEFAULT_WEIGHTS)
    step = net.config.step_seconds
    output.mkdir(parents=True, exist_ok=True)
    cache = cache or output / "features"
    figures: dict = {"weights_sha256": info.sha256}
    if faces:
        labelled = open_faces(faces, split, output, click.echo)
        recordings = simulate_recordings(net.cnn, labelled, 2, seed, Simulation(step_seconds=step), cache)
        figures["simulated"] = evaluate_simulated(net.temporal, load_model(weights, "cpu"), recordings, output)
    if data:
        sources = Sources(data, None, None, None, cache, label_delay)
        clips = recorded_clips(sources, net.cnn, net.config, click.echo)[split]
        if not clips:
            raise DataError(f"no usable recording has the split '{split}'")
        figures["recorded"] = {"split": split, **recorded_metrics(predictor(net.temporal), clips, step)}
        if not faces:
            plot_confidence(figures["recorded"]["confidence"], output / "confidence.png")
    (output / "temporal_metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name in ("simulated", "recorded"):
        if name in figures:
            _print(name, figures[name])
    click.echo(f"written: {output / 'temporal_metrics.json'}")


def _print(name: str, figures: dict) -> None:
    for dimension in ("valence", "arousal"):
        f = figures["accuracy"][dimension]
        for which in ("concatenated", "mean_of_recordings"):
            values = ", ".join(
                f"{measure} {'none' if f[which][measure] is None else format(f[which][measure], '.3f')}"
                for measure in ("ccc", "r", "rmse", "sagr")
            )
            click.echo(f"{name} {dimension}, {which.replace('_', ' ')}: {values}")
    rank = figures["confidence"]["rank_correlation"]
    click.echo(f"{name}: rank correlation of confidence and error {'none' if rank is None else format(rank, '.3f')}")
    if "convergence_time" in figures:
        click.echo(f"{name}: cold state agrees with warm one after {figures['convergence_time']['median']} s (median)")
        rates = figures["rate_independence"]
        click.echo(f"{name}: largest RMSE between frame rates {rates['largest']:.3f} (wanted below 0.05)")

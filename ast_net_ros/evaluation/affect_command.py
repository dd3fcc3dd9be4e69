"""`ast_net evaluate-affect`: valence and arousal of still faces against ratings."""

from __future__ import annotations

import json
from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("evaluate-affect", context_settings={"show_default": True})
@click.option("--data", type=_FILE, required=True, help="Rated faces: .npz with images, valence and arousal.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the metrics.")
@click.option("--weights", type=_FILE, help="Weights to evaluate.  [default: those of the package]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--resamples", type=click.IntRange(1), default=2000, help="Of the bootstrap intervals.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the bootstrap.")
def evaluate_affect(
    data: Path, output: Path | None, weights: Path | None, device: str, resamples: int, seed: int
) -> None:
    """Measure valence and arousal of rated still faces: r, CCC and RMSE with 95 % bootstrap intervals."""
    from ast_net_ros.atomic_files import atomic_write
    from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
    from ast_net_ros.evaluation.metrics.intervals import Resampling
    from ast_net_ros.evaluation.metrics.summary import json_ready
    from ast_net_ros.evaluation.rated_faces import estimate_stills, load_rated_faces, rated_metrics
    from ast_net_ros.model.inference import load_model

    faces = load_rated_faces(data)
    model = load_model(weights, device)
    metrics = rated_metrics(faces, estimate_stills(model, faces.images), Resampling(resamples, seed=seed))
    metrics = {"data": data.name, "weights_sha256": model.weights_hash, **metrics}
    click.echo(f"{metrics['faces']} faces, {metrics['faces_found']} found by the detector")
    for dimension in DIMENSIONS:
        values = metrics[dimension]
        shown = (
            f"{name} {_number(values[name])} {_interval(values['intervals'][name])}" for name in ("r", "ccc", "rmse")
        )
        click.echo(f"{dimension}: {', '.join(shown)}, {values['within_one_sigma']:.0%} of the errors within one sigma")
    both = metrics["valence_arousal_r"]
    click.echo(f"r of valence and arousal: {_number(both['estimated'])} estimated, {_number(both['rated'])} rated")
    if output:
        atomic_write(output, json.dumps(json_ready(metrics), indent=2) + "\n")
        click.echo(f"written: {output}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"

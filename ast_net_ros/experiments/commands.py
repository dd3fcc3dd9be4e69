"""The commands `ast_net evaluate-temporal` and `ast_net ablate`: thin entry points over the modules beside this one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ast_net_ros.training.options import (
    FILE,
    FILE_OR_FOLDER,
    FOLDER,
    cache_option,
    clip_options,
    cnn_option,
    label_delay_option,
    versions_option,
)


@click.command("evaluate-temporal")
@click.option("--weights", type=FILE, help="Weights to evaluate; the packaged ones if left out.")
@click.option(
    "--faces", type=FILE_OR_FOLDER, help="Faces of people not trained on: figures on simulated recordings of them."
)
@click.option("--data", multiple=True, metavar="NAME:PATH", help="Labelled recordings, as for train-temporal.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="valid", show_default=True, help="Of --data.")
@label_delay_option
@click.option("--output", type=FOLDER, required=True, help="Folder for temporal_figures.json and confidence.png.")
@cache_option
@click.option("--seed", type=int, default=2, show_default=True, help="Of the simulated faces' disturbances.")
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
    from ast_net_ros.evaluation.temporal_plots import plot_confidence
    from ast_net_ros.experiments.held_out import evaluate_simulated, predictor, recorded_figures
    from ast_net_ros.model import load_model
    from ast_net_ros.model.runtime import DEFAULT_WEIGHTS
    from ast_net_ros.model.weights import load_weights
    from ast_net_ros.training.face_sources import open_faces
    from ast_net_ros.training.faces import DataError
    from ast_net_ros.training.simulation import Simulation, recordings_of
    from ast_net_ros.training.sources import Sources, recorded_clips

    if not faces and not data:
        raise DataError("nothing to evaluate on: give --faces, --data NAME:PATH or both")
    net, info = load_weights(weights or DEFAULT_WEIGHTS)
    step = net.config.step_seconds
    output.mkdir(parents=True, exist_ok=True)
    cache = cache or output / "features"
    figures: dict = {"weights_sha256": info.sha256}
    if faces:
        labelled = open_faces(faces, split, output, click.echo)
        recordings = recordings_of(net.cnn, labelled, 2, seed, Simulation(step_seconds=step), cache)
        figures["simulated"] = evaluate_simulated(net.temporal, load_model(weights, "cpu"), recordings, output)
    if data:
        sources = Sources(data, None, None, None, cache, label_delay)
        clips = recorded_clips(sources, net.cnn, net.config, click.echo)[split]
        if not clips:
            raise DataError(f"no usable recording has the split '{split}'")
        figures["recorded"] = {"split": split, **recorded_figures(predictor(net.temporal), clips, step)}
        if not faces:
            plot_confidence(figures["recorded"]["confidence"], output / "confidence.png")
    (output / "temporal_figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name in ("simulated", "recorded"):
        if name in figures:
            _print(name, figures[name])
    click.echo(f"written: {output / 'temporal_figures.json'}")


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
    if "catch_up" in figures:
        click.echo(f"{name}: cold state agrees with warm one after {figures['catch_up']['median']} s (median)")
        rates = figures["rate_independence"]
        click.echo(f"{name}: largest RMSE between frame rates {rates['largest']:.3f} (wanted below 0.05)")


@click.command("ablate")
@cnn_option
@click.option(
    "--train", "train_path", type=FILE_OR_FOLDER, required=True, help="Faces of simulated recordings to learn from."
)
@click.option("--valid", "valid_path", type=FILE_OR_FOLDER, required=True, help="Faces of other people, to measure on.")
@click.option("--output", type=FOLDER, required=True, help="Folder for ablation.md, .json, .png and the trainings.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Trainings of each variant.")
@click.option("--agreement", type=float, multiple=True, default=(1.0,), help="Weight of the Siamese term; repeatable.")
@click.option("--own-looks", is_flag=True, help="Also train with jitter, light and blur of each clip's own.")
@clip_options
@versions_option
@click.option("--held-out", type=click.IntRange(4), default=120, show_default=True, help="Recordings to measure on.")
def ablate_command(
    cnn_path: Path,
    train_path: Path,
    valid_path: Path,
    output: Path,
    seeds: int,
    agreement: tuple[float, ...],
    own_looks: bool,
    iterations: int,
    batch: int,
    clip_steps: int,
    largest_shift: int,
    versions: int,
    held_out: int,
) -> None:
    """CNN alone, with a moving average, with the LSTM, and Siamese: what each part is worth, over several seeds."""
    from ast_net_ros.evaluation.temporal_plots import plot_ablation
    from ast_net_ros.experiments.ablation import Ablation, ablation_table, run_ablation
    from ast_net_ros.training.attributes import load_cnn
    from ast_net_ros.training.face_sources import open_faces
    from ast_net_ros.training.simulation import Simulation, recordings_of
    from ast_net_ros.training.temporal import CNNFile, TemporalTraining

    network, cnn = load_cnn(cnn_path)
    simulation = Simulation(step_seconds=network.step_seconds)
    train, valid = (
        recordings_of(cnn, open_faces(path, part, output, click.echo), count, seed, simulation, output / "features")
        for path, part, count, seed in ((train_path, "train", versions, 1), (valid_path, "valid", 2, 2))
    )
    training = TemporalTraining(
        iterations=iterations, batch=batch, clip_steps=clip_steps, largest_shift=largest_shift, check_every=50
    )
    ablation = Ablation(training, tuple(range(1, seeds + 1)), agreement, held_out)
    looks = train.draw_looks if own_looks else None
    variants = run_ablation(train.draw, valid.draw, network, ablation, output, looks, CNNFile.of(cnn_path))
    table = ablation_table(variants)
    (output / "ablation.json").write_text(json.dumps(variants, indent=2) + "\n")
    (output / "ablation.md").write_text(table)
    plot_ablation(variants, output / "ablation.png")
    click.echo(f"{table}written: {output / 'ablation.md'}")

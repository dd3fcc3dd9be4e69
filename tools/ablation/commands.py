"""Command line of the ablation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ast_net_ros.training.options import (
    FILE_OR_FOLDER,
    FOLDER,
    SHOW_DEFAULTS,
    clip_options,
    cnn_option,
    versions_option,
)


@click.command("ablate", context_settings=SHOW_DEFAULTS)
@cnn_option
@click.option(
    "--train", "train_path", type=FILE_OR_FOLDER, required=True, help="Faces of simulated recordings to train on."
)
@click.option("--valid", "valid_path", type=FILE_OR_FOLDER, required=True, help="Faces of other people, to measure on.")
@click.option("--output", type=FOLDER, required=True, help="Folder for ablation.md, .json, .png and the trainings.")
@click.option("--seeds", type=click.IntRange(1), default=3, help="Trainings of each variant.")
@click.option(
    "--consistency", type=float, multiple=True, default=(1.0,), help="Weight of the Siamese term; repeatable."
)
@click.option(
    "--independent-augmentation",
    is_flag=True,
    help="Also train with jitter, light and blur of its own for each branch.",
)
@clip_options
@versions_option
@click.option("--held-out", type=click.IntRange(4), default=120, help="Recordings to measure on.")
def ablate_command(
    cnn_path: Path,
    train_path: Path,
    valid_path: Path,
    output: Path,
    seeds: int,
    consistency: tuple[float, ...],
    independent_augmentation: bool,
    iterations: int,
    batch: int,
    clip_steps: int,
    largest_shift: int,
    versions: int,
    held_out: int,
) -> None:
    """Compare the CNN alone, with a moving average, with the LSTM, and with Siamese training, over several seeds."""
    from ablation.ablation import Ablation, ablation_table, run_ablation
    from ablation.plot import plot_ablation
    from ast_net_ros.training.checkpoint import load_cnn, state_digest
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.data.simulation import VOTE_SHARE, Simulation, simulate_recordings
    from ast_net_ros.training.stage2 import TemporalTraining

    network, cnn = load_cnn(cnn_path)
    simulation = Simulation(step_seconds=network.step_seconds)
    train, valid = (
        simulate_recordings(
            cnn,
            open_faces(path, part, output, click.echo),
            count,
            seed,
            simulation,
            output / "features",
            vote_share=share,
        )
        for path, part, count, seed, share in (
            (train_path, "train", versions, 1, VOTE_SHARE),
            (valid_path, "valid", 2, 2, 1.0),
        )
    )
    training = TemporalTraining(
        iterations=iterations, batch=batch, clip_steps=clip_steps, largest_shift=largest_shift, check_every=50
    )
    ablation = Ablation(training, tuple(range(1, seeds + 1)), consistency, held_out)
    two_views = train.sample_two_views if independent_augmentation else None
    variants = run_ablation(train.sample, valid.sample, network, ablation, output, two_views, state_digest(cnn))
    table = ablation_table(variants)
    (output / "ablation.json").write_text(json.dumps(variants, indent=2) + "\n")
    (output / "ablation.md").write_text(table)
    plot_ablation(variants, output / "ablation.png")
    click.echo(f"{table}written: {output / 'ablation.md'}")

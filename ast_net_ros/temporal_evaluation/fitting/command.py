"""The command `ast_net fit`. Heavy modules are imported on use, so that `--help` is fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ast_net_ros.settings import IMAGE_ROTATIONS
from ast_net_ros.training.options import FILE, FOLDER, SHOW_DEFAULTS, cache_option, training_device_option

STAGES = ("map", "lstm", "cnn")
WEIGHTS, METRICS, SUMMARY = "ast_net.safetensors", "metrics.json", "summary.txt"
_POSITIVE = click.FloatRange(0, min_open=True)
_LABELS = (
    "Ratings: a file, a folder, a template such as 'ratings/{name}.csv', or topic:NAME.  [default: NAME.csv beside "
    "each recording, ratings/ beside it, or a label topic in it]"
)
_ROTATION = "Clockwise rotation that makes faces upright, in degrees."
_PERSON = (
    "How to tell people apart: recording (each shows another person), folder (its name is the person), or a regular "
    "expression whose match in the recording's name is the person."
)


@click.command("fit", context_settings=SHOW_DEFAULTS)
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...")
@click.option("--labels", metavar="WHERE", help=_LABELS)
@click.option("--output", type=FOLDER, required=True, help=f"Folder for {WEIGHTS}, {METRICS} and {SUMMARY}.")
@click.option("--weights", type=FILE, help="Weights to start from.  [default: packaged]")
@click.option("--person", default="recording", metavar="RULE", help=_PERSON)
@click.option("--topic", metavar="NAME", help="Image topic.  [default: the only one in the bag]")
@click.option("--label-delay", type=click.FloatRange(0), help="Seconds by which ratings lag.  [default: estimated]")
@click.option("--longest-delay", type=_POSITIVE, default=10.0, help="Largest delay to try, in seconds.")
@click.option("--label-gap", "max_gap", type=_POSITIVE, default=1.0, help="Longest gap to interpolate, in seconds.")
@click.option("--clock-offset", default=0.0, help="Seconds to add to the rating times.")
@click.option("--image-rotation", type=click.Choice(list(map(str, IMAGE_ROTATIONS))), default="0", help=_ROTATION)
@click.option("--stages", default=",".join(STAGES), metavar="NAMES", help="Stages to try; each is kept if it helps.")
@click.option("--folds", type=click.IntRange(2), default=10, help="Maximum number of cross-validation folds of people.")
@cache_option
@click.option("--seed", default=1, help="Seed for training LSTM and CNN.")
@training_device_option
def fit_command(recordings: tuple[str, ...], output: Path, stages: str, **given: Any) -> None:
    """Fit the network to ratings of your own recordings, and keep what helps on held-out people.

    RECORDING is a rosbag2 recording, a video, a folder of these, or a glob; each recording shows one person. Weights
    are written only if the confidence interval over people shows a gain.
    """
    from ast_net_ros.atomic_files import atomic_write
    from ast_net_ros.bags.paths import find_recordings
    from ast_net_ros.evaluation.labels.ground_truth import LabelOptions
    from ast_net_ros.model.inference import DEFAULT_WEIGHTS
    from ast_net_ros.model.network import load_weights, save_weights
    from ast_net_ros.rating_files import DataError
    from ast_net_ros.temporal_evaluation.fitting import report
    from ast_net_ros.temporal_evaluation.fitting.rated_recordings import ReadingOptions, open_rated_recordings
    from ast_net_ros.temporal_evaluation.fitting.selection import fit_ratings
    from ast_net_ros.training.engine import Engine
    from ast_net_ros.training.fitting.stages import default_stages

    wanted = stages.split(",")
    if not set(wanted) <= set(STAGES):
        raise click.BadParameter(f"'{stages}': expected some of {','.join(STAGES)}", param_hint="--stages")
    if (output / WEIGHTS).exists():
        raise DataError(f"{output / WEIGHTS}: exists from an earlier fit; move it, or give another --output")
    paths = find_recordings(recordings)
    net, parent = load_weights(given["weights"] or DEFAULT_WEIGHTS)
    engine = Engine(given["device"])
    net.to(engine.device)
    labels = LabelOptions(given["labels"], clock_offset=given["clock_offset"], max_gap=given["max_gap"])
    cache, rotation = given["cache"] or output / "features", int(given["image_rotation"])
    reading = ReadingOptions(cache, labels, given["topic"], given["person"], rotation)
    rated, left_out = open_rated_recordings(paths, net, reading, click.echo)
    if not rated:
        raise DataError("no recording can be used; the reasons are listed above")
    outcome = fit_ratings(
        [one.face for one in rated],
        net,
        [stage for stage in default_stages(engine, given["seed"]) if stage.name in wanted],
        given["label_delay"],
        given["longest_delay"],
        given["folds"],
        click.echo,
    )
    metrics = report.metrics_of(outcome, rated, left_out, parent.sha256, net.config.step_seconds)
    output.mkdir(parents=True, exist_ok=True)
    if outcome.net:
        description = f"fitted to ratings, from {parent.sha256[:12]}. {report.conclusion_of(metrics)}"
        provenance = report.provenance_of(metrics)
        metrics["weights_sha256"] = save_weights(outcome.net.cpu(), output / WEIGHTS, description, provenance).sha256
    table = report.table_of(metrics)
    atomic_write(output / METRICS, json.dumps(metrics, indent=2) + "\n")
    atomic_write(output / SUMMARY, table + "\n")
    click.echo(f"\n{table}\n\nwritten: {output / (WEIGHTS if outcome.net else METRICS)}")

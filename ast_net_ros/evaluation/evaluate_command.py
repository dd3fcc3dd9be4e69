"""The commands `ast_net evaluate` and `evaluate-affect`.

Heavy modules are imported on use, so that `--help` and mistyped paths are fast.
"""

from __future__ import annotations

import glob
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.evaluation.options import add_options, estimation_options, settings_from
from ast_net_ros.settings import from_values

if TYPE_CHECKING:
    from ast_net_ros.evaluation.run import EvaluationOutcome

WARM_UP_SECONDS = 2.0
"""What `--warm-up out` excludes of each face's beginning, where estimates rest on little evidence."""


def _warm_up(value: str) -> float:
    """Convert `in`, `out` or a number of seconds."""
    named = {"in": 0.0, "out": WARM_UP_SECONDS}
    try:
        seconds = named[value] if value in named else float(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is neither in, out nor a number of seconds") from None
    if not 0 <= seconds < 3600:
        raise click.BadParameter(f"{value} is not in the range from 0 to 3600 seconds")
    return seconds


_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {
    ("--output", "-o"): (
        "Folder for results.json, report.html and recordings/. The same command resumes an interrupted run.",
        {"required": True, "metavar": "DIR", "type": _PATH},
    ),
    ("--topic",): ("Image topic.  [default: the only one in the bag]", {"metavar": "NAME"}),
    ("--labels",): (
        "Ground truth: a file, a folder, a template such as 'labels/{name}.csv', topic:NAME, or none.  [default: "
        "NAME.csv, NAME_valence.dat and NAME_arousal.dat, or NAME.json beside the bag, or a label topic in it]",
        {"metavar": "WHERE"},
    ),
    ("--label-time", "time"): (
        "Origin of the times in a CSV file: the first frame (relative) or the clock of the stamps (epoch). auto: epoch "
        "if they reach 1e8.",
        {"default": "auto", "type": click.Choice(["auto", "relative", "epoch"])},
    ),
    ("--match",): (
        "The face that the labels describe: largest (of each frame), id:NAME[,NAME...], or best (highest CCC).",
        {"default": "largest", "metavar": "RULE"},
    ),
    ("--clock-offset",): ("Seconds to add to the label times.", {"default": 0.0, "metavar": "S"}),
    ("--annotation-delay",): (
        "Seconds by which raters lag behind the face; subtracted from the label times.  [default: 0]",
        {"metavar": "S", "type": float},
    ),
    ("--estimate-delay", "development"): (
        "Estimate the annotation delay on the recordings with this name (the development set; * and ? are wildcards) "
        "and use it for all recordings. Repeatable.",
        {"multiple": True, "metavar": "NAME"},
    ),
    ("--longest-delay",): (
        "Largest delay to try, in seconds.",
        {"default": 10.0, "metavar": "S", "type": click.FloatRange(0.1, 60)},
    ),
    ("--label-gap", "max_gap"): (
        "Longest gap between labels to interpolate, in seconds.",
        {"default": 1.0, "metavar": "S", "type": click.FloatRange(0, min_open=True)},
    ),
    ("--warm-up",): (
        f"Include the start of each face in the metrics (in), or exclude its first S seconds (out: "
        f"{WARM_UP_SECONDS:g} s).",
        {"default": "in", "type": _warm_up, "metavar": "in|out|S"},
    ),
    ("--workers",): (
        "Number of worker processes.  [default: one per CPU core]",
        {"metavar": "N", "type": click.IntRange(1, 512)},
    ),
    ("--ray",): (
        "Use the Ray cluster at ADDRESS (auto or HOST:PORT); local starts Ray on this machine with --workers "
        "processes.",
        {"metavar": "ADDRESS"},
    ),
    ("--live",): ("Also play the recordings in real time to ast_net_node (requires ROS 2).", {"is_flag": True}),
    ("--rate",): ("With --live: playback speed.", {"default": 1.0, "type": click.FloatRange(0.01, 100)}),
    ("--loops",): ("With --live: number of times to play.", {"default": 1, "type": click.IntRange(1)}),
    ("--baseline",): (
        "Run to compare with: its results.json or output folder.",
        {"metavar": "RESULTS", "type": _PATH},
    ),
    ("--write-bag",): (
        "Also write the estimates to a bag, as ValenceArousalArray messages. {name} in the file name writes one bag "
        "per recording.",
        {"metavar": "OUT.mcap"},
    ),
    ("--thumbnails/--no-thumbnails",): (
        "Include images of people in the report.  [default: for offline runs only]",
        {"default": None},
    ),
}


@click.command()
@click.argument("bags", nargs=-1, required=True, metavar="BAG...")
@add_options(_OPTIONS)
@estimation_options
@click.option("--quiet", "-q", is_flag=True, help="No progress bars and no summary.")
@click.pass_context
def evaluate(ctx: click.Context, bags: tuple[str, ...], **given: Any) -> None:
    """Compute metrics and a report for every BAG, with or without labels.

    BAG is a rosbag2 recording (its folder or file), a video, a folder of these, or a glob. Only --live requires ROS.
    If a recording fails or requested labels cannot be used, the others are still evaluated and the exit code is 1.
    """
    if given["annotation_delay"] is not None and given["development"]:
        raise click.UsageError("--annotation-delay and --estimate-delay exclude each other: give one of them")
    if not given["live"] and (given["rate"] != 1 or given["loops"] != 1):
        raise click.UsageError("--rate and --loops require --live")
    if given["ray"] and given["device"] == "auto":
        given["device"] = "cpu"  # Ray hides GPUs that a task does not request
    for bag in bags:  # before anything heavy is imported
        if not Path(bag).exists() and not glob.glob(bag, recursive=True):  # noqa: PTH207
            raise click.ClickException(
                f"recording {bag!r}: no such file or folder; give bags, folders of bags, globs or videos"
            )

    from ast_net_ros.evaluation.labels.ground_truth import LabelOptions
    from ast_net_ros.evaluation.live import LiveOptions
    from ast_net_ros.evaluation.run import RunOptions
    from ast_net_ros.evaluation.run import evaluate as evaluate_recordings

    requested = given["labels"] is not None
    given["annotation_delay"] = given["annotation_delay"] or 0.0
    command = shlex.join([*ctx.command_path.split(), *sys.argv[2:]]) if ctx.parent else shlex.join(sys.argv)
    made = {
        "settings": settings_from(given),
        "labels": from_values(LabelOptions, given),
        "workers": given["workers"] or _cores(),
        "live": LiveOptions(rate=given["rate"], loops=given["loops"]) if given["live"] else None,
    }
    options = from_values(RunOptions, {**given, **made, "command": command})
    try:
        outcome = evaluate_recordings(bags, options)
    except KeyboardInterrupt:
        click.echo("Interrupted. Finished recordings are kept; run the same command to resume.", err=True)
        ctx.exit(130)
    if not options.quiet:
        _echo_outcome(outcome, options.output)
    if outcome.failures or (requested and outcome.label_problems):
        ctx.exit(1)


def _echo_outcome(outcome: EvaluationOutcome, output: Path) -> None:
    """Print a summary of all recordings, then problems, then where the results are."""
    recordings = outcome.metrics["recordings"]
    # A recording that was also played live has two entries.
    single = {(recording["path"], recording["topic"]): recording for recording in recordings}.values()
    frames = sum(recording["frames"] for recording in single)
    minutes = sum(recording["duration_seconds"] for recording in single) / 60
    count = "1 recording" if len(single) == 1 else f"{len(single)} recordings"
    kept = f"; {outcome.kept} of {len(recordings)} results kept from an earlier run" if outcome.kept else ""
    click.echo(f"{count}, {frames} frames, {minutes:.1f} minutes{kept}")
    for mode, pooled in outcome.metrics["pooled"].items():
        if pooled["recordings_with_truth"]:
            values = ", ".join(
                f"{dimension} CCC {pooled[dimension]['mean_of_recordings']['ccc']:.3f}"
                for dimension in ("valence", "arousal")
            )
            click.echo(f"{mode}: {values} (mean of {pooled['recordings_with_truth']} recordings with labels)")
    if outcome.metrics["comparison"]:
        _echo_comparison(outcome.metrics["comparison"])
    for recording in recordings:
        if recording["live"]:
            click.echo(_live_line(recording["name"], recording["live"]))
    delay = outcome.metrics["run"]["labels"]["delay_estimate"]
    if delay:
        limit = "; this is the largest delay tried: raise --longest-delay" if delay["at_search_limit"] else ""
        click.echo(f"annotation delay {delay['seconds']:g} s, estimated on {', '.join(delay['recordings'])}{limit}")
    for recording in recordings:
        for problem in recording["problems"]:
            click.echo(f"Note: {recording['name']}: {problem}", err=True)
    for failure in outcome.failures:
        click.echo(f"Failed ({failure.mode}): {failure.name}: {failure.reason}", err=True)
    click.echo(f"results in {output}/results.json and {output}/report.html")


def _echo_comparison(comparison: Mapping) -> None:
    """Print the gain of CCC over the baseline, of all recordings and of each."""
    for mode, found in comparison["modes"].items():
        gains = {dimension: found[dimension]["ccc"] for dimension in ("valence", "arousal")}
        whole = ", ".join(_gain(d, gain["difference"], gain["interval"]) for d, gain in gains.items())
        click.echo(f"{mode}, gain of CCC over the baseline: {whole}")
        for name in gains["valence"]["recordings"]:
            click.echo(f"  {name}: {', '.join(_gain(d, gain['recordings'][name]) for d, gain in gains.items())}")


def _gain(dimension: str, value: float | None, interval: Sequence[float] | None = None) -> str:
    if value is None:
        return f"{dimension} none"
    return f"{dimension} {value:+.3f}" + (f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else "")


def _live_line(name: str, live: dict) -> str:
    """Describe how many frames the node processed and how fast, which needs no labels."""
    line = f"live {name}: {live['frames_answered']} of {live['frames_sent']} frames answered"
    latency = live["latency_ms"]
    if latency["median"] is not None:
        line += f", latency {latency['median']:.0f} ms in the median, {latency['p95']:.0f} at the 95th percentile"
    if live["frames_sent_late"]:
        line += (
            f"; {live['frames_sent_late']} were sent late, because the machine is too slow to play them in real time"
        )
    return line


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    from ast_net_ros.evaluation.metrics.intervals import Resampling, metric_text
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
        shown = (f"{name} {metric_text(values[name], values['intervals'][name])}" for name in ("r", "ccc", "rmse"))
        click.echo(f"{dimension}: {', '.join(shown)}, {values['within_one_sigma']:.0%} of the errors within one sigma")
    both = metrics["valence_arousal_r"]
    click.echo(
        f"r of valence and arousal: {metric_text(both['estimated'])} estimated, {metric_text(both['rated'])} rated"
    )
    if output:
        atomic_write(output, json.dumps(json_ready(metrics), indent=2) + "\n")
        click.echo(f"written: {output}")

"""The command `ast_net evaluate`. Heavy modules are imported on use, so that `--help` and mistyped paths are fast."""

from __future__ import annotations

import glob
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.evaluation.options import estimation_options, settings_from

if TYPE_CHECKING:
    from ast_net_ros.evaluation.run import EvaluationOutcome

WARM_UP_SECONDS = 2.0
"""What `--warm-up out` excludes of each face's beginning, where estimates rest on little evidence."""


class _WarmUp(click.ParamType):
    """`in`, `out`, or seconds."""

    name = "warm-up"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        named = {"in": 0.0, "out": WARM_UP_SECONDS}
        try:
            seconds = named[value] if value in named else float(value)
        except ValueError:
            self.fail(f"'{value}' is neither in, out nor a number of seconds", param, ctx)
        if not 0 <= seconds < 3600:
            self.fail(f"{value} is not in the range from 0 to 3600 seconds", param, ctx)
        return seconds


_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("bags", nargs=-1, required=True, metavar="BAG...")
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="DIR",
    type=_FILE,
    help="Folder for results.json, report.html and recordings/. The same command resumes an interrupted run.",
)
@click.option("--topic", metavar="NAME", help="The image topic.  [default: the bag's only one]")
@click.option(
    "--labels",
    metavar="WHERE",
    help="Ground truth: a file, a folder, a template such as 'labels/{name}.csv', topic:NAME, or none.  "
    "[default: NAME.csv, NAME_valence.dat and NAME_arousal.dat, or NAME.json beside the bag; a label topic in it]",
)
@click.option(
    "--label-time",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "relative", "epoch"]),
    help="Origin of the times of a CSV: the first frame (relative) or the clock of the stamps (epoch); auto: epoch "
    "from 1e8.",
)
@click.option(
    "--match",
    default="largest",
    show_default=True,
    metavar="RULE",
    help="The face that the labels describe: largest (of each frame), id:NAME[,NAME...], or best (highest CCC).",
)
@click.option("--clock-offset", default=0.0, show_default=True, metavar="S", help="Added to the labels' times.")
@click.option(
    "--annotation-delay",
    metavar="S",
    type=float,
    help="Seconds by which raters lag behind the face; subtracted from the labels' times.  [default: 0]",
)
@click.option(
    "--estimate-delay",
    multiple=True,
    metavar="NAME",
    help="Estimate the annotation delay from the recordings of this name (* and ? allowed; may be repeated), the "
    "development set, and use it for all.",
)
@click.option(
    "--longest-delay",
    default=10.0,
    show_default=True,
    metavar="S",
    type=click.FloatRange(0.1, 60),
    help="Largest delay tried.",
)
@click.option(
    "--label-gap",
    default=1.0,
    show_default=True,
    metavar="S",
    type=click.FloatRange(0, min_open=True),
    help="Longest gap between labels that is interpolated.",
)
@click.option(
    "--warm-up",
    default="in",
    show_default=True,
    type=_WarmUp(),
    metavar="in|out|S",
    help=f"Exclude the first S seconds of each face from the metrics; out: {WARM_UP_SECONDS:g} s.",
)
@click.option("--workers", metavar="N", type=click.IntRange(1, 512), help="Processes.  [default: one per CPU core]")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Use the Ray cluster at ADDRESS (auto, HOST:PORT); local starts Ray with --workers here.",
)
@click.option("--live", is_flag=True, help="Also play the recordings in real time to a real node (needs ROS 2).")
@click.option(
    "--rate", default=1.0, show_default=True, type=click.FloatRange(0.01, 100), help="With --live: playback speed."
)
@click.option("--loops", default=1, show_default=True, type=click.IntRange(1), help="With --live: times played.")
@click.option(
    "--baseline", metavar="RESULTS", type=_FILE, help="results.json, or its folder, of a run to compare with."
)
@click.option(
    "--write-bag",
    metavar="OUT.mcap",
    help="Also write the estimates as ValenceArousalArray messages; with {name} in it, a bag for each recording.",
)
@click.option(
    "--thumbnails/--no-thumbnails", default=None, help="Images of people in the report.  [default: for offline runs]"
)
@estimation_options
@click.option("--quiet", "-q", is_flag=True, help="No progress bars and no summary.")
@click.pass_context
def evaluate(ctx: click.Context, bags: tuple[str, ...], **given: Any) -> None:
    """Evaluate recordings: metrics and a report of every BAG, with or without labels.

    BAG is a rosbag2 recording (its folder or file), a video, a folder of these, or a glob. Only --live needs ROS.
    Exits with 1 if a recording failed or requested labels could not be used; the others are finished.
    """
    if given["annotation_delay"] is not None and given["estimate_delay"]:
        raise click.UsageError("--annotation-delay and --estimate-delay: give one of them")
    if not given["live"] and (given["rate"] != 1 or given["loops"] != 1):
        raise click.UsageError("--rate and --loops are for --live")
    if given["ray"] and given["device"] == "auto":
        given["device"] = "cpu"  # Ray hides GPUs that a task does not request
    check_paths(bags)

    from ast_net_ros.evaluation.labels.ground_truth import LabelOptions
    from ast_net_ros.evaluation.run import LiveRun, RunOptions
    from ast_net_ros.evaluation.run import evaluate as evaluate_recordings

    options = RunOptions(
        output=given["output"],
        topic=given["topic"],
        settings=settings_from(given),
        labels=LabelOptions(
            labels=given["labels"],
            match=given["match"],
            clock_offset=given["clock_offset"],
            annotation_delay=given["annotation_delay"] or 0.0,
            max_gap=given["label_gap"],
            time=given["label_time"],
        ),
        development=given["estimate_delay"],
        longest_delay=given["longest_delay"],
        workers=given["workers"] or _cores(),
        ray=given["ray"],
        live=LiveRun(given["rate"], given["loops"]) if given["live"] else None,
        baseline=given["baseline"],
        write_bag=given["write_bag"],
        thumbnails=given["thumbnails"],
        warm_up=given["warm_up"],
        quiet=given["quiet"],
        command=shlex.join([*ctx.command_path.split(), *sys.argv[2:]]) if ctx.parent else shlex.join(sys.argv),
    )
    try:
        outcome = evaluate_recordings(bags, options)
    except KeyboardInterrupt:
        click.echo("Interrupted. Finished recordings are kept; the same command resumes with the others.", err=True)
        ctx.exit(130)
    if not options.quiet:
        _echo_outcome(outcome, options.output)
    if outcome.failures or (given["labels"] and outcome.label_problems):
        ctx.exit(1)


def check_paths(arguments: Sequence[str]) -> None:
    """Raise click.ClickException if an argument names nothing, before anything heavy is imported."""
    for argument in arguments:
        if not Path(argument).exists() and not glob.glob(argument, recursive=True):  # noqa: PTH207
            raise click.ClickException(
                f"recording {argument!r}: nothing there; name bags, folders of bags, globs or videos"
            )


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
    for recording in recordings:
        if recording["live"]:
            click.echo(_live_line(recording["name"], recording["live"]))
    delay = outcome.metrics["run"]["labels"]["delay_estimate"]
    if delay:
        limit = ", at the limit of the search: is it plausible?" if delay["at_search_limit"] else ""
        click.echo(f"annotation delay {delay['seconds']:g} s, from {', '.join(delay['recordings'])}{limit}")
    for recording in recordings:
        for problem in recording["problems"]:
            click.echo(f"Note: {recording['name']}: {problem}", err=True)
    for failure in outcome.failures:
        click.echo(f"Failed ({failure.mode}): {failure.name}: {failure.reason}", err=True)
    click.echo(f"results in {output}/results.json and {output}/report.html")


def _live_line(name: str, live: dict) -> str:
    """Describe how many frames the node processed and how fast, which needs no labels."""
    line = f"live {name}: {live['frames_answered']} of {live['frames_sent']} frames answered"
    latency = live["latency_ms"]
    if latency["median"] is not None:
        line += f", latency {latency['median']:.0f} ms in the median, {latency['p95']:.0f} at the 95th percentile"
    if live["frames_sent_late"]:
        line += f"; {live['frames_sent_late']} were sent late: is the machine fast enough to play them?"
    return line


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

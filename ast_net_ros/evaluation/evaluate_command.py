"""The `ast_net evaluate` command. Only click is imported here, so that help comes at once; the rest on use."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.evaluation.options import estimation_options, settings_from

if TYPE_CHECKING:
    from ast_net_ros.evaluation.run import EvaluationOutcome

WARM_UP_SECONDS = 2.0
"""What `--warm-up out` leaves out of each face's beginning, where estimates rest on little evidence."""


class _WarmUp(click.ParamType):
    """`in`, `out`, or seconds."""

    name = "warm-up"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        named = {"in": 0.0, "out": WARM_UP_SECONDS}
        try:
            seconds = named[value] if value in named else float(value)
        except ValueError:
            self.fail(f"'{value}' is none of in, out and a number of seconds", param, ctx)
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
    help="Folder for results.json, report.html and recordings/. The same command again goes on where it was stopped.",
)
@click.option("--topic", metavar="NAME", help="The image topic.  [default: the bag's only one]")
@click.option(
    "--labels",
    metavar="WHERE",
    help="Ground truth: a file, a folder, a template such as 'truth/{name}.csv', topic:NAME, or none.  "
    "[default: NAME.csv, NAME_valence.dat and NAME_arousal.dat, or NAME.json beside the bag; a label topic in it]",
)
@click.option(
    "--label-time",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "relative", "epoch"]),
    help="Whether a CSV counts from the first frame or on the clock of the stamps; auto: epoch from 1e8 on.",
)
@click.option(
    "--match",
    default="largest",
    show_default=True,
    metavar="RULE",
    help="The face that the labels speak of: largest (of each frame), id:NAME[,NAME...], or best (agrees best).",
)
@click.option("--clock-offset", default=0.0, show_default=True, metavar="S", help="Added to the labels' times.")
@click.option(
    "--annotation-delay",
    metavar="S",
    type=float,
    help="Seconds by which raters lag behind the face; taken off the labels' times.  [default: 0]",
)
@click.option(
    "--estimate-delay",
    multiple=True,
    metavar="NAME",
    help="Estimate the annotation delay from the recordings of this name (may have * and ?; may be repeated), which "
    "are the development set, and use it for all.",
)
@click.option(
    "--longest-delay", default=10.0, show_default=True, metavar="S", type=click.FloatRange(0.1, 60), help="Tried then."
)
@click.option(
    "--label-gap",
    default=1.0,
    show_default=True,
    metavar="S",
    type=click.FloatRange(0, min_open=True),
    help="Between labels further apart there is no truth.",
)
@click.option(
    "--warm-up",
    default="in",
    show_default=True,
    type=_WarmUp(),
    metavar="in|out|S",
    help=f"Leave the first S seconds of each face out of the figures; out: {WARM_UP_SECONDS:g} s.",
)
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 512), help="Recordings at once.  [default: one a CPU core]"
)
@click.option(
    "--ray", metavar="ADDRESS", help="Work on the Ray cluster at ADDRESS (auto, HOST:PORT), or local: --workers here."
)
@click.option("--live", is_flag=True, help="Also play the recordings in real time to a real node (needs ROS 2).")
@click.option(
    "--rate", default=1.0, show_default=True, type=click.FloatRange(0.01, 100), help="With --live: 2 is twice as fast."
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
    "--thumbnails/--no-thumbnails", default=None, help="Pictures of people in the report.  [default: of offline runs]"
)
@estimation_options
@click.option("--quiet", "-q", is_flag=True, help="No progress bars and no summary.")
@click.pass_context
def evaluate(ctx: click.Context, bags: tuple[str, ...], **given: Any) -> None:
    """Evaluate recordings: figures and a report of every BAG, with or without ground truth.

    BAG is a rosbag2 recording (its folder or file), a video, a folder of these, or a glob. No ROS is needed but for
    --live. Exits with 1 where a recording failed, or labels that were asked for could not be used; the others are
    finished.
    """
    if given["annotation_delay"] is not None and given["estimate_delay"]:
        raise click.UsageError("--annotation-delay and --estimate-delay: give one of them")
    if not given["live"] and (given["rate"] != 1 or given["loops"] != 1):
        raise click.UsageError("--rate and --loops are for --live")
    if given["ray"] and given["device"] == "auto":
        given["device"] = "cpu"  # Ray hides GPUs that a task does not ask for

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
        click.echo("Interrupted. Finished recordings are kept; the same command goes on with the others.", err=True)
        ctx.exit(130)
    if not options.quiet:
        _echo_outcome(outcome, options.output)
    if outcome.failures or (given["labels"] and outcome.label_problems):
        ctx.exit(1)


def _echo_outcome(outcome: EvaluationOutcome, output: Path) -> None:
    """Tells the user what came of it: a line for all recordings, then for what is odd, then where the results are."""
    recordings = outcome.figures["recordings"]
    frames = sum(recording["frames"] for recording in recordings)
    minutes = sum(recording["duration_seconds"] for recording in recordings) / 60
    kept = f", {outcome.kept} of them from an earlier run" if outcome.kept else ""
    click.echo(f"{len(recordings)} recordings, {frames} frames, {minutes:.1f} minutes{kept}")
    for mode, pooled in outcome.figures["pooled"].items():
        if pooled["recordings_with_truth"]:
            values = ", ".join(
                f"{dimension} CCC {pooled[dimension]['mean_of_recordings']['ccc']:.3f}"
                for dimension in ("valence", "arousal")
            )
            click.echo(f"{mode}: {values} (mean of {pooled['recordings_with_truth']} recordings with labels)")
    for recording in recordings:
        if recording["live"]:
            click.echo(_live_line(recording["name"], recording["live"]))
    delay = outcome.figures["run"]["labels"]["delay_estimate"]
    if delay:
        edge = ", at the edge of the search: is it believable?" if delay["at_the_edge"] else ""
        click.echo(f"annotation delay {delay['seconds']:g} s, from {', '.join(delay['recordings'])}{edge}")
    for recording in recordings:
        for problem in recording["problems"]:
            click.echo(f"Note: {recording['name']}: {problem}", err=True)
    for failure in outcome.failures:
        click.echo(f"Failed ({failure.mode}): {failure.name}: {failure.reason}", err=True)
    click.echo(f"results in {output}/results.json and {output}/report.html")


def _live_line(name: str, live: dict) -> str:
    """How completely and how fast the node answered, which needs no labels."""
    line = f"live {name}: {live['frames_answered']} of {live['frames_sent']} frames answered"
    latency = live["latency_ms"]
    if latency["median"] is not None:
        line += f", latency {latency['median']:.0f} ms in the median, {latency['p95']:.0f} at the 95th percentile"
    if live["frames_sent_late"]:
        line += f"; {live['frames_sent_late']} were sent late: is the machine fast enough to play them?"
    return line


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""The command `ast_net agree`. Heavy modules are imported on use, so that `--help` is fast."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
_OUTPUT = "Folder for agreement.json, agreement.html, label_statistics.json and gold/."


@click.command("agree", context_settings={"show_default": True})
@click.argument("ratings", nargs=-1, required=True, metavar="RATINGS...", type=_PATH)
@click.option("--output", "-o", type=_PATH, required=True, metavar="DIR", help=_OUTPUT)
@click.option(
    "--estimates",
    multiple=True,
    type=_PATH,
    metavar="PATH",
    help="Results of annotate or evaluate for the rated recordings, to estimate the lag behind the face. Repeatable.",
)
@click.option("--exclude", "excluded", multiple=True, metavar="RATER", help="Exclude a rater. Repeatable.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bars and no summary.")
@click.pass_context
def agree(
    ctx: click.Context,
    ratings: tuple[Path, ...],
    output: Path,
    estimates: tuple[Path, ...],
    excluded: tuple[str, ...],
    quiet: bool,
) -> None:
    """Measure how well raters agree, and combine their ratings into a gold standard.

    RATINGS are files of `ast_net rate`, or folders of them, by two or more raters. If a file or a recording must be
    left out, the others are still used and the exit code is 1.
    """
    from ast_net_ros.evaluation.agreement.run import run_agreement

    content = run_agreement(ratings, output, estimates, excluded, show_progress=not quiet)
    if not quiet:
        _echo(content, output)
    if content["left_out"]:
        ctx.exit(1)


def _echo(content: dict, output: Path) -> None:
    """Print a summary, then who is outlying and what was left out, then where the results are."""
    from ast_net_ros.evaluation.agreement.analysis import headline
    from ast_net_ros.evaluation.metrics.intervals import metric_text

    summary = content["summary"]
    click.echo(f"{summary['raters']} raters, {summary['faces']} faces, {summary['minutes']:.1f} minutes")
    for dimension, found in summary["aligned"].items():
        kind = found[headline(summary)]
        measures = (
            f"{label} {metric_text(kind[name]['value'], kind[name]['interval'])}"
            for name, label in (("ccc_mean", "CCC of pairs"), ("icc_3_1", "ICC(3,1)"), ("icc_3_k", "ICC(3,k)"))
        )
        click.echo(f"{dimension}: {', '.join(measures)}")
    lags = {rater: about["lag"]["seconds"] for rater, about in content["raters"].items()}
    shown = [f"{rater} {'unknown' if lag is None else f'{lag:+.2f} s'}" for rater, lag in lags.items()]
    click.echo(f"lag: {', '.join(shown[:12])}{f' and {len(shown) - 12} more' if len(shown) > 12 else ''}")
    for rater, about in content["raters"].items():
        if about["outlying"]:
            click.echo(f"outlying rater {rater}: {'; '.join(about['outlying'])}")
    for reason in content["left_out"]:
        click.echo(f"left out: {reason}", err=True)
    click.echo(f"written: {output / 'agreement.json'}, agreement.html, gold/")

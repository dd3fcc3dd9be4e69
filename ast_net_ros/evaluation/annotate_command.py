"""The command `ast_net annotate`. Heavy modules are imported on use, so that `--help` and mistyped paths are fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.bags.names import STILL_SUFFIXES, VIDEO_SUFFIXES, unique_names
from ast_net_ros.evaluation.options import estimation_options, pipeline_maker, settings_from

if TYPE_CHECKING:
    from ast_net_ros.evaluation.annotate import Annotation
    from ast_net_ros.pipeline import AffectPipeline


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for estimates.csv, plot.png and the overlay; with several videos, each gets a subfolder. Created if "
    "missing; files of an earlier run are replaced.",
)
@click.option(
    "--overlay",
    is_flag=True,
    help="Also write overlay.webm, the video with boxes, values and trails (overlay.png for a still image).",
)
@estimation_options
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(0, min_open=True),
    help="Stop after S seconds of each video.  [default: at its end]",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
@click.pass_context
def annotate(
    ctx: click.Context,
    videos: tuple[str, ...],
    output: Path,
    overlay: bool,
    seconds: float | None,
    quiet: bool,
    **estimation: Any,
) -> None:
    """Estimate valence and arousal of every face in each VIDEO.

    VIDEO is a video file, a still image (JPEG or PNG), a folder of these, or the number of a webcam (0 is the first),
    which is read until Ctrl-C or for --seconds. If one of several videos cannot be read, the others are still
    processed and the exit code is 1.
    """
    sources = _find_sources(videos)
    names = unique_names([Path(source) for source in sources])
    from ast_net_ros.evaluation.annotate import annotate as annotate_video
    from ast_net_ros.vision.video import VideoError

    make_pipeline = pipeline_maker(settings_from(estimation))
    failed = False
    for source, name in zip(sources, names):
        folder = output if len(sources) == 1 else output / name
        pipeline = make_pipeline()
        try:
            annotation = annotate_video(source, folder, pipeline, overlay, seconds, show_progress=not quiet)
        except VideoError as error:
            if len(sources) == 1:
                raise
            click.echo(f"Failed: {error}", err=True)
            failed = True
            continue
        if not quiet:
            _print_summary(annotation, pipeline, folder)
    if failed:
        ctx.exit(1)


def _find_sources(arguments: Sequence[str]) -> list[str]:
    """Return the videos and still images that the arguments name; those in a folder by name, subfolders included."""
    found: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            files = [
                f for f in path.rglob("*") if f.suffix.lower() in {*VIDEO_SUFFIXES, *STILL_SUFFIXES} and f.is_file()
            ]
            if not files:
                raise click.ClickException(
                    f"folder {argument}: no video or image in it; for rosbag2 recordings use `ast_net evaluate`"
                )
            found += map(str, sorted(files))
        elif path.exists() or (argument.isdecimal() and len(argument) < 4):  # a webcam's number
            found.append(argument)
        else:
            raise click.ClickException(f"video {argument}: no such file")
    return list(dict.fromkeys(found))


def _print_summary(annotation: Annotation, pipeline: AffectPipeline, output: Path) -> None:
    a = annotation
    faces = ", ".join(a.face_ids[:8]) + (" ..." if len(a.face_ids) > 8 else "")
    click.echo(
        f"{a.frames} {'frame' if a.frames == 1 else 'frames'} ({a.duration:.1f} s), {a.frames_with_face} with a face, "
        f"{len(a.face_ids)} {'face' if len(a.face_ids) == 1 else 'faces'}{': ' * bool(faces)}{faces}"
    )
    click.echo(f"{a.frames / a.elapsed:.0f} frames per second on {pipeline.model.device} by {pipeline.model.runtime}")
    click.echo(f"weights {pipeline.model.weights_hash[:12]}: {pipeline.model.description}")
    click.echo(f"results in {output}")
    if a.incomplete:
        click.echo(f"Note: the file declares {a.declared_frames} frames; only {a.frames} could be read.", err=True)

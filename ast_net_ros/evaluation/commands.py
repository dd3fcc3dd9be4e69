"""The `ast_net` commands on recordings. Only click is imported here, so that help comes at once; the rest on use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.evaluation.options import estimation_options, pipeline_maker, settings_from

if TYPE_CHECKING:
    from ast_net_ros.evaluation.annotate import Annotation
    from ast_net_ros.pipeline import AffectPipeline


@click.command()
@click.argument("video")
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for estimates.csv, plot.png and overlay.mp4. Made if absent; an earlier run's files are replaced.",
)
@click.option("--overlay", is_flag=True, help="Also write overlay.mp4: the video with boxes, values and trails.")
@estimation_options
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(0, min_open=True),
    help="Stop after this much video.  [default: all of it]",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def annotate(video: str, output: Path, overlay: bool, seconds: float | None, quiet: bool, **estimation: Any) -> None:
    """Estimate valence and arousal of every face in VIDEO.

    VIDEO is a file, or the number of a webcam (0 is the first), which is read until Ctrl-C or --seconds.
    """
    from ast_net_ros.evaluation.annotate import annotate as annotate_video

    pipeline = pipeline_maker(settings_from(estimation))()
    annotation = annotate_video(video, output, pipeline, overlay, seconds, show_progress=not quiet)
    if not quiet:
        _print_summary(annotation, pipeline, output)


def _print_summary(annotation: Annotation, pipeline: AffectPipeline, output: Path) -> None:
    a = annotation
    faces = ", ".join(a.face_ids[:8]) + (" ..." if len(a.face_ids) > 8 else "")
    click.echo(
        f"{a.frames} frames ({a.duration:.1f} s), {a.frames_with_face} with a face, "
        f"{len(a.face_ids)} {'face' if len(a.face_ids) == 1 else 'faces'}{': ' * bool(faces)}{faces}"
    )
    click.echo(f"{a.frames / a.elapsed:.0f} frames per second on {pipeline.model.device} by {pipeline.model.runtime}")
    click.echo(f"weights {pipeline.model.weights_hash[:12]}: {pipeline.model.description}")
    click.echo(f"results in {output}")
    if a.declared_frames is not None and a.frames < 0.9 * a.declared_frames:
        click.echo(f"Note: the file declares {a.declared_frames} frames; {a.frames} were read.", err=True)

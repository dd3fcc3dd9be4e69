"""The command `ast_net rate`. Heavy modules are imported on use, so that `--help` and mistyped paths are fast."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import click

from ast_net_ros.settings import IMAGE_ROTATIONS

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("recording", metavar="RECORDING", type=click.Path(path_type=Path))
@click.option("--rater", required=True, metavar="NAME", help="Who rates; becomes part of the names of files.")
@click.option(
    "--output", "-o", metavar="DIR", type=_FOLDER, help="Folder of ratings.  [default: ratings beside RECORDING]"
)
@click.option("--topic", metavar="NAME", help="The image topic.  [default: the bag's only one]")
@click.option(
    "--protocol",
    type=click.Choice(["both", "valence", "arousal"]),
    help="What the page proposes to rate.  [default: valence, then arousal]",
)
@click.option("--faces/--no-faces", default=True, help="Find the faces and let the rater choose one.  [default: on]")
@click.option(
    "--image-rotation",
    "rotation",
    type=click.Choice([str(angle) for angle in IMAGE_ROTATIONS]),
    default="0",
    help="Degrees by which images must be turned clockwise so that faces stand upright.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port of the page; 0: any free one."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.  [default: on]")
def rate(recording: Path, rater: str, output: Path | None, **given: Any) -> None:
    """Rate valence and arousal of a face in RECORDING continuously, in the browser.

    RECORDING is a rosbag2 recording (its folder or file) or a video. The page runs on this machine alone. Ratings are
    saved every half second; the same command goes on where it stopped.
    """
    if not recording.exists():
        raise click.ClickException(f"recording {str(recording)!r}: nothing there; name a bag or a video")

    from ast_net_ros.rating.playback import CACHE, prepare_playback
    from ast_net_ros.rating.serve import serve
    from ast_net_ros.rating.session import RatingSession
    from ast_net_ros.ratings import checked_name

    checked_name(rater, "rater")
    folder = output or recording.absolute().parent / "ratings"
    playback = prepare_playback(recording, folder / CACHE, given["topic"], int(given["rotation"]), given["faces"])
    with RatingSession(folder, playback, rater, _software()) as session:
        serve(session, given["protocol"] or "", given["port"], given["browser"], click.echo)
        rated = [session.path(face.face) for face in playback.faces if session.path(face.face).exists()]
    click.echo("\n".join(f"ratings in {path}" for path in rated) or "nothing was rated")


def _software() -> str:
    try:
        return f"ast_net_ros {metadata.version('ast_net_ros')}"
    except metadata.PackageNotFoundError:  # built in a ROS workspace
        return "ast_net_ros"

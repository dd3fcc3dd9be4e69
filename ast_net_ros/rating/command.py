"""The command `ast_net rate`. Heavy modules are imported on use, so that `--help` and mistyped paths are fast."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import click

from ast_net_ros.settings import IMAGE_ROTATIONS

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("recording", metavar="RECORDING", type=_PATH)
@click.option("--rater", metavar="NAME", help="Name of the rater; part of the file names.  [required to rate]")
@click.option(
    "--output", "-o", metavar="DIR", type=_PATH, help="Folder for the ratings.  [default: ratings beside RECORDING]"
)
@click.option("--topic", metavar="NAME", help="Image topic.  [default: the only one in the bag]")
@click.option(
    "--protocol",
    type=click.Choice(["both", "valence", "arousal"]),
    help="Protocol that the page suggests.  [default: valence, then arousal]",
)
@click.option("--faces/--no-faces", default=True, help="Detect faces and let the rater choose one.  [default: on]")
@click.option(
    "--image-rotation",
    "rotation",
    type=click.Choice([str(angle) for angle in IMAGE_ROTATIONS]),
    default="0",
    help="Clockwise rotation that makes faces upright, in degrees.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port of the page; 0: any free port."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.  [default: on]")
@click.option(
    "--write-bag",
    metavar="DIR",
    type=_PATH,
    help="Instead of rating, copy the bag to DIR and add the ratings (of all raters, or of --rater) as topics.",
)
@click.option("--read-bag", is_flag=True, help="Instead of rating, write the ratings in the bag's topics to files.")
def rate(recording: Path, rater: str | None, output: Path | None, **given: Any) -> None:
    """Rate valence and arousal of a face in RECORDING continuously, in the browser.

    RECORDING is a rosbag2 recording (its folder or file) or a video. The page can be opened on this machine only.
    Ratings are saved every half second; run the same command to resume.
    """
    if not recording.exists():
        raise click.ClickException(f"recording {str(recording)!r}: no such file or folder; give a bag or a video")
    folder = output or recording.absolute().parent / "ratings"
    if given["write_bag"] and given["read_bag"]:
        raise click.UsageError("--write-bag and --read-bag exclude each other: give one of them")
    if given["write_bag"]:
        from ast_net_ros.rating.bag_topics import copy_with_ratings

        count = copy_with_ratings(recording, given["topic"], folder, rater, given["write_bag"])
        click.echo(f"written: {given['write_bag']}, a copy of {recording} with {count} rating topics")
    elif given["read_bag"]:
        from ast_net_ros.rating.bag_topics import extract_ratings

        for path in extract_ratings(recording, given["topic"], folder, rater):
            click.echo(f"ratings in {path}")
    elif rater is None:
        raise click.UsageError("Missing option '--rater'.")
    else:
        _serve(recording, rater, folder, given)


def _serve(recording: Path, rater: str, folder: Path, given: dict[str, Any]) -> None:
    from ast_net_ros.rating.playback import CACHE, prepare_playback
    from ast_net_ros.rating.server import serve
    from ast_net_ros.rating.session import RatingSession
    from ast_net_ros.ratings import checked_name

    checked_name(rater, "rater")
    playback = prepare_playback(recording, folder / CACHE, given["topic"], int(given["rotation"]), given["faces"])
    for problem in playback.problems:
        click.echo(f"Note: {playback.name}: {problem}", err=True)
    with RatingSession(folder, playback, rater, _software()) as session:
        serve(session, given["protocol"] or "", given["port"], given["browser"], click.echo)
        rated = [session.path(face.face) for face in playback.faces if session.path(face.face).exists()]
    click.echo("\n".join(f"ratings in {path}" for path in rated) or "nothing was rated")


def _software() -> str:
    try:
        return f"ast_net_ros {metadata.version('ast_net_ros')}"
    except metadata.PackageNotFoundError:  # built in a ROS workspace
        return "ast_net_ros"

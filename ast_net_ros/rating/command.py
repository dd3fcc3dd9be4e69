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
@click.option("--rater", metavar="NAME", help="Who rates; becomes part of the names of files.  [required to rate]")
@click.option(
    "--output", "-o", metavar="DIR", type=_PATH, help="Folder of ratings.  [default: ratings beside RECORDING]"
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
@click.option(
    "--write-bag",
    metavar="DIR",
    type=_PATH,
    help="Do not rate: write a copy of the bag with the ratings (of all raters, or of NAME) as topics.",
)
@click.option(
    "--read-bag", is_flag=True, help="Do not rate: write the files of the ratings that are topics of the bag."
)
def rate(recording: Path, rater: str | None, output: Path | None, **given: Any) -> None:
    """Rate valence and arousal of a face in RECORDING continuously, in the browser.

    RECORDING is a rosbag2 recording (its folder or file) or a video. The page runs on this machine alone. Ratings are
    saved every half second; the same command resumes where it stopped.
    """
    if not recording.exists():
        raise click.ClickException(f"recording {str(recording)!r}: nothing there; name a bag or a video")
    folder = output or recording.absolute().parent / "ratings"
    if given["write_bag"] and given["read_bag"]:
        raise click.UsageError("--write-bag and --read-bag: give one of them")
    if given["write_bag"]:
        from ast_net_ros.rating.bag_topics import copy_with_ratings

        count = copy_with_ratings(recording, given["topic"], folder, rater, given["write_bag"])
        click.echo(f"{given['write_bag']}: {recording} with {count} topics of ratings")
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

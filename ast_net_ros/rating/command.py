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
    saved every half second; the same command goes on where it stopped.
    """
    if not recording.exists():
        raise click.ClickException(f"recording {str(recording)!r}: nothing there; name a bag or a video")
    folder = output or recording.absolute().parent / "ratings"
    if given["write_bag"] and given["read_bag"]:
        raise click.UsageError("--write-bag and --read-bag: give one of them")
    if given["write_bag"]:
        _write_bag(recording, rater, folder, given["topic"], given["write_bag"])
    elif given["read_bag"]:
        _read_bag(recording, rater, folder, given["topic"])
    elif rater is None:
        raise click.UsageError("Missing option '--rater'.")
    else:
        _serve(recording, rater, folder, given)


def _serve(recording: Path, rater: str, folder: Path, given: dict[str, Any]) -> None:
    from ast_net_ros.rating.playback import CACHE, prepare_playback
    from ast_net_ros.rating.serve import serve
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


def _write_bag(recording: Path, rater: str | None, folder: Path, topic: str | None, output: Path) -> None:
    from ast_net_ros.bags.content_hash import recording_sha256
    from ast_net_ros.bags.names import recording_name
    from ast_net_ros.rating.bag_topics import copy_with_ratings
    from ast_net_ros.rating.errors import RatingError
    from ast_net_ros.ratings import check_rated_recording, find_ratings, read_ratings

    name = recording_name(recording)
    paths = [path for path in find_ratings([folder]) if path.name.startswith(f"{name}.{rater or ''}")]
    ratings = [one for one in map(read_ratings, paths) if one.info.rater == rater or rater is None]
    if not ratings:
        raise RatingError(f"ratings {folder}: none of {name}{f' by {rater}' if rater else ''}")
    digest = recording_sha256(recording, topic)
    for one in ratings:
        check_rated_recording(one.info, digest, recording)
    copy_with_ratings(recording, ratings, output)
    click.echo(f"{output}: {recording} with {len(ratings)} topics of ratings")


def _read_bag(recording: Path, rater: str | None, folder: Path, topic: str | None) -> None:
    from ast_net_ros.bags.content_hash import recording_sha256
    from ast_net_ros.bags.names import recording_name
    from ast_net_ros.rating.bag_topics import ratings_in_bag
    from ast_net_ros.rating.errors import RatingError
    from ast_net_ros.ratings import check_rated_recording, rating_rows, ratings_path, write_ratings

    found = [one for one in ratings_in_bag(recording) if rater in (None, one.info.rater)]
    if not found:
        raise RatingError(f"bag {recording}: has no topic /ratings/{rater or 'RATER'}/FACE with its info")
    digest = recording_sha256(recording, topic)
    paths = [ratings_path(folder, recording_name(recording), one.info.rater, one.info.face) for one in found]
    there = next((path for path in paths if path.exists()), None)
    if there:
        raise RatingError(f"ratings {there}: exist already; name another folder with --output")
    for path, one in zip(paths, found):
        check_rated_recording(one.info, digest, recording)
        write_ratings(path, one.info, rating_rows(one.times, one.values))
        click.echo(f"ratings in {path}")


def _software() -> str:
    try:
        return f"ast_net_ros {metadata.version('ast_net_ros')}"
    except metadata.PackageNotFoundError:  # built in a ROS workspace
        return "ast_net_ros"

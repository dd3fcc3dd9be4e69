"""Simulate raters of a video, to try `ast_net agree`, `fit` and `evaluate` without people.

Cuts the video into short recordings that stand in for five people, and writes the ratings of three simulated raters in
the format of `ast_net rate`. The raters see less valence and more arousal than the default weights, with a lag and some
noise.

    python examples/scripted_rater.py .cache/media/WolfgangLanger_Pexels.mp4 --output study
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from ast_net_ros.bags.content_hash import recording_sha256
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ratings import RATING_RATE, RatingInfo, rating_rows, ratings_path, write_ratings
from ast_net_ros.vision.video import open_video

PEOPLE = ("anna", "ben", "carl", "dora", "emil")
RATERS = {"eva": 0.8, "tom": 1.0, "uma": 1.3}  # seconds by which each follows the face
SCALE, OFFSET = np.array([0.6, 0.5]), np.array([0.15, 0.35])  # of what they see, in valence and arousal
SIZE, RATE = (320, 180), 10.0  # pixels and images per second of the recordings


def main() -> None:
    """Make the recordings and their ratings."""
    parser = argparse.ArgumentParser(description="Make recordings with simulated ratings.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with open_video(arguments.video) as video:
        frames = [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for _, frame in video][::2]
    ratings = arguments.output / "ratings"
    ratings.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name, part in zip(PEOPLE, np.array_split(np.arange(len(frames)), len(PEOPLE))):
        folder = arguments.output / ("test" if name == PEOPLE[-1] else "recordings")
        folder.mkdir(exist_ok=True)
        shown = [frames[index] for index in (*part, *part[::-1])]  # there and back
        recording = folder / f"{name}.mp4"
        write_video(recording, shown)
        stamps, faces = estimates(recording)
        for rater in RATERS:
            write_rating(ratings, recording, rater, stamps, faces, generator)


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    """Write frames (H x W x 3) as a video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE)
    for frame in frames:
        writer.write(frame)
    writer.release()


def estimates(recording: Path) -> tuple[np.ndarray, list[FaceAffect]]:
    """Return stamps (seconds) and the face at each, where one is found."""
    pipeline = AffectPipeline()
    with open_video(recording) as video:
        seen = [(stamp, faces[0]) for stamp, frame in video if (faces := pipeline.process(frame, stamp))]
    return np.array([stamp for stamp, _ in seen]), [face for _, face in seen]


def write_rating(
    folder: Path,
    recording: Path,
    rater: str,
    stamps: np.ndarray,
    faces: list[FaceAffect],
    generator: np.random.Generator,
) -> None:
    """Rate a recording as `rater` would."""
    affect = np.array([(face.valence, face.arousal) for face in faces]) * SCALE + OFFSET
    times = np.arange(0, stamps[-1], 1 / RATING_RATE)
    followed = np.stack([np.interp(times - RATERS[rater], stamps, column) for column in affect.T], axis=1)
    hand = np.cumsum(generator.normal(0, 0.005, followed.shape), axis=0)
    info = RatingInfo(
        recording=recording.stem,
        recording_sha256=recording_sha256(recording),
        rater=rater,
        face=faces[0].face_id,
        duration_seconds=float(stamps[-1]),
        device="script",
    )
    path = ratings_path(folder, recording.stem, rater, info.face)
    write_ratings(path, info, rating_rows(times, np.clip(followed + hand, -1, 1)))


if __name__ == "__main__":
    main()

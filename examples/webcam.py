"""Use the library without ROS: print valence and arousal of everyone in front of a webcam, or in a video, every second.

python examples/webcam.py 0
python examples/webcam.py talk.mp4 --seconds 20
"""

from __future__ import annotations

import argparse

from ast_net_ros.pipeline import AffectPipeline, FaceAffect
from ast_net_ros.ros.examples.mood import MoodMachine  # needs no ROS
from ast_net_ros.vision.video import open_video


def line(second: int, face: FaceAffect, mood: str) -> str:
    """What is printed of a face."""
    values = f"valence {face.valence:+.2f}  arousal {face.arousal:+.2f}  confidence {face.confidence:.2f}"
    return f"{second:5d} s  {face.face_id:8}  {values}  {mood or 'warming up'}"


def watch(source: str, seconds: float | None) -> None:
    """Print until the video ends or the time is over."""
    pipeline, moods, next_line = AffectPipeline(), MoodMachine(), 0
    with open_video(source) as video:
        for stamp, frame in video:
            if seconds is not None and stamp > seconds:
                return
            faces = pipeline.process(frame, stamp)  # every frame, in order
            moods.update(stamp, faces)
            names = {person.face_id: person.mood for person in moods.people}
            if stamp >= next_line:
                next_line = int(stamp) + 1
                for face in faces:
                    print(line(int(stamp), face, names.get(face.face_id, "")), flush=True)


def main() -> None:
    """Print the estimates for a webcam or a video."""
    parser = argparse.ArgumentParser(description="Print valence and arousal of everyone in a webcam or a video.")
    parser.add_argument("source", help="number of a webcam, or path of a video")
    parser.add_argument("--seconds", type=float, help="stop after this much video")
    arguments = parser.parse_args()
    try:
        watch(arguments.source, arguments.seconds)
    except KeyboardInterrupt:
        pass
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()

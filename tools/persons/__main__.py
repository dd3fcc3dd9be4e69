"""Measure how well persons are known again: `python tools/run.py persons --help`.

Every person visits the camera, leaves and visits again, smiling and in other light, and once more with the head turned
to a side as another camera sees it. The shapes of their faces go to a PersonMemory as the pipeline gives them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm
from tracking.actors import Actor, Pose, Recording, halves, load_portraits

from ast_net_ros.vision.alignment import CHIP_SIDE, align_face
from ast_net_ros.vision.appearance import edge_orientations
from ast_net_ros.vision.detection import Detector, largest_detection, make_detector
from ast_net_ros.vision.persons import PersonMemory, PersonSettings
from ast_net_ros.vision.quality import QUALITY_THRESHOLD, face_quality

CANVAS = (640, 480)  # width, height
OBSERVATIONS = 6  # of each visit; the pipeline describes a face five times a second
# Visit: yaw in degrees; smile; second of a recording at which it begins.
VISITS = {
    "first": ((-18.0, 18.0), (0.0, 0.4), 0.0),
    "again": ((-18.0, 18.0), (0.5, 1.0), 4.0),
    "turned": ((12.0, 26.0), (0.0, 1.0), 8.0),
}
Visits = dict[str, list[np.ndarray]]
"""The shapes of a person's face by visit, those of sufficient quality."""


def film(actor: Actor, detector: Detector, rng: np.random.Generator) -> Visits:
    """Render one person's visits, each in its own light and distance."""
    visits: Visits = {}
    for name, (yaw, smile, begin) in VISITS.items():
        gain, slope = rng.uniform(0.65, 1.15) * rng.uniform(0.88, 1.12, 3), rng.uniform(-0.3, 0.3)
        light = gain * (1 + slope * np.linspace(-1, 1, CANVAS[0])[None, :, None])
        size, shapes = rng.uniform(60, 150), []
        for number in range(OBSERVATIONS):
            pose = Pose(
                x=CANVAS[0] / 2 + rng.normal(0, 20),
                y=CANVAS[1] * 0.45 + rng.normal(0, 10),
                size=size * rng.uniform(0.95, 1.05),
                roll=rng.uniform(-7, 7),
                yaw=rng.uniform(*yaw),
                pitch=rng.uniform(-8, 8),
                smile=rng.uniform(*smile),
            )
            shape = describe(_render(actor, pose, begin + 0.2 * number, light, rng), detector)
            if shape is not None:
                shapes.append(shape)
        visits[name] = shapes
    return visits


def describe(image: np.ndarray, detector: Detector) -> np.ndarray | None:
    """Return the shape of the face in an image; None without one of sufficient quality."""
    face = largest_detection(detector.detect(image))
    if face is None:
        return None
    chip = align_face(image, face.landmarks, CHIP_SIDE)
    return edge_orientations(chip) if face_quality(face, chip).score >= QUALITY_THRESHOLD else None


def _render(actor: Actor, pose: Pose, time: float, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = np.full((CANVAS[1], CANVAS[0], 3), 110, np.uint8)
    sprite = actor.sprite(pose, time, CANVAS)
    (left, top), (height, width) = sprite.corner, sprite.opacity.shape
    part, opacity = image[top : top + height, left : left + width], sprite.opacity[..., None]
    part[:] = (opacity * sprite.colour + (1 - opacity) * part).astype(np.uint8)
    image = np.clip(image * light + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR))


def play(people: Sequence[Visits], settings: PersonSettings, visit: Sequence[str]) -> dict[str, int]:
    """Let all come for the first time, one after the other, then again for `visit`, and count what happens.

    A second visit of several parts is one track that goes on.
    """
    memory = PersonMemory(settings=settings, clock=lambda: 0.0)

    def come(names: Sequence[str]) -> list[str]:
        found = []
        for number, visits in enumerate(people):
            face, person = f"{names}_{number}", ""
            for shape in itertools.chain(*(visits[name] for name in names)):
                person = memory.observe({face: shape}).get(face, "")
            memory.end(face)
            found.append(person)
        return found

    first, second = come(["first"]), come(visit)
    owners = {person: number for number, person in reversed(list(enumerate(first)))}
    return {
        "first visit taken for another": sum(owners[person] != number for number, person in enumerate(first) if person),
        "known again": sum(owners.get(person) == number for number, person in enumerate(second) if person),
        "taken for another": sum(owners.get(person, number) != number for number, person in enumerate(second)),
        "undecided": second.count(""),
    }


def measure(people: Sequence[Visits], size: int, settings: PersonSettings, visit: Sequence[str]) -> dict[str, float]:
    """Return shares of the people of `play`, over groups of `size`."""
    rng, groups = np.random.default_rng(1), 1 if size >= len(people) else 40
    totals: Counter[str] = Counter()
    for _ in range(groups):
        totals.update(play([people[i] for i in rng.permutation(len(people))[:size]], settings, visit))
    return {name: round(count / groups / min(size, len(people)), 3) for name, count in totals.items()}


def main() -> int:
    """Run the command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="persons", description=__doc__)
    parser.add_argument("--portraits", type=Path, required=True, help="folder with NAME_neutral.jpg, NAME_smiling.jpg")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="videos with one face each")
    parser.add_argument("--half", choices=("choose", "report"), default="report", help="chosen on the other")
    parser.add_argument("--similarity", type=float, nargs="*", default=[PersonSettings.similarity], help="to compare")
    parser.add_argument("--output", type=Path, default=Path("out/persons"), help="folder for the metrics")
    arguments = parser.parse_args()
    detector, half = make_detector(1), ("choose", "report").index(arguments.half)
    actors: list[Actor] = list(halves(load_portraits(arguments.portraits, detector))[half])
    actors += [Recording(path, detector) for path in arguments.recordings]
    people = [film(actor, detector, np.random.default_rng(i)) for i, actor in enumerate(tqdm(actors, unit="person"))]
    results = {}
    for similarity in arguments.similarity:
        for visit, size in itertools.product((["again"], ["turned"], ["turned", "again"]), (len(people), 5)):
            name = f"{', then '.join(visit)}; {size} people; similarity {similarity}"
            results[name] = measure(people, size, PersonSettings(similarity=similarity), visit)
            print(name, results[name])
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.half}.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the tracker on scenes with known truth: `python tools/run.py tracking --help`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ast_net_ros.vision.detection import make_detector
from tracking.actors import Recording, halves, load_portraits
from tracking.metrics import RATES, evaluate
from tracking.observations import load, observe, save
from tracking.scenes import build

SEEDS = {"choose": 11, "report": 12}


def render(arguments: argparse.Namespace) -> None:
    """Build the scenes of both halves of the people and keep what the detector finds."""
    detector = make_detector()
    portraits = halves(load_portraits(arguments.portraits, detector))
    recordings = halves([Recording(path, detector) for path in arguments.recordings])
    for name, *people in zip(SEEDS, portraits, recordings):
        observed = []
        for scene in build([actor for group in people for actor in group], SEEDS[name]):
            observed.append(observe(scene, detector))
            print(f"{name}: {scene.name}", flush=True)
        save(arguments.output / f"{name}.pickle", observed)


def measure(arguments: argparse.Namespace) -> None:
    """Print the metrics of a half at every rate and write them to a file."""
    scenes = load(arguments.output / f"{arguments.half}.pickle")
    metrics = {}
    for rate in RATES:
        metrics[str(rate)] = evaluate(scenes, rate).summary()
        print(rate, metrics[str(rate)], flush=True)
    (arguments.output / f"{arguments.half}.json").write_text(json.dumps(metrics, indent=2) + "\n")


def main() -> int:
    """Run the command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="tracking", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/tracking"), help="observations and metrics")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("render", help=render.__doc__)
    command.add_argument("--portraits", type=Path, required=True, help="folder with NAME_neutral.jpg, NAME_smiling.jpg")
    command.add_argument("--recordings", type=Path, nargs="*", default=[], help="videos with one face each")
    command.set_defaults(run=render)
    command = commands.add_parser("measure", help=measure.__doc__)
    command.add_argument("--half", choices=list(SEEDS), default="report", help="thresholds are chosen on the other one")
    command.set_defaults(run=measure)
    arguments = parser.parse_args()
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())

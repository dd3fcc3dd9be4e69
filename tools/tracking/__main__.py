"""Measure tracking on scenes with known truth: `python tools/run.py tracking --help`."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ast_net_ros.model.inference import load_model
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.vision.detection import make_detector
from tracking.actors import Recording, halves, load_portraits
from tracking.metrics import combined, evaluate, evaluate_pipeline
from tracking.scenes import build

SEEDS = {"choose": 11, "report": 12}
RATES = (30, 15, 10, 5)


def measure(arguments: argparse.Namespace) -> None:
    """Render the scenes of one half of the people, track them, print the metrics and write them to a file."""
    detector = make_detector()
    half = list(SEEDS).index(arguments.half)
    portraits = halves(load_portraits(arguments.portraits, detector))[half]
    recordings = halves([Recording(path, detector) for path in arguments.recordings])[half]
    run = partial(evaluate, detector=detector)
    if arguments.pipeline:
        run = partial(evaluate_pipeline, pipeline=AffectPipeline(load_model(device="cpu"), detector))
    results: dict[int, list] = {rate: [] for rate in arguments.rates}
    scenes = enumerate(build([*portraits, *recordings], SEEDS[arguments.half]))
    chosen = [(number, scene) for number, scene in scenes if not arguments.scenes or scene.name in arguments.scenes]
    for number, scene in tqdm(chosen, unit="scene"):
        for rate, result in run(scene, number, arguments.rates).items():
            results[rate].append(result)
            if result.merges:
                tqdm.write(f"{scene.name} at {rate} a second: {result.merges} merges")
    metrics = {str(rate): combined(found).summary() for rate, found in results.items()}
    for name, row in metrics.items():
        print(name, row)
    arguments.output.mkdir(parents=True, exist_ok=True)
    file_name = f"{arguments.half}-{'pipeline' if arguments.pipeline else 'detections'}.json"
    (arguments.output / file_name).write_text(json.dumps(metrics, indent=2) + "\n")


def main() -> int:
    """Run the command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="tracking", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/tracking"), help="folder for the metrics")
    parser.add_argument("--portraits", type=Path, required=True, help="folder with NAME_neutral.jpg, NAME_smiling.jpg")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[], help="videos with one face each")
    parser.add_argument("--half", choices=list(SEEDS), default="report", help="thresholds are chosen on the other one")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="frames a second, divisors of 30")
    parser.add_argument("--scenes", nargs="*", help="only these, such as crossing-3")
    parser.add_argument("--pipeline", action="store_true", help="the whole pipeline, with optical flow in between")
    measure(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())

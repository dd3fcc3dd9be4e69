"""Train your own weights on a folder of labelled videos: list them in a CSV manifest, train, evaluate.

Needs a folder with PERSON_ANYTHING.mp4 and, beside each, PERSON_ANYTHING.csv with the columns time, valence, arousal;
and the CNN of stage 1 (cnn.safetensors of `ast_net train-attributes`). Writes FOLDER/manifest.csv, and to the output
folder ast_net.safetensors and its metrics on people who are not in the training data.

    python examples/train_on_folder.py recordings --cnn out/cnn/cnn.safetensors --output out/own
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

AST_NET = [sys.executable, "-c", "from ast_net_ros.cli import main; main()"]


def write_manifest(folder: Path) -> Path:
    """Write a manifest of the folder's recordings; hold out every third person, so that nobody is in both splits."""
    videos = sorted(path for path in folder.glob("*.mp4") if path.with_suffix(".csv").is_file())
    people = sorted({path.stem.partition("_")[0] for path in videos})
    held_out = set(people[::3])
    if len(people) < 2:
        raise SystemExit(f"{folder}: {len(people)} people with videos and labels; at least two are needed")
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("frames", "labels", "split", "person"))
        for video in videos:
            person = video.stem.partition("_")[0]
            split = "valid" if person in held_out else "train"
            rows.writerow((video.name, video.with_suffix(".csv").name, split, person))
    return manifest


def main() -> None:
    """Train on the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Train the recurrent part on a folder of labelled videos.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cnn", type=Path, required=True, help="cnn.safetensors of ast_net train-attributes")
    parser.add_argument("--output", type=Path, required=True)
    arguments, further = parser.parse_known_args()  # further options go to ast_net train-temporal
    data = ["--data", f"manifest:{write_manifest(arguments.folder)}"]
    output = ["--output", str(arguments.output)]
    subprocess.run([*AST_NET, "train-temporal", "--cnn", str(arguments.cnn), *data, *output, *further], check=True)
    weights = arguments.output / "ast_net.safetensors"
    cache = ["--cache", str(arguments.output / "features")]
    subprocess.run([*AST_NET, "evaluate-temporal", "--weights", str(weights), *data, *output, *cache], check=True)
    print(f"try it: ast_net annotate VIDEO --weights {weights} --output out/annotated")


if __name__ == "__main__":
    main()

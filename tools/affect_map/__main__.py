"""Fit and cross-validate the map from emotions to valence and arousal: `python tools/run.py affect_map --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from affect_map.fit import cross_validated, fit_affect_map, highest_arousal_correlation
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS, accuracy
from ast_net_ros.evaluation.rated_faces import load_rated_faces
from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.training.transfer.warm_start import load_any_cnn
from ast_net_ros.vision.detection import make_detector
from ast_net_ros.vision.face_crops import crop_chip


def main() -> None:
    """Print the coordinates of each emotion, the strength of smiles, and the cross-validated metrics."""
    parser = argparse.ArgumentParser(prog="affect_map", description=__doc__)
    parser.add_argument("cnn", type=Path, help="cnn.safetensors, or whole weights")
    parser.add_argument("faces", type=Path, help="an .npz as for `ast_net evaluate-affect`")
    arguments = parser.parse_args()
    sizes, cnn = load_any_cnn(arguments.cnn)
    rated, detector = load_rated_faces(arguments.faces), make_detector()
    chips = np.stack([crop_chip(detector, image, sizes.chip_side)[0] for image in rated.images])
    with torch.inference_mode():
        logits = cnn.eval()(torch.from_numpy(chips).unsqueeze(1))[1].double().numpy()
    fitted = fit_affect_map(logits, rated.ratings)
    for name, (valence, arousal) in zip(EMOTIONS, fitted.coordinates):
        print(f"{name:10} {valence:6.3f} {arousal:6.3f}")
    print(f"strength of smiles: mean {fitted.strength_mean:.2f}, standard deviation {fitted.strength_deviation:.2f}")
    runs = cross_validated(logits, rated.ratings)
    for index, dimension in enumerate(DIMENSIONS):
        scores = [accuracy(run[:, index], rated.ratings[:, index]) for run in runs]
        r, ccc = (float(np.mean([score[measure] for score in scores])) for measure in ("r", "ccc"))
        print(f"{dimension}: cross-validated r {r:.3f}, CCC {ccc:.3f}")
    print(f"correlation of both on these faces: {np.corrcoef(runs.mean(axis=0).T)[0, 1]:.2f}")
    free, ordered = (highest_arousal_correlation(logits, rated.ratings, least) for least in ((), ("anger", "fear")))
    print(f"arousal: no coordinates exceed r {free:.3f}, and {ordered:.3f} with anger and fear not below neutral")


if __name__ == "__main__":
    main()

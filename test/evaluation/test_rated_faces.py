"""Rated still faces are read strictly, estimated, and compared with their ratings."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from ast_net_ros.evaluation.evaluate_command import evaluate_affect
from ast_net_ros.evaluation.metrics.intervals import Resampling
from ast_net_ros.evaluation.rated_faces import (
    RatedFaces,
    StillEstimates,
    estimate_stills,
    load_rated_faces,
    rated_metrics,
)
from ast_net_ros.model import load_model
from ast_net_ros.rating_files import DataError


def archive(path, count=6, **changes):
    arrays = {
        "images": np.full((count, 48, 48), 128, np.uint8),
        "valence": np.linspace(-1, 1, count),
        "arousal": np.linspace(1, -1, count),
    } | changes
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arousal": None}, "no array arousal"),
        ({"images": None, "valence": None}, "no array images, valence"),
        ({"valence": np.zeros(5)}, r"'valence' is \(5,\); expected one value for each of 6"),
        ({"valence": np.array([0, 0, np.nan, 0, 0, 0])}, "'valence' of face 2 is nan"),
        ({"arousal": np.array([0, 3, 0, 0, 0, 0])}, r"'arousal' of face 1 is 3; expected a number in \[-1, 1\]"),
        ({"arousal": np.array(list("abcdef"))}, "expected numbers"),
        ({"images": np.zeros((6, 48, 48))}, "expected uint8"),
        ({"group": np.array(["a"])}, "'group'"),
    ],
)
def test_an_unusable_archive_is_refused_by_name(tmp_path, changes, words):
    path = archive(tmp_path / "rated.npz", **changes)
    with pytest.raises(DataError, match=words) as raised:
        load_rated_faces(path)
    assert "rated.npz" in str(raised.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "rated.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable"):
        load_rated_faces(path)


def test_known_estimates_give_known_metrics():
    generator = np.random.default_rng(0)
    ratings = generator.uniform(-1, 1, (400, 2))
    noise = generator.normal(0, 0.2, (400, 2))
    groups = np.where(np.arange(400) < 200, "young", "old")
    faces = RatedFaces(np.zeros((400, 1, 1), np.uint8), ratings, groups)
    metrics = rated_metrics(
        faces, StillEstimates(ratings + noise, np.full((400, 2), 0.2), groups == "old"), Resampling(200)
    )
    for dimension in ("valence", "arousal"):
        values = metrics[dimension]
        assert values["rmse"] == pytest.approx(0.2, abs=0.02)
        assert values["intervals"]["r"][0] < values["r"] < values["intervals"]["r"][1]
        assert values["within_one_sigma"] == pytest.approx(0.68, abs=0.06)
    assert metrics["faces_found"] == 200 and metrics["groups"]["young"]["faces"] == 200
    assert abs(metrics["valence_arousal_r"]["estimated"]) < 0.2


def test_a_smile_is_estimated_above_distress(media):
    video = cv2.VideoCapture(str(media / "WolfgangLanger_Pexels.mp4"))
    stills = []
    for position in (20, 460):
        video.set(cv2.CAP_PROP_POS_FRAMES, position)
        frame = cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2GRAY)
        stills.append(frame[:, 140:500])
    estimates = estimate_stills(load_model(), np.stack(stills))
    assert estimates.affect.shape == (2, 2) and (estimates.sigma > 0).all()
    assert estimates.affect[1, 0] > estimates.affect[0, 0] + 0.3


def test_the_command_writes_what_it_shows(tmp_path):
    path = archive(tmp_path / "rated.npz")
    output = tmp_path / "metrics" / "affect.json"
    arguments = ["--data", str(path), "--output", str(output), "--resamples", "50"]
    result = CliRunner().invoke(evaluate_affect, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    metrics = json.loads(output.read_text())
    assert metrics["faces"] == 6 and metrics["faces_found"] == 0
    assert len(metrics["weights_sha256"]) == 64 and metrics["data"] == "rated.npz"
    assert f"rmse {metrics['arousal']['rmse']:.3f}" in result.output

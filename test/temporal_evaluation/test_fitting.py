"""Fitting to ratings: a known map and delay are recovered on new people, and no gain is claimed where there is none."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated_people import Rater, rated_people, simulated_recordings  # type: ignore[import-not-found]

from ast_net_ros.evaluation.metrics.accuracy import accuracy
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.inference import DEFAULT_WEIGHTS
from ast_net_ros.model.network import ASTNet, load_weights
from ast_net_ros.rating_files import DataError
from ast_net_ros.temporal_evaluation.fitting.held_out_gain import (
    HeldOut,
    folds_of,
    gain_of,
    held_out,
    interval_over_people,
)
from ast_net_ros.temporal_evaluation.fitting.selection import fit_ratings
from ast_net_ros.training.checkpoint import state_digest
from ast_net_ros.training.data.recordings import FaceSequence, Recording, step_clips
from ast_net_ros.training.fitting.output_map import OutputMap, with_output_map
from ast_net_ros.training.fitting.rated_faces import RatedFace, encoded, outputs_of
from ast_net_ros.training.fitting.stages import Stage, fit_cnn, fit_lstm, fit_map
from ast_net_ros.training.stage2 import TemporalTraining

MAP = (Stage("map", fit_map),)
PEOPLE, SECONDS = 6, 100.0  # ten minutes of ratings
SEEDS = range(int(os.environ.get("AST_NET_FIT_SEEDS", "1")))


@pytest.fixture(scope="module")
def net() -> ASTNet:
    torch.set_num_threads(1)
    return load_weights(DEFAULT_WEIGHTS)[0]


@pytest.fixture(scope="module")
def recordings(net: ASTNet, media: Path):
    return simulated_recordings(net, media)


@pytest.fixture
def people(recordings, net: ASTNet):
    return partial(rated_people, recordings, net)


def mean_ccc(found: dict[str, HeldOut]) -> float:
    return float(np.mean([one.mean_ccc() for one in found.values()]))


@pytest.mark.parametrize("seed", SEEDS)
def test_most_of_the_possible_gain_is_recovered_on_new_people(people, net, seed):
    rater = Rater()
    outcome = fit_ratings(people(rater, PEOPLE, SECONDS, seed), net, MAP)
    assert outcome.net and outcome.gain and outcome.gain.claimed
    assert outcome.delay.seconds == pytest.approx(rater.delay, abs=0.2)
    fresh = people(rater, 12, SECONDS, 1000 + seed)
    before, after = (held_out(one, fresh, rater.delay) for one in (net, outcome.net))
    possible = {name: replace(one, affect=rater.map(one.affect)) for name, one in before.items()}
    assert mean_ccc(after) - mean_ccc(before) > 0.8 * (mean_ccc(possible) - mean_ccc(before))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_gain_is_claimed_where_there_is_none(people, net, seed):
    """Not with ratings that agree with the network, nor with ratings that have nothing to do with the face."""
    agreeing = people(Rater(scale=(1, 1), offset=(0, 0)), PEOPLE, SECONDS, seed)
    unrelated = [
        RatedFace(replace(face.recording, labels=other.recording.labels), face.sequence)
        for face, other in zip(agreeing, agreeing[1:] + agreeing[:1])
    ]
    for faces in (agreeing, unrelated):
        outcome = fit_ratings(faces, net, MAP)
        assert outcome.net is None and outcome.gain is None
        assert not outcome.stages[0].kept and outcome.stages[0].reason.startswith("not kept")


def test_the_lstm_is_kept_where_a_map_cannot_follow(people, net):
    """Raters of slow hands: their ratings follow the face with a time constant of 4 s."""
    faces = people(Rater(scale=(1, 1), offset=(0, 0), delay=0.0, noise=0.02, habit=0.02), PEOPLE, SECONDS, 5)
    slow = [RatedFace(replace(f.recording, labels=_smoothed(f.recording.labels, 4 * 25)), f.sequence) for f in faces]
    lstm = Stage("lstm", partial(fit_lstm, training=TemporalTraining(60, 12, 100, 20, learning_rate=1e-3)))
    outcome = fit_ratings(slow, net, (*MAP, lstm), delay=0.0, largest_folds=3)
    assert [stage.name for stage in outcome.stages if stage.kept][-1] == "lstm"
    assert outcome.gain and outcome.gain.mean > 0.05


def _smoothed(values: np.ndarray, constant: float) -> np.ndarray:
    smooth = values.copy()
    for index in range(1, len(values)):
        smooth[index] = smooth[index - 1] + (values[index] - smooth[index - 1]) / constant
    return smooth


def test_the_cnn_is_kept_where_its_features_say_too_little():
    """Chips of gratings whose direction is rated; a network that was never trained does not read it."""
    torch.manual_seed(3)
    small = ASTNet(NetworkConfig(widths=(8, 8), depths=(1, 1), attributes=8, hidden=8)).eval()
    before = state_digest(small)
    training = TemporalTraining(25, 4, 16, 5, learning_rate=1e-2, cnn_share=0.5)
    stage = Stage("cnn", partial(fit_cnn, training=training), trains_cnn=True)
    faces = [encoded(_grating(f"person {seed}", seed), small) for seed in range(5)]
    without = [replace(face, chips=None) for face in faces]
    assert fit_ratings(without, small, (stage,)).stages[0].reason == "not tried: the faces have no chips"
    outcome = fit_ratings(faces, small, (stage,), delay=0.0, largest_folds=3)
    assert outcome.net and outcome.gain and outcome.gain.claimed
    assert state_digest(outcome.net.cnn) != state_digest(small.cnn) and state_digest(small) == before
    parent, fitted = (held_out(net, [encoded(face, net) for face in faces], 0.0) for net in (small, outcome.net))
    assert mean_ccc(fitted) > mean_ccc(parent) + 0.2


def _grating(name: str, seed: int) -> RatedFace:
    valence = np.clip(np.cumsum(np.random.default_rng(seed).normal(0, 0.2, 40)), -0.9, 0.9)
    across, down = np.meshgrid(np.arange(48), np.arange(48))
    angle = (valence * np.pi / 2)[:, None, None]
    chips = (127 + 90 * np.sin(0.6 * (across * np.cos(angle) + down * np.sin(angle)))).astype(np.uint8)
    stamps = np.arange(40) * 0.2
    sequence = FaceSequence(stamps, chips, 40)
    ratings = np.stack([valence, -valence], axis=1)
    recording = Recording(name, "train", name, lambda: iter(()), (), stamps + 0.2, ratings)
    return RatedFace(recording, FaceSequence(stamps, np.zeros((40, 8), np.float32)), lambda: sequence)


def test_encoded_chips_are_averaged_within_a_step_as_features_are():
    small = ASTNet(NetworkConfig(widths=(8, 8), depths=(1, 1), attributes=8, hidden=8)).eval()
    face = encoded(_grating("anna", 0), small)
    (clip,) = step_clips(face.recording, face.sequence, 0.4)  # two frames in each
    expected = face.sequence.inputs.reshape(-1, 2, 8).mean(axis=1)
    np.testing.assert_allclose(clip.inputs, expected, atol=1e-6)


def test_stages_without_enough_data_are_not_tried(people, net):
    outcome = fit_ratings(people(Rater(), 3, 20.0, 0), net, (Stage("map", fit_map, 5, 2.0),))
    assert outcome.stages[0].reason.startswith("not tried: 3 people and 0.9 rated minutes, needs 5 and 2")


def test_a_map_is_folded_into_the_last_layer(people, net):
    fitted = OutputMap(torch.tensor([[0.5, 0.1], [-0.2, 1.5]]).double(), torch.tensor([0.3, -0.4]).double())
    face = people(Rater(), 1, 20.0, 0)[0]
    (before,), (after,) = (list(outputs_of(one, face)) for one in (net, with_output_map(net, fitted)))
    expected = torch.tanh(before.before_tanh @ fitted.matrix.T + fitted.offset)
    np.testing.assert_allclose(after.affect, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(after.sigma, before.sigma, atol=1e-6)


def test_confidence_is_calibrated_on_held_out_people(people, net):
    faces = people(Rater(noise=0.2), PEOPLE, SECONDS, 2)
    outcome = fit_ratings(faces, net, MAP)
    assert outcome.net
    found = held_out(outcome.net, faces, outcome.delay.seconds)
    near = {name: np.abs(one.affect - one.ratings) < 0.25 for name, one in found.items()}
    stated = np.concatenate([_within(one.sigma) for one in found.values()]).mean(axis=0)
    np.testing.assert_allclose(stated, np.concatenate(list(near.values())).mean(axis=0), atol=0.05)


def _within(sigma: np.ndarray) -> np.ndarray:
    return torch.erf(torch.from_numpy(0.25 / (sigma * np.sqrt(2)))).numpy()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_people_are_refused(people, net, count):
    faces = people(Rater(), count, 10.0, 0)
    with pytest.raises(DataError, match=rf"ratings of {count} people .*at least 3"):
        fit_ratings(faces, net, MAP)


def test_constant_ratings_are_named(people, net):
    faces = people(Rater(scale=(0, 0), noise=0, habit=0), 3, 10.0, 0)
    with pytest.raises(DataError, match="the ratings never change"):
        fit_ratings(faces, net, MAP)


def test_a_delay_beyond_the_search_is_reported(people, net):
    assert fit_ratings(people(Rater(delay=3.0), 3, 40.0, 0), net, MAP, longest_delay=2.0).delay.at_limit


def test_people_with_several_recordings_are_held_out_as_one(people, net):
    faces = people(Rater(), 6, 30.0, 0)
    pairs = [replace(f, recording=replace(f.recording, person=f"person {i // 2}")) for i, f in enumerate(faces)]
    assert set(fit_ratings(pairs, net, MAP).before) == {"person 0", "person 1", "person 2"}


def test_folds_hold_every_person_out_once():
    assert list(folds_of("abc", 10)) == [("a",), ("b",), ("c",)]
    groups = list(folds_of("abcdefg", 3))
    assert len(groups) == 3 and sorted(sum(groups, ())) == list("abcdefg")


def test_the_interval_of_few_people_is_wider_than_the_bootstraps():
    low, high = interval_over_people([0.02, 0.03, 0.1])
    assert low < 0 < 0.1 < high
    assert interval_over_people([0.1])[0] == -np.inf
    many = np.random.default_rng(0).normal(0.1, 0.05, 60)
    np.testing.assert_allclose(
        interval_over_people(list(many)), many.mean() + np.array([-1, 1]) * 2.0 * many.std(ddof=1) / 60**0.5, atol=2e-3
    )


def test_a_gain_is_the_mean_over_dimensions_that_vary():
    ratings = np.stack([np.linspace(-1, 1, 50), np.zeros(50)], axis=1)
    sigma = np.full((50, 2), 0.1)
    before, after = ({"anna": HeldOut(ratings * scale, sigma, ratings)} for scale in (0.5, 1.0))
    expected = 1 - accuracy(ratings[:, 0] * 0.5, ratings[:, 0])["ccc"]
    assert gain_of(after, before).by_person == {"anna": pytest.approx(expected)}

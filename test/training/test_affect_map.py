"""The map from emotions to valence and arousal tells valence from arousal."""

import numpy as np
import torch

from ast_net_ros.model.config import EMOTIONS, NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.training.data.affect_map import FITTED_MAP, AffectMap
from ast_net_ros.training.data.simulation import face_targets

INDEX = {name: k for k, name in enumerate(EMOTIONS)}


def test_a_stronger_smile_is_more_pleasant():
    logits = np.zeros((20, 8))
    logits[:, INDEX["happiness"]] = np.linspace(6, 14, 20)
    valence, arousal = FITTED_MAP(logits).T
    assert (np.diff(valence) > 0).all() and (np.diff(arousal) > 0).all()
    assert valence[-1] - valence[0] > 0.1


def test_valence_and_arousal_are_told_apart():
    coordinates = {name: FITTED_MAP.coordinates[k] for name, k in INDEX.items()}
    assert coordinates["sadness"][1] < coordinates["neutral"][1] < coordinates["fear"][1]
    assert coordinates["anger"][1] > coordinates["neutral"][1], "anger is not calmer than rest"
    assert abs(coordinates["neutral"][0]) <= 0.05


def test_the_map_stays_in_range():
    assert np.abs(FITTED_MAP(np.random.default_rng(0).normal(0, 50, (200, 8)))).max() <= 1


def test_targets_keep_second_votes():
    torch.manual_seed(0)
    cnn = DiscreteEmotionCNN(NetworkConfig(widths=(8, 16), depths=(1, 1), attributes=8, hidden=4))
    features = torch.rand(1, 2, 8).expand(2, -1, -1)
    votes = np.zeros((2, 8), np.float32)
    votes[:, INDEX["neutral"]] = 1.0
    votes[1, INDEX["neutral"]], votes[1, INDEX["happiness"]] = 0.7, 0.3
    clear, mixed = face_targets(cnn, features, votes)
    assert mixed[0] > clear[0] + 0.05


def test_whole_votes_give_the_coordinates():
    plain = AffectMap(FITTED_MAP.coordinates)
    np.testing.assert_allclose(plain.of_weights(np.eye(8), np.zeros((8, 8))), FITTED_MAP.coordinates)

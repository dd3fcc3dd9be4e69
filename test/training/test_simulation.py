"""Simulated recordings: identity that stays, slow changes, and smiles that change nothing else."""

import cv2
import numpy as np
import pytest
import torch

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.faces import Faces
from ast_net_ros.training.data.recordings import split_by_person
from ast_net_ros.training.data.simulation import (
    SimulatedRecordings,
    Simulation,
    simulate_recordings,
    unexplained_variation,
)
from ast_net_ros.training.data.smile_pairs import SmileRecordings, smile_recordings, warp_between

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)


def _faces(seed: int = 0, count: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(count, 2, generator=generator) * 2 - 1
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    features = targets @ mixing + 0.5 * torch.randn(count, 6, generator=generator)
    return features.unsqueeze(1).repeat(1, 3, 1) + 0.01 * torch.randn(count, 3, 6, generator=generator), targets


def test_unexplained_variation_is_uncorrelated_with_labels():
    features, targets = _faces()
    own = unexplained_variation(features.mean(dim=1), targets)
    assert float(own.std()) == pytest.approx(0.5, abs=0.03)
    assert float(torch.corrcoef(torch.stack([own[:, 0], targets[:, 0]]))[0, 1]) == pytest.approx(0, abs=0.02)
    alone = unexplained_variation(features[:1].mean(dim=1), torch.zeros(1, 2))
    assert torch.isfinite(alone).all()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.8])
def test_identity_stays_as_far_as_the_share_says(share):
    """What the label does not explain correlates over a recording as the identity's share says, at equal strength."""
    features, targets = _faces()
    simulation = Simulation(identity_share=share, identity_seconds=1e6, stretch_seconds=0.4, miss_rate=0)
    batch = SimulatedRecordings(features, targets, simulation).sample(300, 120, torch.Generator().manual_seed(1))
    left = batch.inputs - batch.labels @ torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    early, late = left[:, :40].mean(dim=1).flatten(), left[:, 80:].mean(dim=1).flatten()
    correlation = float(torch.corrcoef(torch.stack([early, late]))[0, 1])
    low, high = {0.0: (-0.2, 0.2), 0.25: (0.5, 0.99), 0.8: (0.9, 1.0)}[share]
    assert low < correlation <= high


def test_two_views_share_the_person_and_the_misses():
    features, targets = _faces(count=100)
    features = features[:, :1] + 0.01 * torch.randn(100, 400, 6, generator=torch.Generator().manual_seed(0))
    recordings = SimulatedRecordings(features, targets, Simulation(miss_rate=0.5, held_share=0))
    batch = recordings.sample_two_views(8, 100, torch.Generator().manual_seed(0))
    first, second = batch.views()
    assert first.shape == second.shape == (8, 100, 6) and batch.labels.shape == (8, 100, 2)
    apart = (first - second).std()
    assert 0.003 < float(apart) < 0.03, "the versions of one face lie 0.01 around it"
    held = [(view[:, 1:] == view[:, :-1]).all(dim=-1) for view in (first, second)]
    assert held[0].any()
    # One version in 400 comes twice in a row by chance.
    assert float((held[0] == held[1]).float().mean()) > 0.98, "a miss is a miss in both views"


def test_simulated_features_are_never_negative():
    features, targets = _faces()
    positive = features.clamp(min=0)
    recordings = SimulatedRecordings(positive, targets, Simulation(identity_share=0.9))
    assert float(recordings.sample(20, 50, torch.Generator().manual_seed(0)).inputs.min()) >= 0


def test_slow_changes_are_held():
    features, targets = _faces()
    generator = torch.Generator().manual_seed(0)
    for share, low, high in ((0.0, 0.2, 0.45), (1.0, 0.9, 1.0)):
        recordings = SimulatedRecordings(features, targets, Simulation(held_share=share))
        versions = recordings.versions(50, 200, generator)
        assert versions.min() == 0 and versions.max() == 2
        assert low < float((versions[:, 1:] == versions[:, :-1]).float().mean()) < high


def test_a_warp_moves_only_what_moved():
    side = 192
    first = np.full((side, side), 90, np.uint8)
    cv2.circle(first, (40, 40), 12, 220, -1)
    second = first.copy()
    cv2.rectangle(first, (90, 140), (110, 150), 20, -1)
    cv2.rectangle(second, (90, 130), (110, 140), 20, -1)
    first, second = (cv2.GaussianBlur(p, (0, 0), 3) for p in (first, second))
    chips = warp_between(first, second, 5)
    assert chips.shape == (5, 48, 48)
    np.testing.assert_allclose(chips[0], cv2.resize(first, (48, 48), interpolation=cv2.INTER_AREA), atol=1)
    np.testing.assert_allclose(chips[4], cv2.resize(second, (48, 48), interpolation=cv2.INTER_AREA), atol=1)
    darkness = 95 - chips[:, 28:44, 25].clip(0, 95).astype(float)
    rows = (darkness * np.arange(28, 44)).sum(axis=1) / darkness.sum(axis=1)
    assert rows[0] > rows[2] > rows[4]
    assert chips[2, 6:14, 6:14].astype(int) == pytest.approx(chips[0, 6:14, 6:14].astype(int), abs=4)


def _write_pairs(folder, face, names):
    for name in names:
        for which in ("neutral", "smiling"):
            cv2.imwrite(str(folder / f"{name}_{which}.jpg"), face)
    return folder


def test_smile_pairs_are_split_by_person(tmp_path, face_image):
    torch.manual_seed(0)
    cnn = DiscreteEmotionCNN(SMALL)
    names = [f"{i:03d}" for i in range(40)]
    train = next(name for name in names if split_by_person(name) == "train")
    valid = next(name for name in names if split_by_person(name) == "valid")
    with pytest.raises(DataError, match="contains no NAME_neutral"):
        smile_recordings(cnn, tmp_path, "train", 2, 0)
    _write_pairs(tmp_path, face_image, [train, valid])
    recordings = smile_recordings(cnn, tmp_path, "train", 2, 0)
    assert recordings.features.shape[0] == 1 and recordings.features.shape[2:] == (2, 6)
    batch = recordings.sample(5, 60, torch.Generator().manual_seed(0))
    assert batch.inputs.shape == (5, 60, 6) and batch.labels.shape == (5, 60, 2)
    (tmp_path / f"{valid}_smiling.jpg").unlink()
    with pytest.raises(DataError, match=f"{valid}_smiling.jpg: missing"):
        smile_recordings(cnn, tmp_path, "valid", 2, 0)
    cv2.imwrite(str(tmp_path / f"{valid}_smiling.jpg"), np.full((64, 64, 3), 128, np.uint8))
    with pytest.raises(DataError, match="no pair for 'valid'"):
        smile_recordings(cnn, tmp_path, "valid", 2, 0)


def test_a_smile_and_its_label_rise_together():
    stages = torch.linspace(0, 1, 9).view(1, 9, 1, 1).expand(4, 9, 2, 6).contiguous()
    batch = SmileRecordings(stages, Simulation(miss_rate=0)).sample(30, 100, torch.Generator().manual_seed(0))
    valence, smile = batch.labels[..., 0], batch.inputs[..., 0]
    rest, broadest = float(valence[smile == 0].mean()), float(valence[smile == 1].mean())
    assert -0.1 < rest < 0.1 and 0.3 < broadest - rest < 0.6
    torch.testing.assert_close((valence - rest) / (broadest - rest), smile, atol=1e-3, rtol=0)


def test_cached_features_are_reused_until_something_changes(tmp_path):
    torch.manual_seed(0)
    cnn = DiscreteEmotionCNN(SMALL).eval()
    images = np.random.default_rng(0).integers(0, 255, (9, 48, 48), np.uint8)
    votes = np.tile(np.array([0, 10] + [0] * 8, np.uint8), (9, 1))
    faces = Faces(images, votes, np.zeros(9, bool), images, np.ones(9, bool))
    first = simulate_recordings(cnn, faces, 2, 1, cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:40])
    assert torch.equal(simulate_recordings(cnn, faces, 2, 1, cache=tmp_path).features, first.features)

    encoded = []
    cnn.register_forward_hook(lambda *_: encoded.append(1))
    assert torch.equal(simulate_recordings(cnn, faces, 2, 1, cache=tmp_path).features, first.features)
    assert not encoded
    for versions, seed in ((3, 1), (2, 2)):
        simulate_recordings(cnn, faces, versions, seed, cache=tmp_path)
        assert encoded
        encoded.clear()
    with torch.no_grad():
        cnn.attributes.bias.add_(1)
    assert not torch.equal(simulate_recordings(cnn, faces, 2, 1, cache=tmp_path).features, first.features)

"""The losses of stage 2, and that training on simulated recordings learns."""

import pytest
import torch

from ast_net_ros.model.config import AffectOutput, NetworkConfig
from ast_net_ros.model.network import StackedLSTM
from ast_net_ros.training.data.simulation import SimulatedRecordings, Simulation
from ast_net_ros.training.losses import concordance, consistency_loss, regression_loss
from ast_net_ros.training.stage2 import TemporalTraining, temporal_metrics, train_temporal

SMALL = NetworkConfig(attributes=6, hidden=16, layers=2)


def _recordings(seed: int = 0, simulation: Simulation | None = None) -> SimulatedRecordings:
    """Faces whose features are a noisy linear image of where they lie in the plane."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(3000, 2, generator=generator) * 2 - 1
    mixing = torch.randn(2, 6, generator=torch.Generator().manual_seed(99))
    features = (targets @ mixing).unsqueeze(1) + 0.5 * torch.randn(3000, 3, 6, generator=generator)
    return SimulatedRecordings(features, targets, simulation)


def test_concordance_by_its_definition():
    p = torch.randn(4, 50, 2, generator=torch.Generator().manual_seed(0))
    t = 0.5 * p + 0.3 * torch.randn(4, 50, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    x, y = p[..., 0].flatten().double(), t[..., 0].flatten().double()
    r = torch.corrcoef(torch.stack([x, y]))[0, 1]
    sx, sy = x.std(correction=0), y.std(correction=0)
    expected = 2 * r * sx * sy / (sx**2 + sy**2 + (x.mean() - y.mean()) ** 2)
    assert float(concordance(p, t)[0]) == pytest.approx(float(expected), abs=1e-5)
    assert concordance(t, t).tolist() == pytest.approx([1, 1])
    assert concordance(torch.zeros(2, 5, 2), t[:2, :5]).tolist() == pytest.approx([0, 0], abs=1e-5)


def test_the_best_sigma_is_the_size_of_the_errors():
    truth = torch.randn(8, 100, 2, generator=torch.Generator().manual_seed(0))
    affect = truth + 0.3 * torch.randn(8, 100, 2, generator=torch.Generator().manual_seed(1))
    losses = {
        s: float(regression_loss(AffectOutput(affect, torch.full_like(affect, s)), truth)) for s in (0.1, 0.3, 0.9)
    }
    assert min(losses, key=losses.__getitem__) == 0.3


def test_consistency_compares_the_same_moments():
    recording = torch.randn(2, 30, 2, generator=torch.Generator().manual_seed(0))
    for shift in (1, 7, 12):
        earlier, later = recording[:, : 30 - shift], recording[:, shift:]
        assert float(consistency_loss(earlier, later, shift, settle_steps=0)) == 0
        assert float(consistency_loss(earlier, later + 0.5, shift, settle_steps=2)) == pytest.approx(0.25)
    assert float(consistency_loss(recording[:, :25], recording[:, 5:], 4, settle_steps=0)) > 0.1


def test_consistency_leaves_out_settling_steps():
    earlier, later = torch.zeros(1, 20, 2), torch.zeros(1, 20, 2)
    later[:, :4] = 1.0
    assert float(consistency_loss(earlier, later, shift=5, settle_steps=4)) == 0
    assert float(consistency_loss(earlier, later, shift=5, settle_steps=3)) > 0


def test_clips_that_cannot_overlap_are_refused():
    with pytest.raises(ValueError, match="lengthen clip_steps"):
        TemporalTraining(clip_steps=50, largest_shift=45, settle_steps=5)


def test_simulated_features_match_their_labels():
    recordings = _recordings()
    batch, again = (recordings.sample(6, 80, torch.Generator().manual_seed(1)) for _ in range(2))
    features, labels = batch.inputs, batch.labels
    assert torch.equal(features, again.inputs)
    assert features.shape == (6, 80, 6) and labels.shape == (6, 80, 2)
    assert labels.abs().max() <= 1
    solution = torch.linalg.lstsq(features.flatten(0, 1), labels.flatten(0, 1)).solution
    left = (features.flatten(0, 1) @ solution - labels.flatten(0, 1)).square().mean()
    assert float(left) < 0.5 * float(labels.flatten(0, 1).var(dim=0).mean())


def test_calm_recordings_move_like_real_annotation():
    """Mean spread near 0.30, spread inside a recording near 0.14, correlation time between 8 and 30 s."""
    recordings = _recordings(simulation=Simulation(expressive_share=0.0))
    expected = recordings.trajectories(400, 1500, torch.Generator().manual_seed(0))
    assert float(expected.mean(dim=1).std()) == pytest.approx(0.30, abs=0.05)
    inside = expected - expected.mean(dim=1, keepdim=True)
    assert float(inside.std(dim=1).mean()) == pytest.approx(0.14, abs=0.02)
    for lag, low, high in ((round(8 / 0.2), 0.4, 1.0), (round(30 / 0.2), -0.5, 0.37)):
        correlation = (inside[:, lag:] * inside[:, :-lag]).mean() / inside.square().mean()
        assert low < float(correlation) < high


def test_missed_steps_repeat_earlier_features():
    recordings = _recordings(simulation=Simulation(miss_rate=1.0))
    features = torch.arange(40.0).view(1, 40, 1).expand(3, 40, 6)
    missed = recordings.miss(features, torch.Generator().manual_seed(0))
    repeated = missed[:, 1:] == missed[:, :-1]
    assert 0.1 < float(repeated.float().mean()) < 0.9
    assert (missed <= features).all(), "a miss must not show the future"


def test_training_learns_and_is_repeatable():
    training = TemporalTraining(iterations=60, batch=16, clip_steps=40, largest_shift=10, learning_rate=1e-2)
    model = train_temporal(_recordings().sample, SMALL, training)
    metrics = temporal_metrics(model, _recordings(7).sample, count=40, steps=60)
    torch.manual_seed(0)
    untrained = temporal_metrics(StackedLSTM(SMALL), _recordings(7).sample, count=40, steps=60)
    assert metrics["ccc_valence"] > 0.6 > untrained["ccc_valence"]
    again = train_temporal(_recordings().sample, SMALL, training)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0)

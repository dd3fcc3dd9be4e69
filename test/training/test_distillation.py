"""Distillation, mixup, and starting a narrow CNN from a wide one."""

import numpy as np
import pytest
import torch

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet, DiscreteEmotionCNN, save_weights, standardise
from ast_net_ros.training.data.faces import Faces
from ast_net_ros.training.stage1 import AttributeTraining, train_attributes
from ast_net_ros.training.transfer.distillation import mixup, teacher_probabilities
from ast_net_ros.training.transfer.warm_start import init_from_checkpoint, narrow_cnn

WIDE = NetworkConfig(widths=(8, 16), depths=(2, 1), attributes=8, hidden=4)


def random_faces(count=24, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 255, (count, 48, 48), dtype=np.uint8)
    votes = np.zeros((count, 10), np.uint8)
    votes[np.arange(count), generator.integers(0, 8, count)] = 10
    return Faces(images, votes, np.zeros(count, bool), images, np.ones(count, bool))


def trained_like(sizes, seed=0):
    """A CNN whose normalisations differ from channel to channel, as those of a trained one do."""
    torch.manual_seed(seed)
    cnn = DiscreteEmotionCNN(sizes)
    for name, parameter in cnn.named_parameters():
        if "norm.weight" in name or "shortcut.2.weight" in name:
            parameter.data.uniform_(0.5, 1.5)
    return cnn.eval()


def taught(teachers, chips, seed):
    return teacher_probabilities(teachers, chips, torch.Generator().manual_seed(seed))


def test_a_teacher_sees_chips_or_their_mirror_images():
    teacher, chips = trained_like(WIDE), torch.rand(6, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 255
    teacher.emotions.weight.data *= 50  # so that an untrained network tells mirror images apart
    with torch.no_grad():
        plain, mirrored = (teacher(view)[1].softmax(dim=1) for view in (chips, chips.flip(3)))
    assert (plain - mirrored).abs().max() > 0.001
    seen = [torch.equal(taught([teacher], chips, seed), plain) for seed in range(20)]
    assert 4 <= sum(seen) <= 16
    for seed, is_plain in enumerate(seen):
        torch.testing.assert_close(taught([teacher], chips, seed), plain if is_plain else mirrored)


def test_several_teachers_are_averaged():
    chips = torch.rand(6, 1, 48, 48) * 255
    chips = torch.lerp(chips, chips.flip(3), 0.5)  # symmetric, so that mirroring does not matter
    teachers = [trained_like(WIDE, seed) for seed in (1, 2)]
    apart = [taught([teacher], chips, seed=0) for teacher in teachers]
    assert (apart[0] - apart[1]).abs().max() > 0.01
    torch.testing.assert_close(taught(teachers, chips, seed=0), (apart[0] + apart[1]) / 2, atol=1e-5, rtol=1e-4)


def test_mixup_blends_targets_as_it_blends_faces():
    generator = torch.Generator().manual_seed(0)
    chips, targets = torch.rand(6, 1, 8, 8) * 255, torch.eye(8)[:6]
    blended, wanted = mixup(chips, targets, 1.0, generator)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(6))
    even = standardise(chips)
    for row in range(6):
        expected = sum(float(share) * even[index] for index, share in enumerate(wanted[row, :6]))
        torch.testing.assert_close(blended[row] / 64, expected, atol=1e-4, rtol=1e-4)


def test_a_cnn_at_its_own_width_is_copied_exactly():
    cnn = trained_like(WIDE)
    sizes, copy = narrow_cnn(cnn, WIDE, WIDE.widths)
    assert sizes == WIDE
    chips = torch.rand(3, 1, 48, 48) * 255
    torch.testing.assert_close(copy.eval()(chips), cnn(chips), atol=0, rtol=0)


def test_channels_without_influence_are_dropped_without_harm():
    cnn = trained_like(WIDE)
    block, dead = cnn.blocks[2], torch.tensor([3, 7, 11, 12])
    for norm in (block.second_norm, block.shortcut[2]):
        norm.weight.data[dead] = norm.bias.data[dead] = 0.0
    cnn.attributes.weight.data[:, dead] = 0.0
    inner = block.first_norm
    inner.weight.data[dead] = inner.bias.data[dead] = 0.0
    block.attention.excite.weight.data.zero_()  # the squeeze is narrower too, so it must not matter
    sizes, narrow = narrow_cnn(cnn, WIDE, (8, 12))
    assert sizes.widths == (8, 12)
    chips = torch.rand(3, 1, 48, 48) * 255
    torch.testing.assert_close(narrow.eval()(chips), cnn(chips), atol=1e-5, rtol=1e-4)


def test_a_narrower_cnn_starts_from_a_wide_file(tmp_path):
    net = ASTNet(WIDE)
    save_weights(net, tmp_path / "wide.safetensors", "for a test")
    wanted = NetworkConfig(widths=(8, 12), depths=(1, 1), attributes=8, hidden=4)
    started = init_from_checkpoint(tmp_path / "wide.safetensors", wanted)
    torch.testing.assert_close(started.stem.weight, net.cnn.stem.weight, atol=0, rtol=0)
    torch.testing.assert_close(started.emotions.weight, net.cnn.emotions.weight, atol=0, rtol=0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_student_follows_its_teacher_where_it_is_asked_to(tmp_path, share):
    torch.set_num_threads(1)
    happy, surprised, teacher = random_faces(), random_faces(seed=1), trained_like(WIDE, seed=3)
    happy.votes[:], surprised.votes[:] = 10 * np.eye(10, dtype=np.uint8)[1], 10 * np.eye(10, dtype=np.uint8)[2]
    teacher.emotions.weight.data.zero_()
    teacher.emotions.bias.data = torch.tensor([0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0])  # always surprise
    training = AttributeTraining(epochs=8, batch=8, learning_rate=0.1, average_decay=0.5, teacher_share=share)
    best = train_attributes(happy, surprised, tmp_path, training, WIDE, teachers=[teacher])
    assert (best > 0.9) == (share == 1.0)

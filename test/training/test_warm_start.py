"""A CNN that starts from stored weights takes over what fits."""

import pytest
import torch
from click.testing import CliRunner

from ast_net_ros.cli import ast_net
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import ASTNet, DiscreteEmotionCNN, save_weights
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.commands import train_attributes_command
from ast_net_ros.training.transfer.warm_start import init_from_checkpoint, load_any_cnn

SMALL = NetworkConfig(widths=(8, 16), depths=(2, 1), attributes=8, hidden=4)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    torch.manual_seed(0)
    net = ASTNet(SMALL)
    path = tmp_path_factory.mktemp("weights") / "ast_net.safetensors"
    save_weights(net, path, "for a test")
    return path, net.cnn.eval()


def test_a_cnn_of_the_same_sizes_equals_the_stored_one(stored):
    path, cnn = stored
    started = init_from_checkpoint(path, SMALL).eval()
    chips = torch.rand(3, 1, 48, 48) * 255
    torch.testing.assert_close(started(chips), cnn(chips), atol=0, rtol=0)
    assert load_any_cnn(path)[0] == SMALL


def test_a_larger_cnn_keeps_the_first_blocks_of_each_stage(stored):
    path, cnn = stored
    expected = NetworkConfig(widths=(8, 16, 24), depths=(1, 2, 1), attributes=8, hidden=4)
    fresh = DiscreteEmotionCNN(expected).state_dict()
    started = init_from_checkpoint(path, expected).state_dict()
    taken = {"stem.weight": "stem.weight", "blocks.0.first.weight": "blocks.0.first.weight"}
    taken["blocks.1.second.weight"] = "blocks.2.second.weight"  # the second stage begins a block earlier
    taken["emotions.weight"] = "emotions.weight"
    for ours, theirs in taken.items():
        torch.testing.assert_close(started[ours], cnn.state_dict()[theirs], atol=0, rtol=0)
    assert started["attributes.weight"].shape == fresh["attributes.weight"].shape == (8, 24)


def test_another_stem_is_refused(stored):
    path, _ = stored
    with pytest.raises(DataError, match=r"stem of 8 channels; the network to train has 48 and 12"):
        init_from_checkpoint(path, NetworkConfig(widths=(12, 16), depths=(1, 1), attributes=8, hidden=4))


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"notes\.safetensors"):
        load_any_cnn(path)


def test_widths_that_are_not_numbers_are_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"")
    arguments = ["--train", tmp_path / "x.npz", "--valid", tmp_path / "x.npz", "--output", tmp_path / "out"]
    result = CliRunner().invoke(train_attributes_command, [*map(str, arguments), "--widths", "32,x"])
    assert result.exit_code == 2
    assert "'32,x': expected whole numbers" in result.output


def test_former_option_names_are_accepted_with_a_warning(stored, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"")
    arguments = ["--train", tmp_path / "x.npz", "--valid", tmp_path / "x.npz", "--output", tmp_path / "out"]
    for former in (["--start-from", str(stored[0])], [f"--start-from={stored[0]}"]):
        given = ["train-attributes", *map(str, arguments), *former, "--widths", "12,16,16,16"]
        result = CliRunner().invoke(ast_net, given)
        assert "--start-from is now --init-from" in result.output
        assert "stem of 8 channels" in str(result.exception), "the weights are read"

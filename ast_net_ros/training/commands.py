"""The training commands of `ast_net`: thin entry points over the modules beside this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.training.options import (
    FILE,
    FILE_OR_FOLDER,
    FOLDER,
    cache_option,
    clip_options,
    cnn_option,
    label_delay_option,
    taken,
    training_device_option,
    versions_option,
)

if TYPE_CHECKING:
    import torch

    from ast_net_ros.model.network import ASTNet
    from ast_net_ros.training.stage2 import ClipSampler

PRECISIONS = ("float32", "bfloat16")
_PART = "Of data that has parts: fer2013.csv, or a folder with train, valid and test."


def _sizes(option: str, text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise click.BadParameter(
            f"{text!r}: wanted whole numbers from 1 with commas between, as 32,64,160", None, None, option
        )
    return sizes


@click.command("train-attributes")
@click.option(
    "--train",
    "train_path",
    type=FILE_OR_FOLDER,
    required=True,
    help="Faces to learn from: .npz with FER+ votes, fer2013.csv with fer2013new.csv beside it, or a folder a class.",
)
@click.option(
    "--valid", "valid_path", type=FILE_OR_FOLDER, required=True, help="Faces to choose the best epoch by, likewise."
)
@click.option(
    "--output", type=FOLDER, required=True, help="Folder for cnn.safetensors, epochs.csv and the run's state."
)
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True)
@click.option("--widths", default="32,64,160,256", show_default=True, help="Channels of each stage of the CNN.")
@click.option("--depths", default="1,2,2,2", show_default=True, help="Residual blocks of each stage.")
@click.option("--init-from", type=FILE, help="Weights to begin with: cnn.safetensors or ast_net.safetensors.")
@click.option(
    "--final-strength",
    type=click.FloatRange(0, 1),
    default=0.4,
    show_default=True,
    help="Of the augmentation in the last epoch; it begins with 1.",
)
@click.option(
    "--rare-exponent",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="How much more often faces of rare emotions are shown; 0: not.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="bfloat16: convolutions in fewer bits, quicker where the processor computes in them.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@training_device_option
def train_attributes_command(train_path: Path, valid_path: Path, output: Path, device: str, **given: Any) -> None:
    """Stage 1: train the discrete-emotion CNN. A run that was interrupted goes on where it stopped."""
    from ast_net_ros.model.network import NetworkConfig
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.stage1 import AttributeTraining, train_attributes
    from ast_net_ros.training.warm_start import init_from_checkpoint

    network = NetworkConfig(widths=_sizes("--widths", given["widths"]), depths=_sizes("--depths", given["depths"]))
    if len(network.widths) != len(network.depths):
        raise click.BadParameter(
            f"{given['widths']!r} are {len(network.widths)} stages, {given['depths']!r} {len(network.depths)}"
        )
    start = init_from_checkpoint(given["start_from"], network) if given["start_from"] else None
    train, valid = (
        open_faces(path, part, output, click.echo) for path, part in ((train_path, "train"), (valid_path, "valid"))
    )
    click.echo(
        f"face found in {train.found.mean():.1%} of {len(train)} training and {valid.found.mean():.1%} of {len(valid)}"
    )
    best = train_attributes(train, valid, output, taken(AttributeTraining, given), network, device, start)
    click.echo(f"best FER+ accuracy {best:.4f}: {output / 'cnn.safetensors'}")


@click.command("evaluate-attributes")
@click.option("--data", type=FILE_OR_FOLDER, required=True, help="Labelled faces, as for train-attributes.")
@click.option("--part", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True, help=_PART)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON file of figures.")
@click.option("--weights", type=FILE, help="Weights to evaluate; the packaged ones if left out.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--mirrored", is_flag=True, help="Judge each face together with its mirror picture; the node does not.")
@click.option("--invariance", is_flag=True, help="Also measure what turning, shifting, blur and light change.")
@click.option("--pairs", type=FOLDER, help="Folder of NAME_neutral.jpg and NAME_smiling.jpg: whose valence rises.")
def evaluate_attributes_command(
    data: Path,
    part: str,
    output: Path,
    weights: Path | None,
    device: str,
    mirrored: bool,
    invariance: bool,
    pairs: Path | None,
) -> None:
    """Accuracy, macro F1, confusion and calibration of the discrete emotions on labelled faces."""
    from ast_net_ros.model import load_model
    from ast_net_ros.training.attribute_metrics import archive_figures, invariance_figures, paired_figures
    from ast_net_ros.training.data.face_sources import open_faces

    model = load_model(weights, device)
    faces = open_faces(data, part, tell=click.echo)
    figures = archive_figures(model, faces, mirrored)
    if invariance:
        figures["invariance"] = invariance_figures(model, faces)
    if pairs:
        figures["pairs"] = paired_figures(model, pairs)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n")
    for name in ("with_duplicates", "without_duplicates"):
        f = figures[name]
        if f["count"]:
            click.echo(
                f"{name.replace('_', ' ')}: {f['count']} faces, accuracy {f['accuracy']:.4f} (7 classes "
                f"{f['accuracy_7']}), macro F1 {f['macro_f1']:.4f}, calibration error {f['calibration_error']:.4f}"
            )
    if pairs:
        click.echo(f"smile above neutral: {figures['pairs']['smile_above_neutral']} of {figures['pairs']['people']}")
    click.echo(f"written: {output}")


@click.command("train-temporal")
@cnn_option
@click.option(
    "--data",
    multiple=True,
    metavar="NAME:PATH",
    help="Labelled recordings: avec2012:FOLDER, afew-va:FOLDER, aff-wild2:FOLDER or manifest:FILE.csv. Repeatable.",
)
@click.option("--train", type=FILE_OR_FOLDER, help="Faces of simulated recordings (as for train-attributes).")
@click.option("--valid", type=FILE_OR_FOLDER, help="Faces of other people, for the figures of the simulation.")
@click.option(
    "--pairs", type=FOLDER, help="Also simulate smiles from a folder of NAME_neutral.jpg and NAME_smiling.jpg."
)
@click.option("--output", type=FOLDER, required=True, help="Folder for ast_net.safetensors, figures, run state.")
@cache_option
@label_delay_option
@clip_options
@click.option(
    "--settle-steps", type=click.IntRange(0), default=5, show_default=True, help="Before clips must consistency."
)
@click.option(
    "--consistency", type=click.FloatRange(0), default=1.0, show_default=True, help="Weight of the Siamese term."
)
@click.option(
    "--independent-augmentation",
    is_flag=True,
    help="Each clip of a simulated recording has jitter, light, blur of its own.",
)
@click.option(
    "--branch-noise", type=click.FloatRange(0), default=0.0, show_default=True, help="Of each clip, relative."
)
@click.option(
    "--fine-tune",
    "cnn_share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Train the CNN along, at this share of the learning rate (--data alone); 0 keeps it frozen.",
)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=2e-3, show_default=True)
@versions_option
@click.option("--seed", type=int, default=1, show_default=True)
@training_device_option
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="Processes on this machine.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")
@click.option("--description", default="trained by its user", show_default=True, help="Stored in the weights file.")
def train_temporal_command(cnn_path: Path, output: Path, device: str, **given: Any) -> None:
    """Stage 2: train the stacked LSTM as a Siamese network on shifted clips of real or simulated recordings.

    Give --data, or --train and --valid, or both. A run that was interrupted goes on where it stopped.
    """

    from ast_net_ros.model.network import ASTNet
    from ast_net_ros.training.data.sources import Sources, open_sources
    from ast_net_ros.training.engine import start_engine
    from ast_net_ros.training.fine_tuning import fine_tune
    from ast_net_ros.training.stage1 import load_cnn
    from ast_net_ros.training.stage2 import CNNFile, TemporalTraining, check_run, train_temporal

    training = taken(TemporalTraining, given)
    cache, chips = given["cache"] or output / "features", training.cnn_share > 0
    sources = taken(Sources, given | {"cache": cache, "chips": chips})
    network, cnn = load_cnn(cnn_path)
    cnn_file = CNNFile.of(cnn_path)
    engine = start_engine(given["devices"], given["nodes"], device)
    check_run(output, network, training, engine, cnn_file)
    if engine.rank:
        engine.wait()  # the first process fills the caches that the others read
    cnn.to(engine.device)
    drawn = open_sources(sources, cnn, network, output, click.echo if engine.rank == 0 else lambda _: None)
    if not engine.rank:
        engine.wait()
    trained: torch.nn.Module
    if training.cnn_share:
        whole = fine_tune(cnn, drawn.train, network, training, output, drawn.valid, engine, cnn_file)
        trained, cnn, temporal = whole, whole.cnn, whole.temporal
    else:
        trained = temporal = train_temporal(drawn.train, network, training, output, drawn.valid, engine, cnn_file)
    if engine.rank:
        return
    net = ASTNet(network)
    net.cnn, net.temporal = cnn, temporal
    _finish(net, trained, drawn.valid, output, given["description"])


def _finish(net: ASTNet, trained: torch.nn.Module, valid: ClipSampler | None, output: Path, description: str) -> None:
    """Fits the confidence to held-out people where there are any, and writes weights and figures.

    trained: what is called with what `valid` draws: the LSTM, or the CNN and the LSTM as one.
    """
    from ast_net_ros.model.weights import save_weights
    from ast_net_ros.training.calibration import calibrate_sigma
    from ast_net_ros.training.stage2 import temporal_metrics

    figures = {}
    if valid:
        calibrate_sigma(net.temporal, valid, trained)
        figures = temporal_metrics(trained, valid)
    info = save_weights(net.cpu(), output / "ast_net.safetensors", description)
    (output / "figures.json").write_text(json.dumps({**figures, "weights_sha256": info.sha256}, indent=2) + "\n")
    click.echo(f"on held-out people: {figures or 'nobody was held out'}\nwritten: {info.path}")

"""The training commands of `ast_net`; heavy modules are imported only when a command runs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ast_net_ros.settings import from_values
from ast_net_ros.training.options import (
    FILE,
    FILE_OR_FOLDER,
    FOLDER,
    SHOW_DEFAULTS,
    cache_option,
    clip_options,
    cnn_option,
    label_delay_option,
    training_device_option,
    versions_option,
)

if TYPE_CHECKING:
    import torch

_DATA = "avec2012:FOLDER, afew-va:FOLDER, aff-wild2:FOLDER or manifest:FILE.csv"
_SHARE, _NUMBER = click.FloatRange(0, 1), click.IntRange(0)
_FACES = ".npz with FER+ votes, fer2013.csv with fer2013new.csv beside it, or a folder per class"
_PART = "Part to evaluate, if the data has parts (fer2013.csv, or a folder with train, valid and test)."
_FINE_TUNE = "Also train the CNN, at this share of the learning rate (with --data only); 0 keeps it frozen."
_SMILE_PAIRS = "Folder of NAME_neutral.jpg and NAME_smiling.jpg"

_command = partial(click.command, context_settings=SHOW_DEFAULTS)


def _sizes(option: str, text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        message = f"{text!r}: expected whole numbers of at least 1, separated by commas, such as 32,64,160"
        raise click.BadParameter(message, param_hint=option)
    return sizes


@_command("train-attributes")
@click.option("--train", "train_path", type=FILE_OR_FOLDER, required=True, help=f"Faces to train on: {_FACES}.")
@click.option("--valid", "valid_path", type=FILE_OR_FOLDER, required=True, help="Faces for selecting the best epoch.")
@click.option("--output", type=FOLDER, required=True, help="Folder for cnn.safetensors, epochs.csv and the checkpoint.")
@click.option("--epochs", type=click.IntRange(1), default=30)
@click.option("--batch", type=click.IntRange(1), default=128)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.1)
@click.option("--widths", default="32,64,160,256", help="Channels of each stage of the CNN.")
@click.option("--depths", default="1,2,2,2", help="Residual blocks of each stage.")
@click.option("--init-from", type=FILE, help="Weights to start from: cnn.safetensors or ast_net.safetensors.")
@click.option(
    "--teacher", "teacher_paths", type=FILE, multiple=True, help="Weights to distil from; repeatable, averaged."
)
@click.option(
    "--teacher-share", type=click.FloatRange(0, 1), default=0.5, help="Weight of the teachers in the targets."
)
@click.option("--mixup-share", type=click.FloatRange(0, 1), default=0.0, help="Share of the batches with mixup.")
@click.option(
    "--final-strength", type=_SHARE, default=0.4, help="Strength of the augmentation at the end; it starts at 1."
)
@click.option("--rare-exponent", type=_SHARE, default=0.25, help="Sample rare emotions more often; 0: uniformly.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="bfloat16 is faster on some CPUs.",
)
@click.option("--seed", default=1)
@training_device_option
def train_attributes_command(train_path: Path, valid_path: Path, output: Path, device: str, **given: Any) -> None:
    """Stage 1: train the discrete-emotion CNN. An interrupted run is resumed."""
    from ast_net_ros.model.config import NetworkConfig
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.stage1 import AttributeTraining, train_attributes
    from ast_net_ros.training.transfer.warm_start import init_from_checkpoint, load_any_cnn

    network = NetworkConfig(widths=_sizes("--widths", given["widths"]), depths=_sizes("--depths", given["depths"]))
    stages, depths = len(network.widths), len(network.depths)
    if stages != depths:
        raise click.BadParameter(f"--widths has {stages} stages and --depths {depths}; both need the same number")
    initial_cnn = init_from_checkpoint(given["init_from"], network) if given["init_from"] else None
    teachers = [load_any_cnn(path)[1] for path in given["teacher_paths"]]
    train, valid = (
        open_faces(path, part, output, click.echo) for path, part in ((train_path, "train"), (valid_path, "valid"))
    )
    click.echo(
        f"face found in {train.found.mean():.1%} of {len(train)} training and {valid.found.mean():.1%} of {len(valid)}"
    )
    training = from_values(AttributeTraining, given)
    best = train_attributes(train, valid, output, training, network, device, initial_cnn, teachers)
    click.echo(f"best FER+ accuracy {best:.4f}: {output / 'cnn.safetensors'}")


@_command("evaluate-attributes")
@click.option("--data", type=FILE_OR_FOLDER, required=True, help=f"Labelled faces: {_FACES}.")
@click.option("--part", type=click.Choice(["train", "valid", "test"]), default="valid", help=_PART)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON of the metrics.")
@click.option("--weights", type=FILE, help="Weights to evaluate.  [default: those of the package]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--mirrored", is_flag=True, help="Average each face with its mirror image; the node does not.")
@click.option("--invariance", is_flag=True, help="Also measure the effect of rotation, shift, blur and light.")
@click.option("--smile-pairs", type=FOLDER, help=f"Also measure whose valence rises with a smile. {_SMILE_PAIRS}.")
def evaluate_attributes_command(data: Path, output: Path, smile_pairs: Path | None, **given: Any) -> None:
    """Measure accuracy, macro F1, confusion and calibration of the discrete emotions on labelled faces."""
    from ast_net_ros.model import load_model
    from ast_net_ros.training.attribute_metrics import face_metrics, invariance_metrics
    from ast_net_ros.training.data.face_sources import open_faces
    from ast_net_ros.training.smile_metrics import smile_grading_metrics, smile_pair_metrics

    model = load_model(given["weights"], given["device"])
    faces = open_faces(data, given["part"], log=click.echo)
    metrics = face_metrics(model, faces, given["mirrored"])
    if given["invariance"]:
        metrics["invariance"] = invariance_metrics(model, faces)
    if smile_pairs:
        metrics["smile_pairs"] = smile_pair_metrics(model, smile_pairs) | smile_grading_metrics(model, smile_pairs)
    _write_json(output, metrics)
    for name in ("with_duplicates", "without_duplicates"):
        m = metrics[name]
        if m["count"]:
            click.echo(
                f"{name.replace('_', ' ')}: {m['count']} faces, accuracy {m['accuracy']:.4f} (7 classes "
                f"{m['accuracy_7']}), macro F1 {m['macro_f1']:.4f}, calibration error {m['calibration_error']:.4f}"
            )
    if smile_pairs:
        m = metrics["smile_pairs"]
        click.echo(
            f"smile above neutral: {m['smile_above_neutral']} of {m['people']}, valence rises with every step of the "
            f"smile in {m['graded']['rising_share']:.0%} of them"
        )
    click.echo(f"written: {output}")


@_command("train-temporal")
@cnn_option
@click.option("--data", multiple=True, metavar="NAME:PATH", help=f"Labelled recordings: {_DATA}. Repeatable.")
@click.option("--train", type=FILE_OR_FOLDER, help="Faces to simulate recordings from (as for train-attributes).")
@click.option("--valid", type=FILE_OR_FOLDER, help="Faces of other people, for the metrics.")
@click.option("--smile-pairs", type=FOLDER, help=f"Also simulate smiles. {_SMILE_PAIRS}.")
@click.option("--label-statistics", type=FILE, help="label_statistics.json of `ast_net agree`, for the simulation.")
@click.option("--output", type=FOLDER, required=True, help="Folder for ast_net.safetensors, metrics and checkpoint.")
@cache_option
@label_delay_option
@clip_options
@click.option("--settle-steps", type=_NUMBER, default=5, help="Steps at the start of a clip without the Siamese term.")
@click.option("--consistency", type=click.FloatRange(0), default=1.0, help="Weight of the Siamese term.")
@click.option("--independent-augmentation", is_flag=True, help="Augment the clips of both branches independently.")
@click.option("--branch-noise", type=click.FloatRange(0), default=0.0, help="Relative noise on each branch's features.")
@click.option("--fine-tune", "cnn_share", type=_SHARE, default=0.0, metavar="SHARE", help=_FINE_TUNE)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=2e-3)
@versions_option
@click.option("--seed", default=1)
@training_device_option
@click.option("--devices", type=click.IntRange(1), default=1, help="Number of processes on this machine.")
@click.option("--nodes", type=click.IntRange(1), default=1, help="Number of machines.")
@click.option("--description", default="trained by its user", help="Description to store in the weights file.")
def train_temporal_command(cnn_path: Path, output: Path, device: str, **given: Any) -> None:
    """Stage 2: train the stacked LSTM as a Siamese network on shifted clips of real or simulated recordings.

    Give --data, or --train and --valid, or both. An interrupted run is resumed.
    """
    from ast_net_ros.model.network import ASTNet, save_weights
    from ast_net_ros.training.calibration import calibrate_sigma
    from ast_net_ros.training.checkpoint import load_cnn, state_digest
    from ast_net_ros.training.data.sources import Sources, open_samplers
    from ast_net_ros.training.engine import start_engine
    from ast_net_ros.training.fine_tuning import fine_tune
    from ast_net_ros.training.stage2 import TemporalTraining, check_run, temporal_metrics, train_temporal

    training = from_values(TemporalTraining, given)
    cache, chips = given["cache"] or output / "features", training.cnn_share > 0
    sources = from_values(Sources, given | {"cache": cache, "chips": chips})
    network, cnn = load_cnn(cnn_path)
    digest = state_digest(cnn)
    engine = start_engine(given["devices"], given["nodes"], device)
    check_run(output, network, training, engine, digest)
    if engine.rank:
        engine.wait()  # the first process fills the caches that the others read
    cnn.to(engine.device)
    train, valid = open_samplers(sources, cnn, network, output, click.echo if engine.rank == 0 else lambda _: None)
    if not engine.rank:
        engine.wait()
    net = ASTNet(network)
    trained: torch.nn.Module  # called with the clips of `valid`: CNN and LSTM as one, or the LSTM
    if chips:
        trained = fine_tuned = fine_tune(cnn, train, network, training, output, valid, engine)
        net.cnn, net.temporal = fine_tuned.cnn, fine_tuned.temporal
    else:
        net.cnn = cnn
        trained = net.temporal = train_temporal(train, network, training, output, valid, engine, digest)
    if engine.rank:
        return
    metrics = {}
    if valid:
        calibrate_sigma(net.temporal, valid, trained)
        metrics = temporal_metrics(trained, valid)
    info = save_weights(net.cpu(), output / "ast_net.safetensors", given["description"])
    _write_json(output / "metrics.json", {**metrics, "weights_sha256": info.sha256})
    click.echo(f"on held-out people: {metrics or 'nobody was held out'}\nwritten: {info.path}")


def _write_json(path: Path, content: dict) -> None:
    from ast_net_ros.atomic_files import atomic_write

    atomic_write(path, json.dumps(content, indent=2) + "\n")

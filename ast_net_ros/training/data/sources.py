"""What a stage 2 training learns from and is checked on, as its command names it.

In: data sets, archives of faces, folders of smile pairs. Out: samplers of clips, of people to train on and of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ast_net_ros.label_statistics import read_label_statistics
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.network import DiscreteEmotionCNN
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.datasets import open_recordings
from ast_net_ros.training.data.face_sources import open_faces
from ast_net_ros.training.data.features import encode_recordings
from ast_net_ros.training.data.recordings import SPLITS, StepClip
from ast_net_ros.training.data.samplers import (
    ClipSampler,
    delayed_labels,
    independent_augmentation,
    mixture,
    recorded_clip_sampler,
)
from ast_net_ros.training.data.simulation import Simulation, measured_simulation, simulate_recordings
from ast_net_ros.training.data.smile_pairs import smile_recordings

SMILE_PAIRS_WEIGHT = 0.15
"""Weight of smile pairs in the mixture, where other simulated recordings and real ones have 1 each."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What to train on."""

    data: tuple[str, ...]  # data sets of real recordings, "NAME:PATH" each
    train: Path | None  # faces of simulated recordings
    valid: Path | None  # faces of other people
    smile_pairs: Path | None
    cache: Path  # folder of cached features
    label_delay: float = 0.0  # seconds by which raters lag
    versions: int = 4  # augmented ones of each simulated face
    seed: int = 1  # of their augmentation
    independent_augmentation: bool = False  # each branch sees jitter, light and blur of its own
    label_statistics: Path | None = None  # of real raters, for simulated recordings
    chips: bool = False  # real recordings give chips in place of features, for a CNN that is fine-tuned


def open_samplers(
    sources: Sources, cnn: DiscreteEmotionCNN, network: NetworkConfig, output: Path, log: Log = lambda _: None
) -> tuple[ClipSampler, ClipSampler | None]:
    """Read all sources; chips of archives are cached in `output`, and what is found or left out is logged.

    Returns:
        Clips to train on, and clips of people held out: of real recordings, or of simulated ones where there are none;
        None where nobody was held out.

    Raises:
        DataError: The sources do not fit each other, or nothing is left.
    """
    _check(sources)
    simulation, delays = _simulation(sources, network.step_seconds, log)
    train: list[tuple[ClipSampler, float]] = []
    valid: list[ClipSampler] = []
    if sources.data:
        encoder = None if sources.chips else cnn
        clips = recorded_clips(sources.data, encoder, network, sources.cache, sources.label_delay, log)
        if not clips["train"]:
            raise DataError("no recording to train on: none of the usable ones has the split 'train'")
        recorded = recorded_clip_sampler(clips["train"])
        if sources.chips and sources.independent_augmentation:
            recorded = independent_augmentation(recorded)
        train.append((recorded, 1.0))
        if clips["valid"]:
            valid.append(recorded_clip_sampler(clips["valid"]))
    if sources.train and sources.valid:
        seed = sources.seed
        faces = open_faces(sources.train, "train", output, log)
        simulated = simulate_recordings(cnn, faces, sources.versions, seed, simulation, sources.cache)
        sample = simulated.sample_two_views if sources.independent_augmentation else simulated.sample
        train.append((delayed_labels(sample, delays), 1.0))
        faces = open_faces(sources.valid, "valid", output, log)
        held_out = simulate_recordings(cnn, faces, 2, seed + 1, simulation, sources.cache, vote_share=1.0)
        valid.append(delayed_labels(held_out.sample, delays))
        if sources.smile_pairs:
            smiles = smile_recordings(cnn, sources.smile_pairs, "train", sources.versions, seed, simulation)
            log(f"smiles of {len(smiles.features)} people")
            train.append((delayed_labels(smiles.sample, delays), SMILE_PAIRS_WEIGHT))
    return mixture(train), valid[0] if valid else None


def _simulation(sources: Sources, step_seconds: float, log: Log) -> tuple[Simulation, tuple[int, ...]]:
    """Return how simulated recordings move, and the delays of their labels in model steps: by default none."""
    if sources.label_statistics is None:
        return Simulation(step_seconds=step_seconds), ()
    statistics = read_label_statistics(sources.label_statistics)
    left = [max(0.0, lag - sources.label_delay) for lag in statistics.reaction_lags]
    delays = tuple(round(lag / step_seconds) for lag in left)
    delayed = f"labels {min(left):.1f} to {max(left):.1f} s late" if left else "no reaction lags in the file"
    log(f"simulation: statistics of {statistics.recordings} recordings by {statistics.raters} raters; {delayed}")
    return measured_simulation(statistics, step_seconds), delays


def _check(sources: Sources) -> None:
    if not sources.data and not sources.train:
        raise DataError("nothing to train on: give --data NAME:PATH, or --train and --valid for simulated recordings")
    if bool(sources.train) != bool(sources.valid):
        raise DataError("simulated recordings need both --train and --valid, with faces of different people")
    if sources.smile_pairs and not sources.train:
        raise DataError("--smile-pairs adds to simulated recordings; give --train and --valid too")
    if sources.label_statistics and not sources.train:
        raise DataError("--label-statistics is for simulated recordings; give --train and --valid too")
    if sources.chips and sources.train:
        raise DataError("--fine-tune works with --data only: simulated recordings (--train) are made of features")


def recorded_clips(
    data: Sequence[str],
    cnn: DiscreteEmotionCNN | None,
    network: NetworkConfig,
    cache: Path,
    label_delay: float,
    log: Log = lambda _: None,
) -> dict[str, list[StepClip]]:
    """Read the real recordings of data sets ("NAME:PATH"): clips in model steps by split, of chips without a CNN."""
    clips: dict[str, list[StepClip]] = {split: [] for split in SPLITS}
    for name_and_path in data:
        opened = open_recordings(name_and_path)
        for split, found in encode_recordings(opened, cnn, network, cache, label_delay, log).items():
            clips[split] += found
    for split, found in clips.items():
        if found:
            minutes = sum(len(clip.inputs) for clip in found) * network.step_seconds / 60
            names = len({clip.recording for clip in found})
            log(f"{split}: {names} recordings, {len(found)} clips, {minutes:.1f} minutes")
    return clips

"""What a stage 2 training learns from and is watched on, as its command names it.

In: data sets, face archives and picture pairs. Out: what draws clips, of people to learn from and of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ast_net_ros.model.network import DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.training.data.datasets import open_recordings
from ast_net_ros.training.data.face_sources import open_faces
from ast_net_ros.training.data.faces import DataError
from ast_net_ros.training.data.features import clips_of
from ast_net_ros.training.data.mixture import mixture, same_look
from ast_net_ros.training.data.recorded_clips import RecordedClips
from ast_net_ros.training.data.recordings import StepClip
from ast_net_ros.training.data.simulation import Simulation, recordings_of
from ast_net_ros.training.data.smile_pairs import pair_recordings
from ast_net_ros.training.fine_tuning import independent_augmentation
from ast_net_ros.training.stage2 import ClipSampler

PAIRS_WEIGHT = 0.15
"""Of smiles from pairs, where other simulated recordings and real ones weigh 1 each."""


@dataclass(frozen=True)
class Sources:
    """data: "NAME:PATH" each. train, valid: faces of simulated recordings. pairs: folder of smiles. cache: of features.

    label_delay: seconds. versions: disturbed copies of each simulated face. independent_augmentation: each Siamese branch sees
    recordings with jitter, light and blur of its own, where a recording offers them: simulated ones, and chips.
    chips: recordings give chips in place of features, for a CNN that is trained along.
    """

    data: tuple[str, ...]
    train: Path | None
    valid: Path | None
    pairs: Path | None
    cache: Path
    label_delay: float = 0.0
    versions: int = 4
    seed: int = 1
    independent_augmentation: bool = False
    chips: bool = False


@dataclass(frozen=True)
class DrawnSources:
    """train: draws clips to learn from. valid: of other people; None where nobody was held out."""

    train: ClipSampler
    valid: ClipSampler | None


def open_sources(
    sources: Sources,
    cnn: DiscreteEmotionCNN,
    network: NetworkConfig,
    output: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> DrawnSources:
    """Read everything; `tell` hears what is found and what is left out. Raises DataError where nothing is left.

    Figures are taken on real recordings where there are any, else on simulated ones.
    """
    if not sources.data and not sources.train:
        raise DataError("nothing to learn from: give --data NAME:PATH, or --train and --valid for simulated recordings")
    if bool(sources.train) != bool(sources.valid):
        raise DataError("simulated recordings need both --train and --valid, with faces of different people")
    if sources.pairs and not sources.train:
        raise DataError("--pairs adds to simulated recordings; give --train and --valid too")
    if sources.chips and sources.train:
        raise DataError("a CNN is trained along on --data alone: simulated recordings (--train) are made of features")
    learnt: list[tuple[ClipSampler, float]] = []
    watched: list[tuple[ClipSampler, float]] = []
    if sources.data:
        clips = recorded_clips(sources, cnn, network, tell)
        if not clips["train"]:
            raise DataError("no recording to learn from: none of the usable ones has the split 'train'")
        draw = RecordedClips(clips["train"]).draw
        looks = independent_augmentation if sources.chips else same_look
        learnt.append((looks(draw) if sources.independent_augmentation else draw, 1.0))
        if clips["valid"]:
            watched.append((RecordedClips(clips["valid"]).draw, 1.0))
    if sources.train and sources.valid:
        simulation = Simulation(step_seconds=network.step_seconds)
        for path, part, drawn in ((sources.train, "train", learnt), (sources.valid, "valid", watched)):
            faces = open_faces(path, part, output, tell)
            versions, seed = (sources.versions, sources.seed) if part == "train" else (2, sources.seed + 1)
            recordings = recordings_of(cnn, faces, versions, seed, simulation, sources.cache)
            apart = sources.independent_augmentation and part == "train"
            drawn.append((recordings.sample_with_augmentation if apart else recordings.draw, 1.0))
        if sources.pairs:
            people = pair_recordings(cnn, sources.pairs, "train", sources.versions, sources.seed, simulation)
            tell(f"smiles of {len(people.features)} people")
            learnt.append((same_look(people.draw) if sources.independent_augmentation else people.draw, PAIRS_WEIGHT))
    return DrawnSources(mixture(learnt), watched[0][0] if watched else None)


def recorded_clips(
    sources: Sources, cnn: DiscreteEmotionCNN, network: NetworkConfig, tell: Callable[[str], None] = lambda _: None
) -> dict[str, list[StepClip]]:
    """The real recordings of all data sets in model steps, by split."""
    clips: dict[str, list[StepClip]] = {"train": [], "valid": [], "test": []}
    for which in sources.data:
        found = clips_of(
            open_recordings(which), None if sources.chips else cnn, network, sources.cache, sources.label_delay, tell
        )
        for split, those in found.items():
            clips[split] += those
    for split, those in clips.items():
        if those:
            minutes = sum(len(clip.features) for clip in those) * network.step_seconds / 60
            names = len({clip.recording for clip in those})
            tell(f"{split}: {names} recordings, {len(those)} unbroken clips, {minutes:.1f} minutes")
    return clips

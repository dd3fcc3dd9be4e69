"""The state of one face never reaches another, whatever the order, whoever comes and goes, and whatever fails.

People are textures in an image, and a script takes the detector's place; tracker, alignment, network and states are the
real ones (the network is small and untrained). The estimates of a face are compared with those that its chips give on
their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ast_net_ros.model.config import NetworkConfig, confidence
from ast_net_ros.model.inference import AffectModel, build_model
from ast_net_ros.model.network import ASTNet, weights_of
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.pipeline import AffectPipeline, FaceAffect, Frame, PipelineSettings
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import Detection

PLACES = [(70.0 + 170.0 * column, 80.0 + 160.0 * row) for row in range(2) for column in range(3)]
SIDE = 100
CANONICAL = np.array([[-0.17, -0.12], [0.17, -0.12], [0.0, 0.05], [-0.13, 0.2], [0.13, 0.2]], np.float32)
SOURCES = ("left", "right")
TIMEOUT = 1.0
HANDOVER = 0.7  # seconds: nobody takes another one's place faster than this


def _network() -> AffectModel:
    torch.manual_seed(5)
    config = NetworkConfig(widths=(8, 16), depths=(1, 1), attributes=16, hidden=8, layers=2)
    return build_model(weights_of(ASTNet(config)))


MODEL = _network()


def _texture(person: int) -> np.ndarray:
    """The appearance of a person: coarse random patches, so that edges differ from person to person."""
    random = np.random.default_rng(100 + person)
    coarse = random.integers(0, 256, (6, 6), dtype=np.uint8)
    return np.kron(coarse, np.ones((SIDE // 6 + 1, SIDE // 6 + 1), np.uint8))[:SIDE, :SIDE]


TEXTURES = [_texture(person) for person in range(4)]


@dataclass(frozen=True)
class Moment:
    """One frame of one camera. people: (person, place, brightness) in the order in which they are detected; of those
    who stand at one place only the first is seen. fails: whether the network raises on this frame."""

    source: str
    step: float
    people: tuple[tuple[int, int, int], ...]
    fails: bool


class ScriptedDetector:
    """Finds who stands where, in the order of the script."""

    score_threshold = 0.7

    def __init__(self) -> None:
        self.found: list[Detection] = []

    def detect(self, image_bgr: np.ndarray, score_threshold: float = 0.7, input_size: int = 320) -> list[Detection]:
        return self.found


class FaultError(RuntimeError):
    """Raised inside the network where the script says so."""


def _seen(moment: Moment, stamp: float, last: dict[tuple[str, int], tuple[int, float]]) -> list[tuple[int, int, int]]:
    """Merged people are one face: the one in front, who takes a place only some time after another one has left it.

    last: who was at a place of a camera, and when; taken on.
    """
    seen: dict[int, tuple[int, int, int]] = {}
    for person, place, light in moment.people:
        before, when = last.get((moment.source, place), (person, stamp))
        if person == before or stamp - when > HANDOVER:
            seen.setdefault(place, (person, place, light))
    last.update({(moment.source, place): (person, stamp) for person, place, _ in seen.values()})
    return list(seen.values())


def _detection(place: int) -> Detection:
    x, y = PLACES[place]
    box = (x - SIDE / 2, y - SIDE / 2, float(SIDE), float(SIDE))
    return Detection(box, (CANONICAL * SIDE + np.array([x, y], np.float32)).astype(np.float32), 0.99)


def _image(seen: list[tuple[int, int, int]]) -> np.ndarray:
    image = np.full((340, 480, 3), 90, np.uint8)
    for person, place, light in seen:
        x, y = (round(c - SIDE / 2) for c in PLACES[place])
        patch = np.clip(TEXTURES[person].astype(int) * (60 + light) // 100, 0, 255).astype(np.uint8)
        image[y : y + SIDE, x : x + SIDE] = patch[:, :, None]
    return image


moments = st.builds(
    Moment,
    source=st.sampled_from(SOURCES),
    step=st.sampled_from((0.04, 0.1, 0.25, 0.6, 0.9)),
    people=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 60)), max_size=4, unique_by=lambda p: p[0]
    ).map(tuple),
    fails=st.sampled_from((False, False, False, False, True)),
)


class Alone:
    """One face by itself: its chips, one after the other, through the network and a state of its own."""

    def __init__(self) -> None:
        self.state: FaceState | None = None

    def show(self, chip: np.ndarray, stamp: float, fails: bool) -> tuple[float, float, float, float] | None:
        if self.state is None or stamp - self.state.last > TIMEOUT:
            self.state = FaceState(stamp)
        if fails:
            return None
        attributes, _ = MODEL.encode(chip[None])
        output = advance(MODEL, [self.state], attributes, [stamp])
        valence, arousal = output.affect[0].tolist()
        return valence, arousal, float(confidence(output.sigma)[0]), self.state.age


@settings(max_examples=60, deadline=None)
@given(script=st.lists(moments, min_size=3, max_size=14), batched=st.booleans())
def test_an_estimate_depends_on_the_faces_own_frames_only(script: list[Moment], batched: bool) -> None:
    detector = ScriptedDetector()
    pipeline = AffectPipeline(MODEL, detector, PipelineSettings(detection_interval=0))
    alone: dict[str, Alone] = {}
    person_of: dict[str, tuple[str, int]] = {}
    clock = dict.fromkeys(SOURCES, 10.0)
    last: dict[tuple[str, int], tuple[int, float]] = {}
    for moment in script:
        clock[moment.source] += moment.step
        stamp = clock[moment.source]
        seen = _seen(moment, stamp, last)
        image = _image(seen)
        detector.found = [_detection(place) for _, place, _ in seen]
        chips = [align_face(image, d.landmarks, MODEL.config.chip_side) for d in detector.found]
        faces = _process(pipeline, Frame(image, stamp, moment.source), moment.fails)
        ids = _ids(pipeline, moment.source, detector.found)
        for (person, place, _), chip in zip(seen, chips):
            face_id = ids[place]
            assert person_of.setdefault(face_id, (moment.source, person)) == (moment.source, person), (
                "an id was given to another person"
            )
            expected = alone.setdefault(face_id, Alone()).show(chip, stamp, moment.fails)
            if faces is not None:
                face = next(face for face in faces if face.face_id == face_id)
                assert (face.valence, face.arousal, face.confidence, face.state_age) == pytest.approx(
                    expected, abs=1e-4
                )


def _process(pipeline: AffectPipeline, frame: Frame, fails: bool) -> list[FaceAffect] | None:
    """The faces of a frame; None where the network raised."""
    if not fails or not pipeline.detector.detect(frame.image):
        return pipeline.process_batch([frame])[0]

    def broken(chips: np.ndarray) -> None:
        raise FaultError("injected")

    pipeline.model.encode = broken  # type: ignore[method-assign, assignment]
    try:
        with pytest.raises(FaultError):
            pipeline.process_batch([frame])
    finally:
        del pipeline.model.encode
    return None


def _ids(pipeline: AffectPipeline, source: str, found: list[Detection]) -> dict[int, str]:
    """Who stands where, by the pipeline's own tracks: also after a frame without a result."""
    memory = pipeline._sources[source]
    boxes = {detection.box: place for place, detection in ((p, _detection(p)) for p in range(len(PLACES)))}
    return {
        boxes[track.detection.box]: memory.names[track.number]
        for track in memory.tracker.tracks
        if track.last_seen == memory.stamp and track.detection in found
    }


def test_the_order_of_cameras_in_a_batch_does_not_matter() -> None:
    results = []
    for order in ((0, 1), (1, 0)):
        detector = ScriptedDetector()
        pipeline = AffectPipeline(MODEL, detector, PipelineSettings(detection_interval=0))
        run: dict[str, list[tuple[float, float]]] = {source: [] for source in SOURCES}
        for index in range(12):
            seen = [(0, 0, index * 4), (1, 4, 60 - index * 4)]
            detector.found = [_detection(place) for _, place, _ in seen]
            frames = [Frame(_image(seen), 5.0 + index / 10, SOURCES[number]) for number in order]
            for frame, faces in zip(frames, pipeline.process_batch(frames)):
                run[frame.source] += sorted((face.valence, face.arousal) for face in faces)
        results.append(run)
    for source in SOURCES:
        assert np.allclose(results[0][source], results[1][source], atol=1e-5)


def test_a_face_is_estimated_once_errors_end() -> None:
    detector = ScriptedDetector()
    pipeline = AffectPipeline(MODEL, detector, PipelineSettings(detection_interval=0))
    detector.found = [_detection(0)]
    image = _image([(0, 0, 30)])
    for stamp in (1.0, 1.3, 1.6):
        assert _process(pipeline, Frame(image, stamp), fails=True) is None
    face = pipeline.process(image, 1.9)[0]
    assert face.state_age == 0 and np.isfinite(face.valence)
    for stamp in np.arange(2.0, 40.0, 0.5):  # a followed face without estimates for long is a new one
        assert _process(pipeline, Frame(image, float(stamp)), fails=True) is None
    assert pipeline.process(image, 40.1)[0].state_age == 0

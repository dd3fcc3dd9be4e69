"""Recordings in model steps, and features that are encoded once and cached."""

import dataclasses
import shutil

import cv2
import numpy as np
import pytest
import torch

from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.inference import build_model
from ast_net_ros.model.network import ASTNet, DiscreteEmotionCNN, weights_of
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.features import (
    cached_face_sequence,
    encode_recording,
    encode_recordings,
)
from ast_net_ros.training.data.recordings import (
    FaceSequence,
    FrameSource,
    Recording,
    RecordingSet,
    features_by_step,
    image_frames,
    labels_at,
    source_identity,
    split_by_person,
    step_clips,
    video_frames,
)

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)


def _opened(source: FrameSource) -> dict:
    return dict(zip(("frames", "source"), source))


def _recording(**changes) -> Recording:
    stamps = np.arange(0, 20, 0.1)
    fields = {
        "name": "one",
        "split": "train",
        "person": "anna",
        "frames": lambda: iter(()),
        "source": (),
        "label_stamps": stamps,
        "labels": np.stack([stamps / 20, -stamps / 20], axis=1),
    }
    return Recording(**{**fields, **changes})


@pytest.mark.parametrize("rate", [50.0, 25.0, 12.5, 8.0, 3.0])
def test_the_lstm_over_a_clip_ends_where_the_node_ends(rate):
    """The same state as `advance` reaches when fed frame by frame."""
    torch.manual_seed(0)
    net = ASTNet(SMALL)
    temporal = net.temporal
    model = build_model(weights_of(net))
    generator = np.random.default_rng(0)
    stamps = 7.3 + np.arange(0, 6, 1 / rate)
    stamps = stamps[generator.random(len(stamps)) > 0.2]
    features = generator.standard_normal((len(stamps), SMALL.attributes)).astype(np.float32)
    steps = features_by_step(stamps, features, SMALL.step_seconds)
    state = FaceState(float(stamps[0]))
    for stamp, one in zip(stamps, features):
        expected = advance(model, [state], one[None], [float(stamp)])
    with torch.inference_mode():
        output, _ = temporal(torch.from_numpy(steps[None]))
    np.testing.assert_allclose(output.affect[0, -1].numpy(), expected.affect[0], atol=1e-5, rtol=0)


def test_labels_are_those_of_the_step_end_plus_delay():
    sequence = FaceSequence(np.arange(0, 10, 0.04), np.zeros((250, 6), np.float32), frames=250)
    (clip,) = step_clips(_recording(), sequence, 0.2)
    assert len(clip.inputs) == 50
    assert clip.labels[0] == pytest.approx([0.2 / 20, -0.2 / 20])
    assert clip.labels[-1] == pytest.approx([0.5, -0.5])
    (late,) = step_clips(_recording(), sequence, 0.2, label_delay=3.0)
    assert late.labels[0] == pytest.approx([3.2 / 20, -3.2 / 20])


def test_a_face_lost_for_long_starts_a_new_clip():
    stamps = np.concatenate([np.arange(0, 4, 0.1), np.arange(4.9, 8, 0.1), np.arange(12, 15, 0.1)])
    clips = step_clips(_recording(), FaceSequence(stamps, np.zeros((len(stamps), 6), np.float32)), 0.2)
    assert [clip.start for clip in clips] == pytest.approx([0, 12])
    assert clips[1].labels[0] == pytest.approx([12.2 / 20, -12.2 / 20])


def test_steps_after_the_last_label_have_none():
    sequence = FaceSequence(np.arange(0, 30, 0.1), np.zeros((300, 6), np.float32))
    (clip,) = step_clips(_recording(), sequence, 0.2)
    assert np.isfinite(clip.labels[:99]).all() and np.isnan(clip.labels[101:]).all()
    late = FaceSequence(np.arange(50, 60, 0.1), np.zeros((100, 6), np.float32))
    assert step_clips(_recording(), late, 0.2) == ()
    assert step_clips(_recording(), FaceSequence(np.array([]), np.zeros((0, 6), np.float32)), 0.2) == ()


def test_nan_labels_spread_to_their_neighbours_only():
    labels = np.stack([np.arange(10.0), np.arange(10.0)], axis=1)
    labels[4, 1] = np.nan
    found = labels_at(np.array([2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5]), np.arange(10.0), labels)
    assert np.isnan(found[:, 0]).tolist() == [False, False, True, True, True, False, False]
    assert found[0] == pytest.approx([2.5, 2.5]) and found[5] == pytest.approx([5, 5])
    assert labels_at(np.array([0.0]), np.array([]), np.zeros((0, 2))).shape == (1, 2)
    assert labels_at(np.array([0.0, 1.0]), np.array([0.0]), np.zeros((1, 2)))[0] == pytest.approx([0, 0])


def test_an_inconsistent_recording_is_refused():
    for changes, complaint in (
        ({"split": "training"}, "'one': split is 'training'"),
        ({"labels": np.zeros((3, 2))}, "'one': labels are"),
        ({"label_stamps": np.zeros(200)}, "'one': the times of its labels are not increasing"),
    ):
        with pytest.raises(DataError, match=complaint):
            _recording(**changes)


def test_a_person_is_always_in_the_same_split():
    people = [f"person {i}" for i in range(500)]
    split = [split_by_person(person) for person in people]
    assert split == [split_by_person(person) for person in people]
    assert 60 < split.count("valid") < 140


@pytest.fixture(scope="module")
def cnn() -> DiscreteEmotionCNN:
    torch.manual_seed(0)
    return DiscreteEmotionCNN(SMALL).eval()


def _closed():
    raise AssertionError("the recording is encoded again")


def test_a_video_is_encoded_once_until_weights_or_file_change(media, tmp_path, cnn):
    video = tmp_path / "clip.mp4"
    shutil.copy(media / "single_face.mp4", video)
    recording = _recording(**_opened(video_frames(video)))
    cache = tmp_path / "cache"
    first = cached_face_sequence(recording, cnn, SMALL, cache)
    assert first.frames == 72 and len(first.stamps) > 68 and first.inputs.shape == (len(first.stamps), 6)
    assert (np.diff(first.stamps) > 0).all()
    closed = dataclasses.replace(recording, frames=_closed)
    again = cached_face_sequence(closed, cnn, SMALL, cache)
    np.testing.assert_array_equal(again.inputs, first.inputs)
    np.testing.assert_array_equal(again.stamps, first.stamps)
    other = DiscreteEmotionCNN(SMALL)
    with pytest.raises(AssertionError, match="encoded again"):
        cached_face_sequence(closed, other, SMALL, cache)
    with video.open("ab") as file:
        file.write(b"changed")
    with pytest.raises(AssertionError, match="encoded again"):
        cached_face_sequence(dataclasses.replace(closed, source=source_identity([video])), cnn, SMALL, cache)


def test_a_damaged_cache_entry_is_replaced(face_image, tmp_path, cnn):
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), face_image)
    recording = _recording(**_opened(image_frames([image], [0.0])))
    cache = tmp_path / "cache"
    first = cached_face_sequence(recording, cnn, SMALL, cache)
    assert len(first.stamps) == 1
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    again = cached_face_sequence(recording, cnn, SMALL, cache)
    np.testing.assert_array_equal(again.inputs, first.inputs)
    assert [path.name for path in cache.iterdir()] == [entry.name]


def test_damaged_images_are_named_and_the_rest_is_used(face_image, tmp_path, cnn):
    paths = [tmp_path / f"{i:03d}.png" for i in range(12)]
    for path in paths:
        cv2.imwrite(str(path), face_image)
    for broken in (3, 4, 5, 6, 7, 8, 9):
        paths[broken].write_bytes(paths[broken].read_bytes()[:60] if broken % 2 else b"")
    recording = _recording(frames=image_frames(paths, [i / 10 for i in range(12)])[0])
    sequence = encode_recording(recording, cnn, SMALL)
    assert sequence.frames == 12
    assert sequence.stamps.tolist() == pytest.approx([0, 0.1, 0.2, 1.0, 1.1])
    assert sequence.undecodable == ("003.png", "004.png", "005.png", "006.png", "007.png", "2 more")


def test_unusable_recordings_are_logged(media, tmp_path, cnn):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00\x01 no video")
    videos = [media / "single_face.mp4", media / "no_face.mp4", broken]
    recordings = tuple(_recording(name=path.stem, **_opened(video_frames(path))) for path in videos)
    logged: list[str] = []
    opened = RecordingSet(recordings, ("x: no video",))
    clips = encode_recordings(opened, cnn, SMALL, tmp_path / "cache", log=logged.append)
    assert {clip.recording for clip in clips["train"]} == {"single_face"}
    assert any(line == "left out: x: no video" for line in logged)
    assert any("left out: no_face: no face found" in line for line in logged)
    assert any("left out: broken" in line for line in logged)
    assert any("single_face: the face is last seen at" in line for line in logged)
    with pytest.raises(DataError, match="no recording shows a face"):
        encode_recordings(RecordingSet(recordings[1:]), cnn, SMALL, tmp_path / "cache")


def test_a_crop_without_a_found_face_is_used_whole(cnn):
    noise = np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8)
    frames = [(0.0, "1", noise), (0.1, "2", noise)]
    sequence = encode_recording(_recording(frames=lambda: iter(frames), cropped=True), cnn, SMALL)
    assert len(sequence.stamps) == 2
    sequence = encode_recording(_recording(frames=lambda: iter(frames)), cnn, SMALL)
    assert len(sequence.stamps) == 0 and sequence.inputs.shape == (0, 6)

"""Recordings on model steps, and features that are encoded once and kept."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ast_net_ros.model.inference import AffectModel
from ast_net_ros.model.network import ASTNet, DiscreteEmotionCNN, NetworkConfig
from ast_net_ros.model.recurrent_state import FaceState, advance
from ast_net_ros.model.weights import WeightsInfo
from ast_net_ros.training.data.faces import DataError
from ast_net_ros.training.data.features import cached_features, clips_of, encode_recording, weights_key
from ast_net_ros.training.data.recordings import (
    FaceSequence,
    Recording,
    RecordingSet,
    features_by_step,
    labels_at,
    picture_frames,
    source_identity,
    split_by_person,
    step_clips,
    video_frames,
)
from ast_net_ros.vision.detection import FaceDetector

SMALL = NetworkConfig(widths=(8, 8, 8), depths=(1, 1, 1), attributes=6, hidden=8)


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
def test_clips_hold_what_the_running_model_steps_over(rate):
    """The LSTM over a clip must end where `advance`, fed frame by frame, ends."""
    torch.manual_seed(0)
    net = ASTNet(SMALL)
    temporal = net.temporal
    model = AffectModel(net, WeightsInfo(Path("none"), "", ""), torch.device("cpu"))
    generator = np.random.default_rng(0)
    stamps = 7.3 + np.arange(0, 6, 1 / rate)
    stamps = stamps[generator.random(len(stamps)) > 0.2]
    features = generator.standard_normal((len(stamps), SMALL.attributes)).astype(np.float32)
    steps = features_by_step(stamps, features, SMALL.step_seconds)
    state = FaceState(float(stamps[0]))
    for stamp, one in zip(stamps, features):
        wanted = advance(model, [state], torch.from_numpy(one[None]), [float(stamp)])
    with torch.inference_mode():
        output, _ = temporal(torch.from_numpy(steps[None]))
    torch.testing.assert_close(output.affect[0, -1], wanted.affect[0], atol=1e-5, rtol=0)


def test_labels_stand_at_the_end_of_the_step_and_may_lag():
    seen = FaceSequence(np.arange(0, 10, 0.04), np.zeros((250, 6), np.float32), 250)
    (clip,) = step_clips(_recording(), seen, 0.2)
    assert len(clip.features) == 50
    assert clip.labels[0] == pytest.approx([0.2 / 20, -0.2 / 20])
    assert clip.labels[-1] == pytest.approx([0.5, -0.5])
    (late,) = step_clips(_recording(), seen, 0.2, label_delay=3.0)
    assert late.labels[0] == pytest.approx([3.2 / 20, -3.2 / 20])


def test_a_face_lost_for_long_begins_a_new_clip():
    stamps = np.concatenate([np.arange(0, 4, 0.1), np.arange(4.9, 8, 0.1), np.arange(12, 15, 0.1)])
    clips = step_clips(_recording(), FaceSequence(stamps, np.zeros((len(stamps), 6), np.float32)), 0.2)
    assert [clip.start for clip in clips] == pytest.approx([0, 12])
    assert clips[1].labels[0] == pytest.approx([12.2 / 20, -12.2 / 20])


def test_labels_shorter_than_the_video_leave_the_rest_without_label():
    seen = FaceSequence(np.arange(0, 30, 0.1), np.zeros((300, 6), np.float32))
    (clip,) = step_clips(_recording(), seen, 0.2)
    assert np.isfinite(clip.labels[:99]).all() and np.isnan(clip.labels[101:]).all()
    late = FaceSequence(np.arange(50, 60, 0.1), np.zeros((100, 6), np.float32))
    assert step_clips(_recording(), late, 0.2) == ()
    assert step_clips(_recording(), FaceSequence(np.array([]), np.zeros((0, 6), np.float32)), 0.2) == ()


def test_nan_labels_do_not_spread_beyond_their_neighbours():
    labels = np.stack([np.arange(10.0), np.arange(10.0)], axis=1)
    labels[4, 1] = np.nan
    found = labels_at(np.array([2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5]), np.arange(10.0), labels)
    assert np.isnan(found[:, 0]).tolist() == [False, False, True, True, True, False, False]
    assert found[0] == pytest.approx([2.5, 2.5]) and found[5] == pytest.approx([5, 5])
    assert labels_at(np.array([0.0]), np.array([]), np.zeros((0, 2))).shape == (1, 2)
    assert labels_at(np.array([0.0, 1.0]), np.array([0.0]), np.zeros((1, 2)))[0] == pytest.approx([0, 0])


def test_a_recording_that_contradicts_itself_is_refused_by_name():
    for changes, complaint in (
        ({"split": "training"}, "'one': split is 'training'"),
        ({"labels": np.zeros((3, 2))}, "'one': labels are"),
        ({"label_stamps": np.zeros(200)}, "'one': the times of its labels do not rise"),
    ):
        with pytest.raises(DataError, match=complaint):
            _recording(**changes)


def test_a_person_is_always_on_the_same_side():
    people = [f"person {i}" for i in range(500)]
    split = [split_by_person(person) for person in people]
    assert split == [split_by_person(person) for person in people]
    assert 60 < split.count("valid") < 140


@pytest.fixture(scope="module")
def cnn() -> DiscreteEmotionCNN:
    torch.manual_seed(0)
    return DiscreteEmotionCNN(SMALL).eval()


def test_a_real_video_is_encoded_once_and_anew_when_weights_or_file_change(media, tmp_path, cnn, monkeypatch):
    video = tmp_path / "clip.mp4"
    shutil.copy(media / "single_face.mp4", video)
    detector, cache = FaceDetector(threads=1), tmp_path / "cache"
    recording = _recording(frames=video_frames(video), source=source_identity([video]))
    key = weights_key(cnn, SMALL)
    first = cached_features(recording, cnn, SMALL, cache, detector, key)
    assert first.frames == 72 and len(first.stamps) > 68 and first.features.shape == (len(first.stamps), 6)
    assert (np.diff(first.stamps) > 0).all()

    def refuse(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr("ast_net_ros.training.data.features.encode_recording", refuse)
    again = cached_features(recording, cnn, SMALL, cache, detector, key)
    np.testing.assert_array_equal(again.features, first.features)
    np.testing.assert_array_equal(again.stamps, first.stamps)
    with torch.no_grad():
        other = DiscreteEmotionCNN(SMALL)
    assert weights_key(other, SMALL) != key
    with pytest.raises(AssertionError, match="encoded again"):
        cached_features(recording, other, SMALL, cache, detector, weights_key(other, SMALL))
    with video.open("ab") as file:
        file.write(b"changed")
    changed = _recording(frames=video_frames(video), source=source_identity([video]))
    with pytest.raises(AssertionError, match="encoded again"):
        cached_features(changed, cnn, SMALL, cache, detector, key)


def test_a_damaged_cache_entry_is_made_anew(face_picture, tmp_path, cnn):
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), face_picture)
    recording = _recording(frames=picture_frames([picture], [0.0]), source=source_identity([picture]))
    key = weights_key(cnn, SMALL)
    cache = tmp_path / "cache"
    first = cached_features(recording, cnn, SMALL, cache, FaceDetector(threads=1), key)
    assert len(first.stamps) == 1
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    again = cached_features(recording, cnn, SMALL, cache, FaceDetector(threads=1), key)
    np.testing.assert_array_equal(again.features, first.features)
    assert [path.name for path in cache.iterdir()] == [entry.name]


def test_corrupt_pictures_are_named_and_the_rest_is_used(face_picture, tmp_path, cnn):
    paths = [tmp_path / f"{i:03d}.png" for i in range(12)]
    for path in paths:
        cv2.imwrite(str(path), face_picture)
    for broken in (3, 4, 5, 6, 7, 8, 9):
        paths[broken].write_bytes(paths[broken].read_bytes()[:60] if broken % 2 else b"")
    recording = _recording(frames=picture_frames(paths, [i / 10 for i in range(12)]))
    seen = encode_recording(recording, cnn, SMALL, FaceDetector(threads=1))
    assert seen.frames == 12
    assert seen.stamps.tolist() == pytest.approx([0, 0.1, 0.2, 1.0, 1.1])
    assert seen.undecodable == ("003.png", "004.png", "005.png", "006.png", "007.png", "2 more")


def test_what_is_not_used_is_told_and_the_rest_kept(media, tmp_path, cnn):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00\x01 no video")
    videos = [media / "single_face.mp4", media / "no_face.mp4", broken]
    recordings = tuple(
        _recording(name=path.stem, frames=video_frames(path), source=source_identity([path])) for path in videos
    )
    told: list[str] = []
    clips = clips_of(RecordingSet(recordings, ("x: no video",)), cnn, SMALL, tmp_path / "cache", tell=told.append)
    assert {clip.recording for clip in clips["train"]} == {"single_face"}
    assert any(line == "left out: x: no video" for line in told)
    assert any("left out: no_face: no face found" in line for line in told)
    assert any("left out: broken" in line for line in told)
    assert any("single_face: the face is last seen at" in line for line in told)
    with pytest.raises(DataError, match="no recording shows a face"):
        clips_of(RecordingSet(recordings[1:]), cnn, SMALL, tmp_path / "cache")


def test_a_cut_out_is_used_whole_where_no_face_is_found(cnn):
    noise = np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8)
    frames = [(0.0, "1", noise), (0.1, "2", noise)]
    seen = encode_recording(_recording(frames=lambda: iter(frames), cropped=True), cnn, SMALL, FaceDetector(threads=1))
    assert len(seen.stamps) == 2
    seen = encode_recording(_recording(frames=lambda: iter(frames)), cnn, SMALL, FaceDetector(threads=1))
    assert len(seen.stamps) == 0 and seen.features.shape == (0, 6)

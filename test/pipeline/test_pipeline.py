"""Frames in, affect out: on real faces with the packaged weights."""

import math
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from ast_net_ros import pipeline as pipeline_module
from ast_net_ros.pipeline import AffectPipeline, FaceAffect, Frame, PipelineSettings, primary_face


@pytest.fixture(scope="module")
def shared_pipeline() -> AffectPipeline:
    return AffectPipeline()


@pytest.fixture()
def pipeline(shared_pipeline) -> AffectPipeline:
    shared_pipeline.reset()
    shared_pipeline.settings = PipelineSettings()
    return shared_pipeline


def _frames(path, every: int = 1, count: int = 10_000) -> list[tuple[float, np.ndarray]]:
    """(stamp, frame) of a video, every n-th of the first `count`."""
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    frames: list[tuple[float, np.ndarray | None]] = []
    while len(frames) < count and capture.grab():
        index = len(frames)
        frames.append((index / rate, capture.retrieve()[1] if index % every == 0 else None))
    assert frames, f"{path} holds no frame"
    return [(stamp, image) for stamp, image in frames if image is not None]


@pytest.fixture(scope="module")
def distress_to_smile(media):
    return _frames(media / "WolfgangLanger_Pexels.mp4", every=3)


def _sane(face: FaceAffect, image: np.ndarray) -> bool:
    x, y, width, height = face.box
    return (
        -1 <= face.valence <= 1
        and -1 <= face.arousal <= 1
        and 0 <= face.confidence <= 1
        and math.isclose(sum(face.emotions), 1, abs_tol=1e-4)
        and len(face.emotions) == 8
        and face.state_age >= 0
        and x >= 0
        and y >= 0
        and x + width <= image.shape[1]
        and y + height <= image.shape[0]
    )


def test_distress_turns_into_a_smile_under_one_id(pipeline, distress_to_smile):
    results = [pipeline.process(image, stamp) for stamp, image in distress_to_smile]
    seen = [faces[0] for faces in results if faces]
    assert len(seen) >= 0.95 * len(results)
    assert len({face.face_id for face in seen}) == 1
    assert all(_sane(face, distress_to_smile[0][1]) for face in seen)
    quarter = len(seen) // 4
    first = np.mean([face.valence for face in seen[:quarter]])
    last = np.mean([face.valence for face in seen[-quarter:]])
    assert first < 0
    assert last > 0.2
    assert last - first >= 0.4
    assert np.std([face.arousal for face in seen]) > 0.05
    assert seen[-1].state_age == pytest.approx(distress_to_smile[-1][0] - distress_to_smile[0][0], abs=0.2)


def test_engagement_rises_while_a_face_is_turned_to_the_camera_and_ends_with_the_track(pipeline, distress_to_smile):
    pipeline.settings = PipelineSettings(engagement_window=2.0)
    values = []
    for stamp, image in distress_to_smile:
        for face in pipeline.process(image, stamp):
            assert face.head_pose is not None and len(face.landmarks) == 5
            values.append(face.engagement)
    assert values[0] == 0 and max(values) == 1 and all(0 <= value <= 1 for value in values)
    (again,) = pipeline.process(distress_to_smile[-1][1], distress_to_smile[-1][0] + 4.0)
    assert again.engagement == 0


def test_neutral_turns_into_a_grin_and_valence_rises(pipeline, media):
    faces = [pipeline.process(image, stamp) for stamp, image in _frames(media / "single_face.mp4", every=2)]
    valence = [face[0].valence for face in faces if face]
    assert len(valence) >= 0.95 * len(faces)
    fifth = len(valence) // 5
    assert np.mean(valence[-fifth:]) > np.mean(valence[:fifth]) + 0.2


def test_no_face_is_reported_where_there_is_none(pipeline, media):
    assert all(pipeline.process(image, stamp) == [] for stamp, image in _frames(media / "no_face.mp4", every=10))


def test_a_face_that_left_ends_its_track(pipeline, media):
    for stamp, image in _frames(media / "face_noface.mov", every=3):
        faces = pipeline.process(image, stamp)
    assert faces == []
    assert pipeline.track_count() == 0


def test_every_person_of_a_group_has_an_id(pipeline, media):
    image = cv2.imread(str(media / "multi_face.jpg"))
    faces = pipeline.process(image, 0.0)
    assert len(faces) >= 3
    again = pipeline.process(image, 0.1)
    assert [face.face_id for face in again] == [face.face_id for face in faces]
    assert len({face.face_id for face in faces}) == len(faces)
    sizes = [face.box[2] * face.box[3] for face in faces]
    assert primary_face(faces) is faces[sizes.index(max(sizes))]


def test_sources_in_one_batch_equal_sources_on_their_own(pipeline, distress_to_smile):
    chosen = distress_to_smile[::12][:8]
    mirrored = [(stamp, np.ascontiguousarray(image[:, ::-1])) for stamp, image in chosen]
    apart = [
        [pipeline.process(image, t, name)[0] for t, image in row] for name, row in (("a", chosen), ("b", mirrored))
    ]
    pipeline.reset()
    joined = [pipeline.process_batch([Frame(a, t, "a"), Frame(b, t, "b")]) for (t, a), (_, b) in zip(chosen, mirrored)]
    for index, (left, right) in enumerate(joined):
        assert left[0].valence == pytest.approx(apart[0][index].valence, abs=1e-4)
        assert right[0].valence == pytest.approx(apart[1][index].valence, abs=1e-4)
    assert joined[-1][0][0].face_id != joined[-1][1][0].face_id


@pytest.mark.parametrize("jump", [-3.0, 60.0])
def test_a_jump_of_stamps_resets_and_is_logged(pipeline, distress_to_smile, caplog, jump):
    for stamp, image in distress_to_smile[:5]:
        before = pipeline.process(image, stamp + 100, "/camera")[0]
        pipeline.process(image, stamp + 100, "/other")
    after = pipeline.process(image, stamp + 100 + jump, "/camera")[0]
    assert after.state_age == 0
    assert after.face_id != before.face_id
    assert "/camera" in caplog.text and f"{jump:+.3f}" in caplog.text
    assert pipeline.process(image, stamp + 100.05, "/other")[0].state_age > 0


def test_a_reset_repeats_the_trajectory_under_new_ids(pipeline, distress_to_smile):
    runs = []
    for _ in range(2):
        runs.append([pipeline.process(image, stamp)[0] for stamp, image in distress_to_smile[:20]])
        pipeline.reset()
    assert [face.valence for face in runs[0]] == [face.valence for face in runs[1]]
    assert runs[0][0].face_id != runs[1][0].face_id


def test_settings_take_effect_on_the_next_frame(pipeline, media):
    image = cv2.imread(str(media / "multi_face.jpg"))
    everyone = pipeline.process(image, 0.0)
    pipeline.settings = PipelineSettings(max_faces=1)
    assert len(pipeline.process(image, 0.1)) == 1
    pipeline.settings = PipelineSettings(min_face_pixels=max(face.box[2] for face in everyone) + 10)
    assert pipeline.process(image, 0.2) == []


@pytest.mark.parametrize(
    ("rotation", "code"),
    [(90, cv2.ROTATE_90_COUNTERCLOCKWISE), (180, cv2.ROTATE_180), (270, cv2.ROTATE_90_CLOCKWISE)],
)
def test_a_rotated_camera_gives_the_estimates_of_an_upright_one(pipeline, distress_to_smile, rotation, code):
    frames = distress_to_smile[:12]
    upright = [pipeline.process(image, stamp, "/upright")[0] for stamp, image in frames]
    pipeline.settings = PipelineSettings(image_rotation=rotation)
    rotated = [pipeline.process(cv2.rotate(image, code), stamp, "/rotated") for stamp, image in frames]
    height, width = frames[0][1].shape[:2]
    for before, (after,) in zip(upright, rotated):
        x, y, w, h = before.box
        moved = {
            90: (y, width - x - w, h, w),
            180: (width - x - w, height - y - h, w, h),
            270: (height - y - h, x, h, w),
        }
        # Optical flow follows the faces between two detections, to a fraction of a pixel.
        assert after.box == pytest.approx(moved[rotation], abs=2.0)
        assert (after.valence, after.arousal) == pytest.approx((before.valence, before.arousal), abs=0.05)
        assert after.quality == pytest.approx(before.quality, abs=0.1)
    assert len({faces[0].face_id for faces in rotated}) == 1


def test_a_rotation_that_is_not_a_quarter_turn_is_refused(pipeline, distress_to_smile):
    pipeline.settings = PipelineSettings(image_rotation=45)
    with pytest.raises(ValueError, match=r"image_rotation is 45; use one of \(0, 90, 180, 270\)"):
        pipeline.process(distress_to_smile[0][1], 0.0)


def test_smoothing_steadies_without_moving_the_mean(pipeline, distress_to_smile):
    runs = {}
    for seconds in (0.0, 1.0):
        pipeline.reset()
        pipeline.settings = PipelineSettings(smoothing_time_constant=seconds)
        runs[seconds] = np.array([pipeline.process(image, t)[0].valence for t, image in distress_to_smile])
    # Second differences: the way from distress to smile is no unrest, and no filter may take it out.
    unrest = {seconds: np.abs(np.diff(values, n=2)).mean() for seconds, values in runs.items()}
    assert unrest[1.0] < 0.2 * unrest[0.0]
    assert runs[1.0].mean() == pytest.approx(runs[0.0].mean(), abs=0.1)


def test_optical_flow_saves_detections(pipeline, distress_to_smile, monkeypatch):
    calls: list[tuple] = []
    real = pipeline.detector.detect

    def counted(image, *settings):
        calls.append(image.shape)
        return real(image, *settings)

    monkeypatch.setattr(pipeline.detector, "detect", counted)
    runs = {}
    for interval in (0.0, 0.4):
        pipeline.reset()
        calls.clear()
        pipeline.settings = PipelineSettings(detection_interval=interval)
        faces = [pipeline.process(image, t)[0] for t, image in distress_to_smile]
        runs[interval] = np.array([face.valence for face in faces]), len(calls)
        assert len({face.face_id for face in faces}) == 1
    (every, detections), (some, fewer) = runs[0.0], runs[0.4]
    assert fewer < 0.6 * detections
    assert np.sqrt(np.mean((every - some) ** 2)) < 0.1


def test_appearances_are_compared_at_detections_only(pipeline, distress_to_smile, monkeypatch):
    described, detected = Mock(wraps=pipeline_module.describe), Mock(wraps=pipeline.detector.detect)
    monkeypatch.setattr(pipeline_module, "describe", described)
    monkeypatch.setattr(pipeline.detector, "detect", detected)
    pipeline.settings = PipelineSettings(detection_interval=0.5)
    ids = {face.face_id for image_stamp, image in distress_to_smile for face in pipeline.process(image, image_stamp)}
    assert len(ids) == 1
    assert described.call_count == detected.call_count < len(distress_to_smile) / 2


def test_a_frame_that_was_found_but_not_estimated_does_no_harm(pipeline, media):
    image = np.ascontiguousarray(cv2.imread(str(media / "multi_face.jpg")))
    first = pipeline.process(image, 0.0)
    pipeline.settings = PipelineSettings(max_faces=1)
    pipeline.find([Frame(image, 0.1)])
    pipeline.settings = PipelineSettings()
    pipeline.find([Frame(image, 0.2)])
    after = pipeline.process(image, 0.3)
    assert [face.face_id for face in after] == [face.face_id for face in first]


def test_stages_are_timed(pipeline, distress_to_smile):
    pipeline.process(distress_to_smile[0][1], 0.0)
    assert set(pipeline.timings) == {"detect", "align", "track", "encode", "step"}
    assert all(seconds > 0 for seconds in pipeline.timings.values())


@pytest.mark.parametrize(
    ("image", "stamp", "complaint"),
    [
        (np.zeros((4, 4), np.uint8), 0.0, "height x width x 3"),
        (np.zeros((4, 4, 3), np.float32), 0.0, "float32"),
        (np.zeros((0, 4, 3), np.uint8), 0.0, "no pixels"),
        (np.zeros((4, 4, 3), np.uint8), math.nan, "stamp nan"),
        (None, 0.0, "NoneType"),
    ],
)
def test_an_invalid_frame_is_refused_by_name_and_value(pipeline, image, stamp, complaint):
    with pytest.raises(ValueError, match=complaint):
        pipeline.process(image, stamp, "/camera")


def test_a_tiny_frame_is_no_error(pipeline):
    assert pipeline.process(np.zeros((1, 1, 3), np.uint8), 0.0) == []
    assert pipeline.process(np.zeros((3, 1000, 3), np.uint8), 0.1) == []


def test_one_source_twice_in_a_batch_is_refused(pipeline):
    frame = Frame(np.zeros((48, 48, 3), np.uint8), 0.0, "a")
    with pytest.raises(ValueError, match="two frames of one source"):
        pipeline.process_batch([frame, frame])


@pytest.fixture(scope="module", params=["WolfgangLanger_Pexels.mp4", "single_face.mp4"])
def detected_everywhere(request, media, shared_pipeline):
    """96 (stamp, frame) of a video, and their faces with detection in every frame."""
    frames = _frames(media / request.param, count=96)
    shared_pipeline.reset()
    shared_pipeline.settings = PipelineSettings(detection_interval=0.0)
    return frames, [shared_pipeline.process(image, t) for t, image in frames]


@pytest.mark.parametrize("interval", [0.1, 0.2])
def test_detection_at_intervals_changes_estimates_little(detected_everywhere, pipeline, interval):
    """Measured: at most 0.011 in the root of the mean square, 0.050 at worst, at full rate."""
    frames, expected = detected_everywhere
    pipeline.settings = PipelineSettings(detection_interval=interval)
    found = [pipeline.process(image, t) for t, image in frames]
    assert [len(faces) for faces in expected] == [len(faces) for faces in found]
    every, some = (
        np.array([(face.valence, face.arousal) for faces in run for face in faces]) for run in (expected, found)
    )
    assert np.sqrt(np.mean((every - some) ** 2, axis=0)).max() < 0.03
    assert np.abs(every - some).max() < 0.1
    assert len({face.face_id for faces in found for face in faces}) == 1


def test_a_new_face_is_found_within_one_interval(pipeline, media):
    frames = _frames(media / "noface_face.mov")
    first = []
    for seconds in (0.0, 0.2):
        pipeline.reset()
        pipeline.settings = PipelineSettings(detection_interval=seconds)
        first.append(next(t for t, image in frames if pipeline.process(image, t)))
    assert first[0] <= first[1] <= first[0] + 0.2 + 1 / 26


def test_new_settings_apply_between_two_detections(pipeline, media):
    image = _frames(media / "single_face.mp4", count=1)[0][1]
    pipeline.settings = PipelineSettings(detection_interval=5.0, min_face_pixels=5000.0)
    assert pipeline.process(image, 0.0) == [] and pipeline.process(image, 0.1) == []
    pipeline.settings = PipelineSettings(detection_interval=5.0)
    assert len(pipeline.process(image, 0.2)) == 1

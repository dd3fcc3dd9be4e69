"""Labelled faces from FER2013's own tables and from folders of images."""

import csv
import json

import cv2
import numpy as np
import pytest

from ast_net_ros.model.config import EMOTIONS, NetworkConfig
from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.face_sources import open_faces
from ast_net_ros.training.data.faces import majority_emotion
from ast_net_ros.training.data.features import encode_recording
from ast_net_ros.training.data.recordings import Recording
from ast_net_ros.vision.detection import make_detector

VOTE_COLUMNS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def _write_fer2013(folder, usages=("Training", "Training", "PublicTest", "PrivateTest")):
    images = np.random.default_rng(0).integers(0, 255, (len(usages), 48, 48), np.uint8)
    with (folder / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for image, usage in zip(images, usages):
            writer.writerow([0, " ".join(map(str, image.ravel())), usage])
    with (folder / "fer2013new.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *VOTE_COLUMNS])
        for index, usage in enumerate(usages):
            writer.writerow([usage, f"fer{index:07d}.png", *(10 * (column == index) for column in range(10))])
    return images


def test_fer2013_tables_are_read_by_part(tmp_path):
    images = _write_fer2013(tmp_path)
    train = open_faces(tmp_path / "fer2013.csv", "train", tmp_path / "cache")
    np.testing.assert_array_equal(train.images, images[:2])
    assert majority_emotion(train.votes).tolist() == [0, 1]
    for part, row in (("valid", 2), ("test", 3)):
        faces = open_faces(tmp_path, part)
        np.testing.assert_array_equal(faces.images, images[[row]])
        assert majority_emotion(faces.votes).tolist() == [row]
    again = open_faces(tmp_path / "fer2013.csv", "train", tmp_path / "cache")
    np.testing.assert_array_equal(again.chips, train.chips)


def test_fer2013_tables_that_do_not_fit_are_refused(tmp_path):
    _write_fer2013(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    whole = votes.read_text()
    votes.write_text("\n".join(whole.splitlines()[:3]))
    with pytest.raises(DataError, match=r"fer2013new\.csv, line 4: does not belong"):
        open_faces(tmp_path)
    votes.write_text(whole.replace("PublicTest", "Training"))
    with pytest.raises(DataError, match=r"line 4: does not belong"):
        open_faces(tmp_path)
    votes.write_text(whole.replace("neutral", "calm"))
    with pytest.raises(DataError, match="not tables of FER2013"):
        open_faces(tmp_path)
    votes.unlink()
    with pytest.raises(DataError, match=r"fer2013new\.csv: no such file"):
        open_faces(tmp_path)


def test_a_short_row_of_pixels_is_named(tmp_path):
    _write_fer2013(tmp_path, ("Training",))
    table = tmp_path / "fer2013.csv"
    table.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(DataError, match="line 2: 3 pixels, expected 2304"):
        open_faces(tmp_path)


def _write_folders(folder, names, image, count=2):
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(folder / name / f"{index}.png"), image)


@pytest.fixture(scope="module")
def face(face_image):
    """A crop that a face fills, 100 x 100, as data sets of faces have them."""
    x, y, width, height = (round(v) for v in make_detector(threads=1).detect(face_image)[0].box)
    side = max(width, height)
    return cv2.resize(face_image[max(0, y) : y + side, max(0, x) : x + side], (100, 100))


def test_class_folders_have_common_spellings(tmp_path, face):
    _write_folders(
        tmp_path, ["Happy", "sadness", "0_neutral", "anger", "Surprised", "disgust", "FEAR", "contempt"], face
    )
    faces = open_faces(tmp_path)
    assert len(faces) == 16 and faces.found.all()
    assert sorted(majority_emotion(faces.votes).tolist()) == sorted([*range(8), *range(8)])
    assert faces.chips.shape == (16, 48, 48) and faces.images.shape == (16, 48, 48)
    assert (faces.chips[0] == faces.chips[1]).all()


def test_the_requested_part_is_read(tmp_path, face):
    _write_folders(tmp_path / "train", ["happy"], face)
    _write_folders(tmp_path / "val", ["sad"], face)
    assert set(majority_emotion(open_faces(tmp_path, "train").votes)) == {EMOTIONS.index("happiness")}
    assert set(majority_emotion(open_faces(tmp_path, "valid").votes)) == {EMOTIONS.index("sadness")}
    with pytest.raises(DataError, match="none named 'test'"):
        open_faces(tmp_path, "test")


def test_numbered_folders_need_a_mapping(tmp_path, face):
    _write_folders(tmp_path, ["1", "2"], face)
    with pytest.raises(DataError, match=r"which emotion is '1'\? Numbers mean different.*classes\.json"):
        open_faces(tmp_path)
    (tmp_path / "classes.json").write_text(json.dumps({"1": "surprise", "2": "fear"}))
    assert majority_emotion(open_faces(tmp_path).votes).tolist() == [2, 2, 6, 6]
    (tmp_path / "classes.json").write_text(json.dumps({"1": "boredom"}))
    with pytest.raises(DataError, match="'boredom' is none of neutral"):
        open_faces(tmp_path)


@pytest.mark.parametrize("names", [["happy", "boredom"], ["images"]])
def test_a_folder_of_no_known_class_is_named(tmp_path, face, names):
    _write_folders(tmp_path, names, face)
    with pytest.raises(DataError, match=f"which emotion is '{names[-1]}'"):
        open_faces(tmp_path)


def test_damaged_images_are_named_and_the_rest_is_kept(tmp_path, face):
    _write_folders(tmp_path / "data", ["happy", "sad"], face, 8)
    for index in range(7):
        (tmp_path / "data" / "sad" / f"{index}.png").write_bytes(b"" if index % 2 else b"\x89PNG broken")
    noise = np.random.default_rng(0).integers(0, 255, (70, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "data" / "sad" / "noise.png"), noise)
    for _ in range(2):
        logged: list[str] = []
        faces = open_faces(tmp_path / "data", "train", tmp_path / "cache", logged.append)
        assert len(faces) == 10 and faces.found.sum() == 9
        assert logged == [
            "skipped, cannot be decoded: sad/0.png, sad/1.png, sad/2.png, sad/3.png, sad/4.png and 2 more"
        ]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="contains no folder of a class"):
        open_faces(tmp_path)
    (tmp_path / "happy").mkdir()
    with pytest.raises(DataError, match="contain no image"):
        open_faces(tmp_path)
    (tmp_path / "happy" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of its 1 images"):
        open_faces(tmp_path)
    (tmp_path / "faces.txt").write_text("x")
    with pytest.raises(DataError, match="expected an .npz archive"):
        open_faces(tmp_path / "faces.txt")


def test_chips_of_other_images_are_not_taken_from_cache(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (3, 48, 48), np.uint8)
    votes = np.tile(np.array([10] + [0] * 9, np.uint8), (3, 1))
    for name, faces in (("a", images), ("b", 255 - images)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "faces.npz", images=faces, votes=votes)
    first = open_faces(tmp_path / "a" / "faces.npz", cache=tmp_path)
    second = open_faces(tmp_path / "b" / "faces.npz", cache=tmp_path)
    assert (first.chips == images).all() and (second.chips == 255 - images).all()
    cache = tmp_path / "faces.chips.npz"
    cache.write_bytes(cache.read_bytes()[:200])
    assert (open_faces(tmp_path / "b" / "faces.npz", cache=tmp_path).chips == 255 - images).all()


def test_a_face_gives_one_chip_in_every_format(tmp_path, face):
    image = cv2.resize(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), (48, 48), interpolation=cv2.INTER_AREA)
    _write_folders(tmp_path / "folders", ["happy"], image, 1)
    np.savez(tmp_path / "faces.npz", images=image[None], votes=np.eye(1, 10, 1, dtype=np.uint8) * 10)
    labels = np.zeros((1, 2))
    frame = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    recording = Recording("a", "train", "a", lambda: iter([(0.0, "1", frame)]), (), np.zeros(1), labels, cropped=True)
    chips = [open_faces(path).chips[0] for path in (tmp_path / "faces.npz", tmp_path / "folders")]
    chips.append(encode_recording(recording, None, NetworkConfig()).inputs[0])
    assert not np.array_equal(chips[0], image), "the face is aligned"
    for chip in chips[1:]:
        np.testing.assert_allclose(chip.astype(int), chips[0].astype(int), atol=1)

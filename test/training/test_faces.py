"""Labelled faces: the FER+ protocol, archives read and refused, chips cut as the node cuts them."""

import cv2
import numpy as np
import pytest

from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.faces import cut_chips, load_faces, majority_emotion, vote_distribution
from ast_net_ros.vision.alignment import align_face
from ast_net_ros.vision.detection import largest_detection, make_detector

VOTES = np.array(
    [
        [8, 1, 0, 0, 1, 0, 0, 0, 0, 0],  # clear: neutral; the single votes are noise
        [4, 4, 0, 0, 2, 0, 0, 0, 0, 0],  # a tie
        [4, 3, 0, 3, 0, 0, 0, 0, 0, 0],  # no majority
        [0, 2, 0, 0, 0, 0, 0, 0, 8, 0],  # mostly "unknown"
        [0, 0, 0, 0, 0, 0, 0, 9, 0, 1],  # contempt
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nothing but noise
        [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],  # a tie of two halves
        [6, 2, 2, 0, 0, 0, 0, 0, 0, 0],  # more than half
    ],
    np.uint8,
)


def test_majority_follows_the_ferplus_protocol():
    assert majority_emotion(VOTES).tolist() == [0, -1, -1, -1, 7, -1, -1, 0]


def test_vote_distributions_sum_to_one_or_carry_no_target():
    target = vote_distribution(VOTES)
    assert target.shape == (8, 8)
    np.testing.assert_allclose(target.sum(axis=1), [1, 1, 1, 1, 1, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(target[2], [0.4, 0.3, 0, 0.3, 0, 0, 0, 0], atol=1e-6)


def _archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_an_archive_is_read_and_its_chips_are_cached(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (8, 48, 48), dtype=np.uint8)
    path = _archive(tmp_path / "faces.npz", images=images, votes=VOTES, duplicate_of_train=np.arange(8) == 3)
    faces = load_faces(path, tmp_path / "cache" / "chips.npz")
    assert len(faces) == 8 and faces.duplicate.sum() == 1
    assert not faces.found.any(), "noise is no face"
    np.testing.assert_array_equal(faces.chips, images)  # where no face is found, the image is the chip
    again = load_faces(path, tmp_path / "cache" / "chips.npz")
    np.testing.assert_array_equal(again.chips, faces.chips)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"images": np.zeros((2, 48, 48), np.uint8)}, "votes"),
        ({"images": np.zeros((2, 48, 48), np.float32), "votes": VOTES[:2]}, "float32"),
        ({"images": np.zeros((3, 48, 48), np.uint8), "votes": VOTES[:2]}, r"\(2, 10\)"),
        ({"images": np.array([{}]), "votes": VOTES[:1]}, "pickle"),
    ],
)
def test_an_archive_of_another_form_is_refused(tmp_path, arrays, complaint):
    with pytest.raises(DataError, match=rf"faces\.npz.*{complaint}"):
        load_faces(_archive(tmp_path / "faces.npz", **arrays))


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    path = tmp_path / "faces.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match=r"faces\.npz: not a readable"):
        load_faces(path)


def test_a_small_crop_gives_nearly_the_chip_of_the_frame(face_image):
    """The training chip of a 48 x 48 crop must be close to what the node cuts from the camera image."""
    grey = cv2.cvtColor(face_image, cv2.COLOR_BGR2GRAY)
    face = largest_detection(make_detector().detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)))
    assert face is not None
    from_camera = align_face(grey, face.landmarks)
    x, y, width, height = (round(v) for v in face.box)
    side = max(width, height)
    left, top = max(0, x + (width - side) // 2), max(0, y + (height - side) // 2)
    crop = cv2.resize(grey[top : top + side, left : left + side], (48, 48), interpolation=cv2.INTER_AREA)
    cut = cut_chips(crop[None])
    assert cut["found"].all()
    correlation = np.corrcoef(cut["chips"][0].ravel().astype(float), from_camera.ravel().astype(float))[0, 1]
    assert correlation > 0.85

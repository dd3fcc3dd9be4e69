"""The canonical chip: one function, the same face whatever its place, size and turn."""

import cv2
import numpy as np
import pytest

from ast_net_ros.vision.alignment import CHIP_SIDE, LANDMARK_TEMPLATE, align_face, similarity_transform


def _image(side: int = 400) -> np.ndarray:
    """A smooth image with structure everywhere, so that a wrong cut shows."""
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 255, (12, 12), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def _landmarks(centre: tuple[float, float], size: float, degrees: float = 0.0) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((LANDMARK_TEMPLATE - 0.5) * size @ turn.T + centre).astype(np.float32)


def test_similarity_transform_recovers_rotation_scale_and_shift():
    points = np.array([[1, 2], [5, 1], [3, 8], [0, 0], [7, 7]], float)
    angle, scale, shift = 0.7, 2.5, np.array([4.0, -3.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity_transform(points, points @ turn.T + shift)
    np.testing.assert_allclose(found, np.column_stack([turn, shift]), atol=1e-9)


def test_similarity_transform_never_mirrors():
    found = similarity_transform(LANDMARK_TEMPLATE * [-1, 1], LANDMARK_TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


def test_landmarks_that_coincide_are_refused_by_value():
    with pytest.raises(ValueError, match="coincide"):
        align_face(_image(), np.full((5, 2), 10.0))


def test_landmarks_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        align_face(_image(), np.full((5, 2), np.nan))


def test_a_face_at_chip_size_is_cut_pixel_for_pixel():
    image = _image(CHIP_SIDE)
    chip = align_face(image, LANDMARK_TEMPLATE * CHIP_SIDE - 0.5)
    np.testing.assert_array_equal(chip, image)


@pytest.mark.parametrize("size", [60, 100, 200, 300, 800])
def test_chip_is_the_same_at_every_size(size):
    face = _image(300)
    reference = align_face(face, _landmarks((149.5, 149.5), 300))
    scaled = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA)
    chip = align_face(scaled, _landmarks(((size - 1) / 2, (size - 1) / 2), size))
    assert np.abs(chip.astype(int) - reference).mean() < 2.5


@pytest.mark.parametrize("degrees", [-30, 15, 90])
def test_chip_is_upright_however_the_face_is_turned(degrees):
    face = _image(400)
    reference = align_face(face, _landmarks((199.5, 199.5), 200))
    turned = cv2.warpAffine(face, cv2.getRotationMatrix2D((199.5, 199.5), -degrees, 1), (400, 400))
    chip = align_face(turned, _landmarks((199.5, 199.5), 200, degrees))
    assert np.abs(chip.astype(int) - reference).mean() < 4


def test_a_face_over_the_edge_repeats_the_border():
    image = np.full((100, 100, 3), 50, np.uint8)
    for size in (60, 400):
        chip = align_face(image, _landmarks((0, 0), size))
        assert chip.shape == (CHIP_SIDE, CHIP_SIDE)
        assert (chip == 50).all()


def test_a_large_face_is_averaged_not_sampled():
    stripes = np.zeros((480, 480), np.uint8)
    stripes[:, ::2] = 255
    chip = align_face(stripes, _landmarks((239.5, 239.5), 480))
    assert chip.std() < 5
    assert abs(float(chip.mean()) - 127.5) < 3


def test_colour_and_grey_images_give_the_same_chip():
    grey = _image(300)
    landmarks = _landmarks((150, 140), 160, 10)
    difference = align_face(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), landmarks).astype(int) - align_face(grey, landmarks)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("face_size", [40, 160, 400])
def test_a_chip_is_the_grey_of_the_colours_to_rounding(face_size):
    colours = np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    colours = cv2.GaussianBlur(colours, (9, 9), 3)
    landmarks = _landmarks((239.5, 239.5), face_size, 10)
    blue, green, red = (align_face(channel, landmarks).astype(float) for channel in cv2.split(colours))
    difference = align_face(colours, landmarks) - (0.114 * blue + 0.587 * green + 0.299 * red)
    assert np.abs(difference).max() <= 2
    assert abs(difference.mean()) < 0.3

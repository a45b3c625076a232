"""Similarity fits and crops against SciPy and numpy's general least squares."""

import numpy as np
import pytest

from speech2face.face.align import (
    ARCFACE_SIDE,
    ARCFACE_TEMPLATE,
    Similarity,
    arcface_template,
    face_crop,
    fit_similarity,
    similarity_crop,
    warp,
)
from speech2face.face.detect import Box, LocatedFace
from speech2face.face.landmarks import LEFT_EYE, RIGHT_EYE, five_points, mirror_landmarks

scipy_ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is the independent reference")


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rotation(degrees: float, scale: float = 1.0) -> np.ndarray:
    angle = np.radians(degrees)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def linear_least_squares(source: np.ndarray, destination: np.ndarray) -> np.ndarray:
    """Images of `source` under the best a + bi, the same problem as a linear system."""
    x, y = source.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    unknown = np.linalg.lstsq(system, destination.T.ravel(), rcond=None)[0]
    return (system @ unknown).reshape(2, -1).T


@pytest.mark.parametrize("n_points", [2, 3, 5, 68])
def test_fit_equals_the_linear_least_squares_solution(n_points: int) -> None:
    generator = np.random.default_rng(n_points)
    source = generator.uniform(0, 200, (n_points, 2))
    destination = source @ rotation(25, 0.6).T + generator.normal(0, 5, (n_points, 2))
    images = fit_similarity(source, destination)(source)
    np.testing.assert_allclose(images, linear_least_squares(source, destination), atol=1e-9)


@pytest.mark.parametrize("degrees", [0, 90, 179, -30])
def test_fit_finds_an_exact_similarity(degrees: float) -> None:
    true = Similarity(rotation(degrees, 1.7), np.array([30.0, -4.0]))
    source = np.random.default_rng(0).uniform(0, 200, (5, 2))
    fitted = fit_similarity(source, true(source))
    np.testing.assert_allclose(fitted.matrix, true.matrix, atol=1e-12)
    np.testing.assert_allclose(fitted.shift, true.shift, atol=1e-9)
    assert fitted.scale == pytest.approx(1.7)


def test_fit_never_reflects() -> None:
    source = np.random.default_rng(0).uniform(0, 200, (5, 2))
    fitted = fit_similarity(source, source * [-1, 1])
    assert np.linalg.det(fitted.matrix) > 0
    linear = linear_least_squares(source, source * [-1, 1])
    np.testing.assert_allclose(fitted(source), linear, atol=1e-9)


def test_fit_refuses_a_single_place() -> None:
    with pytest.raises(ValueError, match="two distinct"):
        fit_similarity(np.full((5, 2), 3.0), np.ones((5, 2)))


def test_the_inverse_leads_back() -> None:
    similarity = Similarity(rotation(33, 0.4), np.array([5.0, 6.0]))
    points = np.random.default_rng(0).uniform(0, 200, (7, 2))
    np.testing.assert_allclose(similarity.inverse()(similarity(points)), points)


def test_crop_equals_scipy_interpolation() -> None:
    image = random_image(60, 80)
    source = np.array([[20.0, 25.0], [50.0, 22.0], [36.0, 40.0]])
    template = np.array([[10.0, 12.0], [38.0, 12.0], [24.0, 30.0]])
    crop = similarity_crop(image, source, template, size=48)

    way_back = fit_similarity(source, template).inverse()
    rows, columns = np.mgrid[:48, :48]
    x, y = way_back(np.stack([columns.ravel(), rows.ravel()], axis=-1)).T
    for channel in range(3):
        expected = scipy_ndimage.map_coordinates(
            image[..., channel].astype(float), [y, x], order=1, mode="nearest"
        )
        np.testing.assert_allclose(crop[..., channel].ravel(), expected, atol=0.5001)


def test_convention_the_identity_returns_the_picture_itself() -> None:
    image = random_image(40, 40)
    corners = np.array([[0.0, 0.0], [39.0, 0.0], [0.0, 39.0]])
    np.testing.assert_array_equal(similarity_crop(image, corners, corners, 40), image)


def test_convention_a_landmark_lands_on_its_template_pixel_x_first() -> None:
    image = np.zeros((50, 70, 3), dtype=np.uint8)
    image[10, 33] = 255  # row 10, column 33: the point (33, 10)
    landmarks = np.array([[33.0, 10.0], [43.0, 10.0]])
    crop = similarity_crop(image, landmarks, landmarks - [13, 5], size=40)
    assert np.argwhere(crop[..., 0] == 255).tolist() == [[5, 20]]


def test_outside_the_photograph_its_border_is_repeated() -> None:
    image = random_image(20, 20)
    shifted = warp(image, Similarity(np.eye(2), np.array([8.0, 0.0])), 20)
    np.testing.assert_array_equal(shifted[:, 8:], image[:, :12])
    np.testing.assert_array_equal(shifted[:, :8], np.repeat(image[:, :1], 8, axis=1))


@pytest.mark.parametrize("factor", [2, 4, 7])
def test_a_crop_that_shrinks_averages_instead_of_skipping(factor: int) -> None:
    image = random_image(24 * factor, 24 * factor)
    placed = Similarity(np.eye(2) / factor, np.full(2, 0.5 / factor - 0.5))  # corner to corner
    blocks = image.reshape(24, factor, 24, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(warp(image, placed, 24), blocks, atol=1.01)


def test_convention_templates_scale_with_the_picture_not_with_the_pixel_index() -> None:
    np.testing.assert_array_equal(arcface_template(), ARCFACE_TEMPLATE)
    doubled = arcface_template(2 * ARCFACE_SIDE)
    # The centre of a pixel is the corner between two pixels of a picture of twice the size.
    np.testing.assert_allclose(doubled, np.array(ARCFACE_TEMPLATE) * 2 + 0.5)


def test_portraits_are_aligned_to_the_template(portraits, located, detector) -> None:
    size = 224
    for image, face in zip(portraits, located, strict=True):
        crop = similarity_crop(image, five_points(face.landmarks), arcface_template(size), size)
        again = five_points(detector.locate(crop).landmarks)
        assert np.abs(again - arcface_template(size)).max() < 0.09 * size


def test_the_loose_crop_holds_the_whole_face_with_room_above(portraits, located, detector) -> None:
    for image, face in zip(portraits, located, strict=True):
        crop = face_crop(image, face)
        assert crop.shape == (224, 224, 3) and crop.dtype == np.uint8
        inside = detector.locate(crop)
        assert inside.found
        lowest, highest = inside.landmarks.min(axis=0), inside.landmarks.max(axis=0)
        assert (highest - lowest).max() == pytest.approx(224 / 1.6, rel=0.1)
        assert lowest[1] > 45  # forehead and hair
        assert 8 < 224 - highest[1] < 45  # part of the neck


def test_the_loose_crop_does_not_depend_on_the_size_of_the_photograph(portraits, located) -> None:
    image, face = portraits[3], located[3]
    large = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)
    four_times = LocatedFace(face.box, (face.landmarks + 0.5) * 4 - 0.5, found=True)
    small_crop, large_crop = face_crop(image, face, size=64), face_crop(large, four_times, size=64)
    difference = np.abs(small_crop.astype(int) - large_crop)
    assert difference.mean() < 2


def test_the_crop_of_a_mirrored_photograph_is_the_mirrored_crop() -> None:
    image = random_image(120, 160)
    landmarks = np.random.default_rng(3).uniform(30, 90, (68, 2))
    face = LocatedFace(Box(0, 0, 9, 9), landmarks, found=True)
    mirrored = LocatedFace(face.box, mirror_landmarks(landmarks, 160), found=True)
    crop = face_crop(image, face, size=65)
    np.testing.assert_allclose(
        face_crop(image[:, ::-1], mirrored, size=65), crop[:, ::-1], atol=1.001
    )


@pytest.mark.parametrize("degrees", [-25, 0, 15])
def test_roll_is_removed_when_asked(degrees: float, located) -> None:
    turned = located[2].landmarks @ rotation(degrees).T + [100, 100]
    face = LocatedFace(located[2].box, turned, found=True)
    marked = np.zeros((500, 500, 3), dtype=np.uint8)
    for eye in (RIGHT_EYE, LEFT_EYE):
        x, y = np.rint(turned[eye].mean(axis=0)).astype(int)
        marked[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = face_crop(marked, face, remove_roll=True)[..., 0].astype(float)
    halves = crop[:, :112], crop[:, 112:]
    heights = [(half.sum(axis=1) @ np.arange(224)) / half.sum() for half in halves]
    assert abs(heights[0] - heights[1]) < 2

"""The 68-point scheme: groups, mirror, five points."""

import numpy as np
import pytest

from speech2face.face import landmarks as scheme
from speech2face.face.landmarks import N_LANDMARKS, PAIRS, five_points, mirror_landmarks


def random_landmarks(*leading: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 224, (*leading, N_LANDMARKS, 2))


def test_groups_cover_every_point_once() -> None:
    groups = (
        scheme.JAW,
        scheme.RIGHT_EYEBROW,
        scheme.LEFT_EYEBROW,
        scheme.NOSE_BRIDGE,
        scheme.NOSE_BASE,
        scheme.RIGHT_EYE,
        scheme.LEFT_EYE,
        scheme.OUTER_LIPS,
        scheme.INNER_LIPS,
    )
    points = [point for group in groups for point in range(N_LANDMARKS)[group]]
    assert points == list(range(N_LANDMARKS))
    both_lips = [*range(N_LANDMARKS)[scheme.OUTER_LIPS], *range(N_LANDMARKS)[scheme.INNER_LIPS]]
    assert both_lips == list(range(N_LANDMARKS)[scheme.MOUTH])


def test_points_without_a_partner_are_those_of_the_midline() -> None:
    paired = [point for pair in PAIRS for point in pair]
    assert len(paired) == len(set(paired)) == 58
    midline = sorted(set(range(N_LANDMARKS)) - set(paired))
    assert midline == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def test_neighbours_on_a_contour_are_neighbours_in_the_mirror() -> None:
    open_contours = ("JAW", "RIGHT_EYEBROW", "LEFT_EYEBROW", "NOSE_BRIDGE", "NOSE_BASE")
    closed_contours = ("RIGHT_EYE", "LEFT_EYE", "OUTER_LIPS", "INNER_LIPS")
    neighbours = set()
    for name in (*open_contours, *closed_contours):
        points = list(range(N_LANDMARKS)[getattr(scheme, name)])
        neighbours |= {frozenset(step) for step in zip(points, points[1:], strict=False)}
        if name in closed_contours:
            neighbours.add(frozenset((points[-1], points[0])))
    partner = {point: point for point in range(N_LANDMARKS)}
    for right, left in PAIRS:
        partner[right], partner[left] = left, right
    assert {frozenset(partner[point] for point in step) for step in neighbours} == neighbours


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_two_mirrors_give_the_same_face_again(leading: tuple[int, ...]) -> None:
    points = random_landmarks(*leading)
    once = mirror_landmarks(points, width=224)
    assert not np.allclose(once, points)
    np.testing.assert_allclose(mirror_landmarks(once, width=224), points)


def test_mirroring_leaves_its_argument_alone() -> None:
    points = random_landmarks()
    before = points.copy()
    mirror_landmarks(points, width=224)
    np.testing.assert_array_equal(points, before)


def test_convention_the_mirror_moves_a_pixel_where_the_flipped_picture_has_it() -> None:
    image = np.zeros((10, 7), dtype=np.uint8)
    image[4, 2] = 1
    points = np.tile([2.0, 4.0], (N_LANDMARKS, 1))
    x, y = mirror_landmarks(points, width=7)[0].astype(int)
    assert image[:, ::-1][y, x] == 1


def test_convention_right_is_the_right_of_the_person_shown(located) -> None:
    for face in located:
        points = face.landmarks
        assert points[scheme.RIGHT_EYE, 0].max() < points[scheme.LEFT_EYE, 0].min()
        assert points[scheme.ALARE_RIGHT, 0] < points[scheme.ALARE_LEFT, 0]
        assert points[scheme.CHEILION_RIGHT, 0] < points[scheme.CHEILION_LEFT, 0]


def test_convention_y_points_down(located) -> None:
    for face in located:
        down = (scheme.NASION, scheme.NOSE_TIP, scheme.LABIALE_SUPERIUS, scheme.CHIN)
        assert np.all(np.diff(face.landmarks[list(down), 1]) > 0)


def test_every_pair_mirrors_on_a_real_frontal_face(portraits, detector) -> None:
    # A wrong pair would put two points of one side across each other: tens of pixels.
    image = portraits[3]
    seen_in_mirror = detector.locate(np.ascontiguousarray(image[:, ::-1])).landmarks
    mirrored = mirror_landmarks(detector.locate(image).landmarks, width=image.shape[1])
    distances = np.linalg.norm(seen_in_mirror - mirrored, axis=-1)
    interocular = np.linalg.norm(mirrored[36] - mirrored[45])
    assert distances.max() < 0.15 * interocular


def test_five_points_are_eye_centres_nose_tip_and_mouth_corners() -> None:
    points = random_landmarks(2)
    five = five_points(points)
    assert five.shape == (2, 5, 2)
    by_hand = [
        sum(points[1, i] for i in range(36, 42)) / 6,
        sum(points[1, i] for i in range(42, 48)) / 6,
        points[1, 30],
        points[1, 48],
        points[1, 54],
    ]
    np.testing.assert_allclose(five[1], by_hand)

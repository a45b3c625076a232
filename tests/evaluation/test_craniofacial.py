"""Craniofacial measures against hand-worked faces, and their correlations against SciPy."""

import numpy as np
import pytest
from scipy import stats

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.craniofacial import (
    MEASURES,
    correlate,
    group_means,
    holm,
    measure_faces,
    pearson_p,
    pearson_r,
)
from speech2face.report.published import published_tables

NAMES = [measure.name for measure in MEASURES]


def hand_drawn_face() -> np.ndarray:
    """A face on squared paper: every point a measure reads, in whole pixels."""
    points = np.random.default_rng(0).uniform(0, 200, (68, 2))  # points that no measure may read
    placed = {
        2: (20, 100), 14: (180, 100),  # cheekbones: 160 apart
        5: (40, 160), 11: (160, 160),  # jaw corners: 120
        8: (100, 210),  # chin
        27: (100, 90), 33: (100, 140),  # nose height: 50
        31: (80, 130), 35: (120, 130),  # nose width: 40
        32: (90, 136), 34: (110, 136),
        36: (50, 90), 45: (150, 90),  # outer eye corners: 100
        39: (85, 90), 42: (115, 90),  # inner eye corners: 30
        48: (70, 160), 54: (130, 160),  # mouth: 60
        50: (90, 152), 52: (110, 152),  # philtrum: 20
        51: (100, 154), 57: (100, 176),
        62: (100, 158), 66: (100, 162),  # lips meet at y = 160
    }  # fmt: skip
    for index, point in placed.items():
        points[index] = point
    return points


HAND_WORKED = {
    "upper_lip_height": 20 / 100,  # from (100, 140) to (100, 160)
    "lateral_upper_lip_height": 16 / 100,  # 136 to 152, both sides
    "jaw_width": 120 / 100,
    "nose_height": 50 / 100,
    "nose_width": 40 / 100,
    "labio_oral_width": 60 / 100,
    "mandibular_index": 50 / 120,  # 160 to 210 over the jaw
    "intercanthal_index": 30 / 100,
    "nasal_index": 40 / 50,
    "vermilion_height_index": 6 / 16,  # 154 to 160 over 160 to 176
    "mouth_face_width_index": 60 / 160,
    "nose_area": 0.5 * 40 * 40 / 100**2,  # base 40, and 40 from y = 90 to y = 130
    "philtrum_width": 20 / 100,
}


@pytest.mark.parametrize("name", NAMES)
def test_measure_of_a_hand_drawn_face_is_the_hand_worked_value(name: str) -> None:
    values = measure_faces(hand_drawn_face()[None])[0]
    assert values[NAMES.index(name)] == pytest.approx(HAND_WORKED[name], abs=1e-12)


def test_all_thirteen_measures_of_the_paper_are_there_under_its_names() -> None:
    assert list(HAND_WORKED) == NAMES
    assert {row[0] for row in published_tables()["craniofacial"].rows} == {
        *NAMES,
        "random baseline (nasal index)",
    }


def test_convention_measures_do_not_change_with_place_size_or_turn_of_the_face() -> None:
    face = hand_drawn_face()
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = 1.7 * face @ turn.T + [31.0, -8.0]
    np.testing.assert_allclose(measure_faces(moved[None]), measure_faces(face[None]), rtol=1e-12)


def test_pearson_r_and_p_equal_scipy() -> None:
    generator = np.random.default_rng(1)
    left = generator.normal(size=(40, 5))
    right = 0.4 * left + generator.normal(size=(40, 5))
    r = pearson_r(left, right)
    p = pearson_p(r, 40)
    for column in range(5):
        reference = stats.pearsonr(left[:, column], right[:, column])
        assert r[column] == pytest.approx(reference.statistic, abs=1e-12)
        assert p[column] == pytest.approx(reference.pvalue, rel=1e-9)


def test_weighted_pearson_equals_pearson_of_repeated_rows() -> None:
    generator = np.random.default_rng(2)
    left, right = generator.normal(size=(2, 12, 3))
    weights = generator.integers(0, 4, size=(6, 12))
    weighted = pearson_r(left, right, weights)
    for draw in range(6):
        rows = np.repeat(np.arange(12), weights[draw])
        for column in range(3):
            expected = stats.pearsonr(left[rows, column], right[rows, column]).statistic
            assert weighted[draw, column] == pytest.approx(expected, abs=1e-10)


def test_a_constant_predictor_has_correlation_zero() -> None:
    assert pearson_r(np.arange(5.0)[:, None], np.full((5, 1), 3.0)) == 0


def test_holm_matches_a_hand_worked_example() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; never below the one before.
    adjusted = holm(np.array([0.04, 0.01, 0.03, 0.02]))
    np.testing.assert_allclose(adjusted, [0.06, 0.04, 0.06, 0.06])


def test_group_means_are_those_of_a_loop() -> None:
    values = np.array([[1.0, 10.0], [3.0, 20.0], [5.0, 60.0]])
    expected = [[2.0, 15.0], [2.0, 15.0], [5.0, 60.0]]
    np.testing.assert_allclose(group_means(values, ["f", "f", "m"]), expected)


def crowd(n: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(scale=4.0, size=(n, 68, 2))
    return hand_drawn_face() + noise


def people(n: int, clips_each: int = 2) -> list[str]:
    return [f"p{i // clips_each:03d}" for i in range(n)]


def test_a_perfect_predictor_has_r_one_in_every_measure() -> None:
    scores = correlate(crowd(40), crowd(40), people(40), n_shuffles=50)
    assert [score.name for score in scores] == NAMES
    assert all(score.value == pytest.approx(1) for score in scores)
    assert all(score.interval is not None and score.interval.low > 0.999 for score in scores)


def test_shuffled_faces_fall_to_r_zero_and_the_control_sits_there() -> None:
    faces = crowd(300)
    strangers = np.roll(faces, 150, axis=0)
    for score in correlate(faces, strangers, people(300), n_shuffles=50):
        assert abs(score.value) < 0.2
    for score in correlate(faces, faces, people(300), n_shuffles=50):
        assert abs(score.controls["shuffled"]) < 0.03
        assert score.controls["shuffled 97.5%"] < 0.2


def faces_of_two_genders(n: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Nose and jaw differ between genders, and otherwise left and right have nothing in common."""
    genders = ["female" if i % 2 else "male" for i in range(n)]
    left, right = crowd(n, seed=1), crowd(n, seed=2)
    wider = np.array([30.0 if gender == "male" else 0.0 for gender in genders])
    for faces in (left, right):
        faces[:, 35, 0] += wider
        faces[:, 11, 0] += wider
    return left, right, genders


def test_a_correlation_made_by_gender_alone_is_unmasked_by_its_controls() -> None:
    left, right, genders = faces_of_two_genders(400)
    scores = correlate(left, right, people(400, 1), genders=genders, n_shuffles=50)
    nose = scores[NAMES.index("nose_width")]
    assert nose.value > 0.6
    assert nose.oracle is not None and nose.oracle >= nose.value - 0.05
    assert nose.controls["same gender shuffled"] > 0.6
    assert abs(nose.controls["shuffled"]) < 0.05
    assert abs(nose.controls["within gender"]) < 0.15


def test_scores_do_not_depend_on_the_order_of_clips_but_their_draws_may() -> None:
    left, right, genders = faces_of_two_genders(60)
    names = people(60, 3)
    order = np.random.default_rng(0).permutation(60)
    first = correlate(left, right, names, genders=genders, n_shuffles=50)
    again = correlate(
        left[order],
        right[order],
        [names[i] for i in order],
        genders=[genders[i] for i in order],
        n_shuffles=50,
    )
    for a, b in zip(first, again, strict=True):
        assert a.value == pytest.approx(b.value) and a.oracle == pytest.approx(b.oracle)
        assert a.interval is not None and b.interval is not None
        assert a.interval.low == pytest.approx(b.interval.low)


@pytest.mark.parametrize(
    ("landmarks", "words"),
    [
        (np.zeros((3, 5, 2)), "68"),
        (np.full((3, 68, 2), np.nan), "NaN"),
        (np.zeros((3, 68, 2)), "coinciding"),
    ],
)
def test_unusable_landmarks_are_refused(landmarks: np.ndarray, words: str) -> None:
    with pytest.raises(Speech2FaceError, match=words):
        measure_faces(landmarks)


def test_one_person_or_too_few_clips_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="person"):
        correlate(crowd(6), crowd(6), ["only"] * 6)
    with pytest.raises(Speech2FaceError, match="three"):
        correlate(crowd(2), crowd(2), ["a", "b"])


def test_r_within_gender_is_that_of_both_sides_less_their_gender_means() -> None:
    left, right, genders = faces_of_two_genders(60)
    scores = correlate(left, right, people(60, 1), genders=genders, n_shuffles=50)
    of_left, of_right = measure_faces(left), measure_faces(right)  # [60, 13] each
    for gender in ("female", "male"):
        rows = np.array([one == gender for one in genders])
        of_left[rows] -= of_left[rows].mean(axis=0)
        of_right[rows] -= of_right[rows].mean(axis=0)
    for column, score in enumerate(scores):
        reference = stats.pearsonr(of_left[:, column], of_right[:, column]).statistic
        assert score.controls["within gender"] == pytest.approx(reference, abs=1e-9)

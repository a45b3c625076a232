"""Paired similarity against SciPy, and the controls that give its figures a meaning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial import distance as scipy_distance

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.similarity import MeanFace, paired_similarity, similarity_scores
from speech2face.evaluation.uncertainty import PersonBootstrap

GENERATOR = np.random.default_rng(0)
PERSONS = np.array([f"p{i:02}" for i in range(30)])
GENDERS = np.array(["f", "m"] * 15)
TRUE = 3 + GENERATOR.normal(size=(30, 8)) + np.where(GENDERS == "f", 2, -2)[:, None]
TRAINING = 3 + GENERATOR.normal(size=(200, 8))
MEAN_FACE = MeanFace.fit(TRAINING)


def test_measures_equal_those_of_scipy() -> None:
    left, right = GENERATOR.normal(size=(2, 20, 5))
    measured = paired_similarity(left, right)
    for row in range(20):
        a, b = left[row], right[row]
        unit_a, unit_b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        cosine = 1 - scipy_distance.cosine(a, b)
        expected = {
            "angle": np.degrees(np.arccos(cosine)),
            "cosine": cosine,
            "L2": scipy_distance.euclidean(a, b),
            "L1": scipy_distance.cityblock(a, b),
            "unit L2": scipy_distance.euclidean(unit_a, unit_b),
            "unit L1": scipy_distance.cityblock(unit_a, unit_b),
        }
        for name, value in expected.items():
            assert measured[name][row] == pytest.approx(value)


def test_hand_worked_pairs() -> None:
    measured = paired_similarity([[1, 0], [2, 0], [1, 0]], [[0, 1], [5, 0], [1, 1]])
    np.testing.assert_allclose(measured["angle"], [90, 0, 45], atol=1e-12)
    np.testing.assert_allclose(measured["L2"], [np.sqrt(2), 3, 1])
    np.testing.assert_allclose(measured["L1"], [2, 3, 1])
    np.testing.assert_allclose(measured["unit L2"], [np.sqrt(2), 0, 2 * np.sin(np.pi / 8)])


def test_small_angles_keep_their_digits() -> None:
    angle = paired_similarity([[1.0, 0.0]], [[1.0, 1e-9]])["angle"][0]
    assert angle == pytest.approx(np.degrees(1e-9), rel=1e-6)  # arccos would give 0


def test_the_mean_face_is_the_best_constant_for_each_measure() -> None:
    measured = {name: values.mean() for name, values in MEAN_FACE.similarity(TRAINING).items()}
    for nudge in 0.05 * GENERATOR.normal(size=(30, 8)):
        other = paired_similarity(np.broadcast_to(MEAN_FACE.direction + nudge, (200, 8)), TRAINING)
        assert other["cosine"].mean() <= measured["cosine"]
        for name, centre in (("L2", MEAN_FACE.mean), ("L1", MEAN_FACE.median)):
            shifted = paired_similarity(np.broadcast_to(centre + nudge, (200, 8)), TRAINING)
            if name == "L1":
                assert shifted["L1"].mean() >= measured["L1"]
            else:  # the arithmetic mean minimises the squared distance
                assert (shifted["L2"] ** 2).mean() >= (
                    MEAN_FACE.similarity(TRAINING)["L2"] ** 2
                ).mean()
    best = minimize(
        lambda c: -paired_similarity(np.broadcast_to(c, (200, 8)), TRAINING)["cosine"].mean(),
        TRAINING[0],
    )
    assert measured["cosine"] == pytest.approx(-best.fun, abs=1e-6)


def test_the_mean_face_comes_from_training_faces_only() -> None:
    scores = similarity_scores(TRUE, TRUE, PERSONS, mean_face=MEAN_FACE)
    expected = paired_similarity(np.broadcast_to(MEAN_FACE.direction, TRUE.shape), TRUE)["angle"]
    assert scores["angle"].controls["mean face"] == pytest.approx(expected.mean())


def test_a_perfect_predictor_is_at_zero_distance_with_full_skill() -> None:
    scores = similarity_scores(TRUE, TRUE, PERSONS, mean_face=MEAN_FACE, genders=GENDERS)
    assert scores["angle"].value == pytest.approx(0, abs=1e-6)
    assert scores["angle"].details["skill"] == pytest.approx(1)
    assert scores["cosine"].value == pytest.approx(1)
    assert scores["L2"].value == scores["L1"].value == 0


def test_a_shuffled_predictor_is_at_its_chance() -> None:
    persons = np.array([f"q{i}" for i in range(400)])
    true = 3 + GENERATOR.normal(size=(400, 8))
    predicted = true[GENERATOR.permutation(400)]
    scores = similarity_scores(predicted, true, persons, mean_face=MEAN_FACE)
    assert scores["angle"].value == pytest.approx(scores["angle"].chance, abs=0.6)
    assert scores["angle"].details["skill"] < 0


def test_a_model_of_gender_alone_is_told_by_the_same_gender_shuffle() -> None:
    gender_means = np.array([TRUE[gender == GENDERS].mean(axis=0) for gender in GENDERS])
    scores = similarity_scores(gender_means, TRUE, PERSONS, mean_face=MEAN_FACE, genders=GENDERS)
    angle = scores["angle"]
    assert angle.value == pytest.approx(angle.controls["same-gender shuffled"])
    assert angle.controls["shuffled voices"] > angle.value + 2


def test_a_mean_face_has_a_high_cosine_and_no_skill() -> None:
    constant = np.broadcast_to(MEAN_FACE.direction, TRUE.shape)
    scores = similarity_scores(constant, TRUE, PERSONS, mean_face=MEAN_FACE)
    assert scores["cosine"].value > 0.75
    assert scores["angle"].details["skill"] == pytest.approx(0)
    assert scores["angle"].chance == pytest.approx(scores["angle"].value)


def test_every_person_counts_once() -> None:
    true = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    predicted = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    scores = similarity_scores(
        predicted, true, ["a", "b", "b"], mean_face=MeanFace.fit([[1.0, 1.0]])
    )
    assert scores["angle"].value == pytest.approx(45)  # the mean over clips would be 60
    assert scores["angle"].details["sd over clips"] == pytest.approx(np.std([0, 90, 90]))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_list_order_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(30)
    persons = np.repeat(PERSONS[:10], 3)
    ids = np.array([f"c{i:02}" for i in range(30)])
    predicted = TRUE + 1
    first, second = (
        similarity_scores(
            predicted[rows],
            TRUE[rows],
            persons[rows],
            mean_face=MEAN_FACE,
            ids=ids[rows],
            bootstrap=PersonBootstrap.draw(persons[rows], n_draws=40),
        )
        for rows in (np.arange(30), order)
    )
    for name, score in first.items():
        assert second[name].value == pytest.approx(score.value)
        assert second[name].chance == pytest.approx(score.chance)
        assert score.interval is not None and second[name].interval is not None
        assert second[name].interval.low == pytest.approx(score.interval.low)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="29 predicted and 30 true"):
        paired_similarity(TRUE[1:], TRUE)
    with pytest.raises(Speech2FaceError, match="features have 4 numbers"):
        paired_similarity(TRUE[:, :4], TRUE)
    with pytest.raises(Speech2FaceError, match="norm zero, first at row 2"):
        paired_similarity(TRUE[:3] * np.array([[1], [1], [0]]), TRUE[:3])
    with pytest.raises(Speech2FaceError, match="nobody has another person"):
        similarity_scores(TRUE[:2], TRUE[:2], ["a", "a"], mean_face=MEAN_FACE)
    with pytest.raises(Speech2FaceError, match="take 20 or more"):
        similarity_scores(TRUE, TRUE, PERSONS, mean_face=MEAN_FACE, n_shuffles=5)
    with pytest.raises(Speech2FaceError, match="norm zero"):
        MeanFace.fit([[1.0, 0.0], [-1.0, 0.0]])

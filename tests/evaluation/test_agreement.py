"""Agreement of labels against scikit-learn and hand-worked tables."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.agreement import (
    DECADES,
    NO_FACE,
    age_decade,
    age_error,
    agreement,
    confusion,
)

CLASSES = ("a", "b", "c")


def random_labels(n: int, seed: int = 0) -> tuple[list[str], list[str | None]]:
    generator = np.random.default_rng(seed)
    true = generator.choice(CLASSES, n, p=[0.6, 0.3, 0.1]).tolist()
    made: list[str | None] = [
        None if generator.random() < 0.1 else label if generator.random() < 0.5 else "a"
        for label in true
    ]
    return true, made


def by_name(scores: list) -> dict[str, object]:  # type: ignore[type-arg]
    return {score.name: score for score in scores}


def test_hand_worked_table_of_ten_faces() -> None:
    true = ["f", "f", "f", "f", "m", "m", "m", "m", "m", "m"]
    made = ["f", "f", "m", None, "m", "m", "m", "m", "f", None]
    table = confusion(true, made)
    assert table.classes == ("f", "m")
    np.testing.assert_array_equal(table.counts, [[2, 1, 1], [1, 4, 1]])
    np.testing.assert_allclose(table.shares(), [[1 / 2, 1 / 4, 1 / 4], [1 / 6, 4 / 6, 1 / 6]])
    assert table.accuracy() == pytest.approx(6 / 10)  # the two without a face are wrong
    assert table.balanced_accuracy() == pytest.approx((2 / 4 + 4 / 6) / 2)
    assert table.majority_rate() == pytest.approx(6 / 10)
    expected = (4 * 3 + 6 * 5) / 100
    assert table.shuffled_accuracy() == pytest.approx(expected)
    assert table.kappa() == pytest.approx((0.6 - expected) / (1 - expected))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_accuracy_balanced_accuracy_and_kappa_equal_scikit_learn(seed: int) -> None:
    true, made = random_labels(80, seed)
    with_none = [NO_FACE if label is None else label for label in made]
    table = confusion(true, made, CLASSES)
    assert table.accuracy() == pytest.approx(accuracy_score(true, with_none))
    assert table.balanced_accuracy() == pytest.approx(balanced_accuracy_score(true, with_none))
    assert table.kappa() == pytest.approx(cohen_kappa_score(true, with_none))


def test_a_perfect_predictor_reaches_one_and_a_shuffled_one_its_chance() -> None:
    true, _ = random_labels(4_000)
    persons = [f"p{i}" for i in range(4_000)]
    for score in agreement(true, true, persons, what="label"):
        assert score.value == pytest.approx(1)
    shuffled = np.random.default_rng(1).permutation(true).tolist()
    scores = by_name(agreement(true, shuffled, persons, what="label"))
    accuracy = scores["label accuracy"]
    assert accuracy.value == pytest.approx(accuracy.controls["shuffled"], abs=0.02)  # type: ignore[attr-defined]
    assert scores["label kappa"].value == pytest.approx(0, abs=0.04)  # type: ignore[attr-defined]


def test_naming_the_majority_scores_the_majority_rate_and_kappa_zero() -> None:
    true, _ = random_labels(200)
    persons = [f"p{i // 2}" for i in range(200)]
    scores = by_name(agreement(true, ["a"] * 200, persons, what="label", classes=CLASSES))
    accuracy = scores["label accuracy"]
    assert accuracy.value == accuracy.controls["majority"]  # type: ignore[attr-defined]
    assert scores["label kappa"].value == pytest.approx(0)  # type: ignore[attr-defined]
    assert scores["label balanced accuracy"].value == pytest.approx(1 / 3)  # type: ignore[attr-defined]


def test_interval_of_kappa_is_that_of_recounting_every_resample() -> None:
    from speech2face.evaluation.uncertainty import PersonBootstrap

    true, made = random_labels(60)
    persons = np.array([f"p{i // 3:02d}" for i in range(60)])
    bootstrap = PersonBootstrap.draw(persons, n_draws=200, seed=3)
    score = agreement(true, made, persons, what="label", classes=CLASSES, bootstrap=bootstrap)[2]
    kappas = []
    for counts in bootstrap.counts:
        rows = np.repeat(np.arange(60), counts[bootstrap.columns(persons)].astype(int))
        table = confusion([true[i] for i in rows], [made[i] for i in rows], CLASSES)
        kappas.append(float(table.kappa()))
    low, high = np.percentile(kappas, [2.5, 97.5])
    assert score.interval is not None
    assert (score.interval.low, score.interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("age", "decade"),
    [
        (3, "10"),
        (10, "10"),
        (19.9, "10"),
        (20, "20"),
        (29, "20"),
        (69, "60"),
        (70, "70"),
        (95, "70"),
    ],
)
def test_convention_a_decade_begins_at_its_round_number_and_the_ends_are_open(
    age: float, decade: str
) -> None:
    assert age_decade(age) == decade
    assert decade in DECADES


def test_hand_worked_age_error_with_one_face_not_found() -> None:
    score = age_error([20, 30, 40, 50], [25, 30, 30, np.nan], ["a", "b", "c", "d"])
    assert score.value == pytest.approx((5 + 0 + 10) / 3)
    pairs = [abs(t - g) for t in (20, 30, 40) for g in (25, 30, 30)]
    assert score.chance == pytest.approx(np.mean(pairs))
    assert score.controls["constant"] == pytest.approx(20 / 3)
    assert (score.n, score.details["undetected"], score.unit) == (3, 1, "years")


def test_unknown_labels_unequal_lengths_and_no_pair_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="unknown labels"):
        confusion(["a"], ["z"], CLASSES)
    with pytest.raises(Speech2FaceError, match="1 labels of true photos, 2"):
        confusion(["a"], ["a", "b"])
    with pytest.raises(Speech2FaceError, match="0 labels"):
        confusion([], [])
    with pytest.raises(Speech2FaceError, match="age"):
        age_decade(float("nan"))
    with pytest.raises(Speech2FaceError, match="no generated face"):
        age_error([20, 30], [np.nan, np.nan], ["a", "b"])

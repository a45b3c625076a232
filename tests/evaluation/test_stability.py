"""Stability of invented speakers whose answers are known, against loops over pairs."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.stability import (
    consistency,
    duration_effect,
    language_effect,
    same_speaker_accuracy,
)
from speech2face.evaluation.uncertainty import PersonBootstrap

GENERATOR = np.random.default_rng(0)
N, EACH = 12, 4
PERSONS = np.repeat([f"p{i:02}" for i in range(N)], EACH)
GENDERS = np.repeat(["f", "m"] * (N // 2), EACH)
VIDEOS = np.array([f"{p}-{i % 2}" for i, p in enumerate(PERSONS)])
TRUE = np.repeat(GENERATOR.normal(size=(N, 6)), EACH, axis=0)
NOISY = TRUE + 0.8 * GENERATOR.normal(size=TRUE.shape)


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def twin_mean(wanted) -> float:  # type: ignore[no-untyped-def]
    """The brute-force twin: mean over persons of the mean over each one's pairs."""
    found: dict[str, list[float]] = {}
    for i in range(len(PERSONS)):
        for j in range(len(PERSONS)):
            if i != j and wanted(i, j):
                found.setdefault(PERSONS[i], []).append(cosine(NOISY[i], NOISY[j]))
    return float(np.mean([np.mean(values) for values in found.values()]))


def test_a_and_b_equal_the_loops_over_pairs() -> None:
    scores = consistency(NOISY, PERSONS, videos=VIDEOS, genders=GENDERS)
    same_video = scores["a, same video"].value
    assert same_video == pytest.approx(
        twin_mean(lambda i, j: PERSONS[i] == PERSONS[j] and VIDEOS[i] == VIDEOS[j])
    )
    a = twin_mean(lambda i, j: PERSONS[i] == PERSONS[j] and VIDEOS[i] != VIDEOS[j])
    b = twin_mean(lambda i, j: PERSONS[i] != PERSONS[j] and GENDERS[i] == GENDERS[j])
    assert scores["a"].value == pytest.approx(a) and scores["a"].chance == pytest.approx(b)
    assert scores["b"].value == pytest.approx(b)
    assert scores["a - b"].value == pytest.approx(a - b)


def test_auc_of_pairs_equals_the_loop_over_pairs_of_pairs() -> None:
    scores = consistency(NOISY, PERSONS, genders=GENDERS)
    pairs = list(combinations(range(len(PERSONS)), 2))
    same = [cosine(NOISY[i], NOISY[j]) for i, j in pairs if PERSONS[i] == PERSONS[j]]
    for stratum, gender_matters in (("U", False), ("G", True)):
        other = np.array(
            [
                cosine(NOISY[i], NOISY[j])
                for i, j in pairs
                if PERSONS[i] != PERSONS[j] and (not gender_matters or GENDERS[i] == GENDERS[j])
            ]
        )
        expected = np.mean([(value > other).mean() for value in same])
        assert scores[f"AUC {stratum}"].value == pytest.approx(expected)


def test_a_perfectly_stable_model_separates_all_pairs() -> None:
    scores = consistency(TRUE, PERSONS, videos=VIDEOS, genders=GENDERS)
    assert scores["a"].value == pytest.approx(1)
    assert scores["AUC U"].value == scores["AUC G"].value == 1
    assert same_speaker_accuracy(TRUE, TRUE, PERSONS, genders=GENDERS).value == 1


def test_a_constant_model_has_a_of_one_and_says_nothing() -> None:
    scores = consistency(np.ones((N * EACH, 6)), PERSONS, genders=GENDERS)
    assert scores["a"].value == pytest.approx(1)
    assert scores["a - b"].value == pytest.approx(0)
    assert scores["AUC U"].value == pytest.approx(0.5)
    halves = same_speaker_accuracy(np.ones((N, 6)), np.ones((N, 6)), PERSONS[::EACH])
    assert halves.value == 0.5 and halves.details["tie_rate"] == 1


def test_outputs_by_chance_are_at_chance() -> None:
    outputs = np.random.default_rng(1).normal(size=(150, 16))
    persons = np.repeat([f"q{i}" for i in range(50)], 3)
    scores = consistency(outputs, persons, bootstrap=PersonBootstrap.draw(persons, n_draws=200))
    assert scores["a - b"].interval is not None and not scores["a - b"].interval.excludes(0)
    assert scores["AUC U"].value == pytest.approx(0.5, abs=0.1)


def test_every_figure_has_an_interval_around_it() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=300)
    scores = consistency(NOISY, PERSONS, videos=VIDEOS, genders=GENDERS, bootstrap=bootstrap)
    scores["same speaker"] = same_speaker_accuracy(
        NOISY[::2], NOISY[1::2], PERSONS[::2], genders=GENDERS[::2], bootstrap=bootstrap
    )
    for score in scores.values():
        assert score.interval is not None
        assert score.interval.low <= score.value <= score.interval.high


def test_hand_worked_halves_of_three_speakers() -> None:
    # On a line, a at 0 | 1, b at 2 | 4, c at 9 | 8. First halves ask: a (1) beats b (4), c (8);
    # b (2) is nearer to a's 1 than to its 4, and beats c; c (1) beats both: (1 + .5 + 1) / 3.
    # Second halves ask: a (1) ties with b: (.5 + 1) / 2; b (4): own 2, a 4, c 5: 1; c: 1.
    first, second = np.array([[0.0], [2.0], [9.0]]), np.array([[1.0], [4.0], [8.0]])
    score = same_speaker_accuracy(first, second, list("abc"), distance="euclidean")
    assert score.details["first half"] == pytest.approx(2.5 / 3)
    assert score.details["second half"] == pytest.approx(2.75 / 3)
    assert score.value == pytest.approx(5.25 / 6)


def test_list_order_changes_nothing() -> None:
    order = GENERATOR.permutation(len(PERSONS))
    first = consistency(NOISY, PERSONS, videos=VIDEOS, genders=GENDERS)
    second = consistency(NOISY[order], PERSONS[order], videos=VIDEOS[order], genders=GENDERS[order])
    for name, score in first.items():
        assert second[name].value == pytest.approx(score.value)


def test_longer_clips_agree_more_with_the_longest() -> None:
    outputs = {
        seconds: TRUE[::EACH] + noise * GENERATOR.normal(size=(N, 6))
        for seconds, noise in ((1, 2.0), (2, 0.8), (3, 0.2))
    } | {6: TRUE[::EACH]}
    table = duration_effect(
        outputs,
        PERSONS[::EACH],
        genders=GENDERS[::EACH],
        bootstrap=PersonBootstrap.draw(PERSONS, n_draws=100),
    )
    assert list(table) == [1, 2, 3]
    values = [row["d"].value for row in table.values()]
    assert values == sorted(values)
    assert table[3]["own clip"].value == 1
    assert all(row["d"].value > row["d"].chance for row in table.values())
    assert table[3]["d"].interval is not None


def test_a_constant_model_agrees_with_itself_and_finds_no_clip() -> None:
    constant = {seconds: np.ones((N, 6)) for seconds in (3, 6)}
    row = duration_effect(constant, PERSONS[::EACH])[3]
    assert row["d"].value == pytest.approx(1) and row["d"].chance == pytest.approx(1)
    assert row["own clip"].value == 0.5


def test_a_model_that_hears_the_language_shows_it() -> None:
    languages = np.tile(["x", "x", "y", "y"], N)
    accent = np.where(languages == "x", 1.0, -1.0)[:, None] * np.eye(6)[:1] * 5
    scores = language_effect(TRUE + accent, PERSONS, languages, genders=GENDERS)
    assert scores["same person, same language"].value == pytest.approx(1)
    assert scores["same person, other language"].value < 0.2
    assert (
        scores["same person, other language"].chance == scores["other person, other language"].value
    )
    deaf_to_it = language_effect(TRUE, PERSONS, languages)
    assert deaf_to_it["same person, other language"].value == pytest.approx(1)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="no person has two outputs"):
        consistency(TRUE[::EACH], PERSONS[::EACH])
    with pytest.raises(Speech2FaceError, match="no other person"):
        same_speaker_accuracy(TRUE[:2], TRUE[:2], ["a", "a"])
    with pytest.raises(Speech2FaceError, match="two or more lengths"):
        duration_effect({6: TRUE}, PERSONS)
    with pytest.raises(Speech2FaceError, match="the same clips at every length"):
        duration_effect({3: TRUE[:-1], 6: TRUE}, PERSONS)
    with pytest.raises(Speech2FaceError, match="no pair of same person, other language"):
        language_effect(TRUE, PERSONS, np.full(len(PERSONS), "x"))


def test_the_same_speaker_test_asks_only_speakers_of_the_same_gender() -> None:
    # On a line: a at 0 | 1, b at 9 | 3, both "f"; c at 1.5 | 0.5 is "m" and lies nearer to a than
    # a's own other half. Among "f" alone: a (0) wins; b (9) wins; a (1): b's 9 is farther, wins;
    # b (3): own 6, a's 0 is 3 away, loses. c has nobody of its gender. With c, a loses once more.
    first, second = np.array([[0.0], [9.0], [1.5]]), np.array([[1.0], [3.0], [0.5]])
    within = same_speaker_accuracy(
        first, second, list("abc"), genders=["f", "f", "m"], distance="euclidean"
    )
    assert (within.details["first half"], within.details["second half"]) == (1.0, 0.5)
    assert (within.value, within.n, within.persons) == (0.75, 2, 2)
    anybody = same_speaker_accuracy(first, second, list("abc"), distance="euclidean")
    assert anybody.n == 3 and anybody.details["first half"] < 1


def test_intervals_of_the_same_speaker_test_are_of_the_same_gender_too() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=50)
    # A model that hears the gender and nothing else: always right against the other gender, and at
    # chance within one. Any interval that reached above one half would have met the other gender.
    heard = np.where(GENDERS[::EACH] == "f", 1.0, -1.0)[:, None] * np.ones(3)
    score = same_speaker_accuracy(
        heard, heard, PERSONS[::EACH], genders=GENDERS[::EACH], bootstrap=bootstrap
    )
    for interval in (score.interval, score.query_person_interval):
        assert interval is not None and (interval.low, interval.high) == (0.5, 0.5)

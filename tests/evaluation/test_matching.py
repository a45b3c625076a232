"""Exhaustive 1:2 matching against a loop over trials."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.matching import (
    Credits,
    exhaustive_credits,
    matching_score,
    query_person_draws,
    shares_labels,
    two_way_draws,
)
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import PersonBootstrap


def names(n: int) -> NDArray[np.str_]:
    return np.array([f"p{i}" for i in range(n)])


def twin_credit(query, persons, gallery, gallery_persons, own, allowed):  # type: ignore[no-untyped-def]
    """The brute-force twin: mean credit of each query, trial by trial, by Euclidean distance."""
    accuracy = []
    for i in range(len(query)):
        credits = []
        for j in range(len(gallery)):
            if gallery_persons[j] == persons[i] or not allowed(i, j):
                continue
            to_own = np.linalg.norm(query[i] - gallery[own[i]])
            to_impostor = np.linalg.norm(query[i] - gallery[j])
            tie = abs(to_own - to_impostor) < 1e-9
            credits.append(0.5 if tie else float(to_own < to_impostor))
        if credits:
            accuracy.append(np.mean(credits))
    return accuracy


@pytest.mark.parametrize("chunk", [1, 7, 23, 1000])
def test_chunked_credits_equal_the_loop_over_trials(chunk: int) -> None:
    generator = np.random.default_rng(0)
    gallery = generator.integers(0, 3, size=(31, 3)).astype(float)
    persons = np.concatenate([names(20), names(11)])
    own = generator.permutation(31)[:23]
    query = gallery[own] + generator.integers(-1, 2, size=(23, 3))
    genders = np.array(["f", "m", ""])[generator.integers(0, 3, size=31)]
    credits = exhaustive_credits(
        query, persons[own], gallery, persons, own=own, distance="euclidean", chunk=chunk
    )
    everyone = twin_credit(query, persons[own], gallery, persons, own, lambda i, j: True)
    np.testing.assert_allclose(credits.accuracy, everyone)
    assert credits.tie_rate > 0.05

    same_gender = credits.restricted(shares_labels((genders[own], genders)))
    expected = twin_credit(
        query,
        persons[own],
        gallery,
        persons,
        own,
        lambda i, j: genders[own[i]] == genders[j] != "",
    )
    np.testing.assert_allclose(same_gender.accuracy, expected)
    assert 0 < (~same_gender.kept).sum() < 23  # some queries lack a label, and are dropped


def test_hand_worked_trials() -> None:
    # On a line: a 0, b 2, c 5, d 5. Query of a at 1 ties with b, beats c and d: (.5 + 1 + 1) / 3.
    # Query of c at 4: a and b lose, d ties: (1 + 1 + .5) / 3.
    gallery = np.array([[0.0], [2.0], [5.0], [5.0]])
    credits = exhaustive_credits(
        [[1.0], [4.0]], ["a", "c"], gallery, ["a", "b", "c", "d"], distance="euclidean"
    )
    np.testing.assert_allclose(credits.accuracy, [2.5 / 3, 2.5 / 3])
    score = matching_score("1:2 U", credits)
    assert score.details["tie_rate"] == pytest.approx(2 / 6)
    assert (score.n, score.persons, score.details["trials"]) == (2, 2, 6)


def test_a_perfect_predictor_wins_every_trial() -> None:
    features = np.random.default_rng(1).normal(size=(60, 8))
    credits = exhaustive_credits(features, names(60), features, names(60))
    assert matching_score("1:2 U", credits).value == 1


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_a_constant_predictor_is_exactly_at_chance(distance: Distance) -> None:
    gallery = np.random.default_rng(2).normal(size=(60, 8))
    gallery[7] = gallery[3]
    credits = exhaustive_credits(np.ones((60, 8)), names(60), gallery, names(60), distance=distance)
    assert matching_score("1:2 U", credits).value == pytest.approx(0.5, abs=1e-12)


def test_a_shuffled_predictor_is_near_chance() -> None:
    generator = np.random.default_rng(3)
    gallery = generator.normal(size=(400, 8))
    query = gallery[generator.permutation(400)]
    accuracy = exhaustive_credits(query, names(400), gallery, names(400)).accuracy.mean()
    assert accuracy == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 400))


def test_gender_alone_reaches_the_closed_form() -> None:
    generator = np.random.default_rng(4)
    gender = np.array(["f", "m"])[generator.integers(0, 2, size=50)]
    one_hot = (gender[:, None] == ["f", "m"]).astype(float)
    credits = exhaustive_credits(one_hot, names(50), one_hot, names(50))
    same = (gender[:, None] == gender).sum(axis=1) - 1
    assert credits.accuracy.mean() == pytest.approx(1 - (same / 49).mean() / 2)  # 1 - p / 2
    within = credits.restricted(shares_labels((gender, gender)))
    np.testing.assert_array_equal(within.accuracy, 0.5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_accuracy_and_interval_do_not_depend_on_list_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    query = generator.integers(-2, 3, size=(9, 2)).astype(float)
    gallery = generator.integers(-2, 3, size=(12, 2)).astype(float)
    asked, shown = generator.permutation(9), generator.permutation(12)
    first = exhaustive_credits(query, names(9), gallery, names(12), distance="euclidean")
    second = exhaustive_credits(
        query[asked], names(9)[asked], gallery[shown], names(12)[shown], distance="euclidean"
    )
    scores = [
        matching_score(
            "1:2 U",
            credits,
            bootstrap=PersonBootstrap.draw(
                credits.query_persons, credits.gallery_persons, n_draws=50
            ),
        )
        for credits in (first, second)
    ]
    assert scores[0].value == pytest.approx(scores[1].value)
    assert scores[0].interval is not None and scores[1].interval is not None
    assert scores[0].interval.low == pytest.approx(scores[1].interval.low)


def twin_two_way(credits: Credits, count: dict[str, float]) -> float:
    """One resample, written out: per query the weighted credit, then the weighted mean."""
    total = weight = 0.0
    for i, person in enumerate(credits.query_persons):
        weights = [
            count[other] * credits.eligible[i, j] for j, other in enumerate(credits.gallery_persons)
        ]
        if sum(weights) > 0:
            total += count[person] * np.average(credits.credit[i], weights=weights)
            weight += count[person]
    return total / weight


def test_two_way_draws_equal_the_resample_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    gallery = generator.normal(size=(15, 2))
    persons = np.concatenate([names(6), names(6), ["x", "y", "z"]])
    credits = exhaustive_credits(
        gallery[:12] + generator.normal(size=(12, 2)),
        persons[:12],
        gallery,
        persons,
        own=np.arange(12),
    ).restricted(generator.random((12, 15)) < 0.4)
    bootstrap = PersonBootstrap.draw(persons[:12], persons, n_draws=40, seed=1)
    expected = [
        twin_two_way(credits, dict(zip(bootstrap.persons, counts, strict=True)))
        for counts in bootstrap.counts
    ]
    np.testing.assert_allclose(two_way_draws(credits, bootstrap), expected)
    monkeypatch.setattr("speech2face.evaluation.uncertainty._BLOCK", 100)  # three draws at a time
    np.testing.assert_allclose(two_way_draws(credits, bootstrap), expected)


def test_query_person_draws_keep_the_gallery_fixed() -> None:
    generator = np.random.default_rng(6)
    gallery = generator.normal(size=(10, 2))
    query = gallery + generator.normal(size=(10, 2))
    credits = exhaustive_credits(query, names(10), gallery, names(10))
    bootstrap = PersonBootstrap.draw(names(10), n_draws=20)
    expected = bootstrap.counts @ credits.accuracy / 10
    np.testing.assert_allclose(query_person_draws(credits, bootstrap), expected)


def test_a_missing_label_is_eligible_for_no_stratum() -> None:
    shared = shares_labels((["f", "", "m"], ["f", "", "m"]), (["x", "x", ""], ["x", "x", ""]))
    assert shared.tolist() == [[True, False, False], [False] * 3, [False] * 3]


def test_a_stratum_without_any_trial_is_refused() -> None:
    gallery = np.eye(3)
    credits = exhaustive_credits(gallery, names(3), gallery, names(3))
    with pytest.raises(Speech2FaceError, match="1:2 G: no query has an eligible impostor"):
        matching_score("1:2 G", credits.restricted(np.zeros((3, 3), dtype=bool)))


def test_one_person_only_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="no other person's face"):
        exhaustive_credits(np.ones((2, 2)), ["a", "a"], np.ones((1, 2)), ["a"])

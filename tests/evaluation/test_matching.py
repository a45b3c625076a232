"""Forced matching, exhaustive and from a list, against loops over trials."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet
from speech2face.evaluation.matching import (
    Credits,
    exhaustive_credits,
    match_trials,
    matching_score,
    nested_credit,
    query_person_draws,
    shares_labels,
    trial_scores,
    two_way_draws,
)
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.trials import Items, draw_trials
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


# --- trial lists --------------------------------------------------------------------------------


def twin_nested(scores: NDArray[np.float64], n_way: int) -> list[float]:
    """The brute-force twin: credit of each trial among its first `n_way` candidates."""
    credits = []
    for own, *impostors in scores[:, :n_way].tolist():
        if any(impostor > own for impostor in impostors):
            credits.append(0.0)
        else:
            credits.append(1 / (1 + sum(impostor == own for impostor in impostors)))
    return credits


def test_nested_credit_equals_the_loop_over_trials() -> None:
    scores = np.random.default_rng(7).integers(0, 4, size=(300, 10)).astype(float)
    credit = nested_credit(scores)
    for n_way in range(2, 11):
        np.testing.assert_allclose(credit[:, n_way - 2], twin_nested(scores, n_way))
    assert (np.diff(credit, axis=1) <= 0).all()  # the curve over N cannot rise


def test_hand_worked_nested_trial() -> None:
    assert nested_credit([[3, 1, 3, 3, 5, 2]]).tolist() == [[1, 1 / 2, 1 / 3, 0, 0]]


@pytest.mark.parametrize("scores", [[[1.0, np.nan]], [[1.0, np.inf]], [[1.0]], [1.0, 2.0]])
def test_scores_that_cannot_be_used_are_refused(scores: object) -> None:
    with pytest.raises(Speech2FaceError, match="give finite scores"):
        nested_credit(np.asarray(scores))


def a_world(n_persons: int = 12, n_each: int = 3) -> tuple[FeatureSet, FeatureSet, Items, Items]:
    generator = np.random.default_rng(8)
    persons = np.repeat(names(n_persons), n_each)
    truth = np.repeat(generator.normal(size=(n_persons, 6)), n_each, axis=0)
    sides = [
        FeatureSet(
            np.array([f"{kind}{i}" for i in range(len(persons))]),
            persons,
            truth + generator.normal(size=truth.shape),
        )
        for kind in ("voice", "face")
    ]
    gender = {"gender": np.repeat(np.array(["f", "m"] * (n_persons // 2)), n_each)}
    return sides[0], sides[1], Items.of(sides[0], labels=gender), Items.of(sides[1], labels=gender)


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("direction", ["V->F", "F->V"])
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_a_list_is_matched_as_the_loop_over_its_trials(direction: str, chunk: int) -> None:
    voices, faces, voice_items, face_items = a_world()
    if direction == "F->V":
        voices, faces, voice_items, face_items = faces, voices, face_items, voice_items
    trials = draw_trials(
        voice_items, face_items, direction=direction, n_way=5, n_trials=60, positives="any"
    )
    credits = match_trials(trials, voices, faces, chunk=chunk)
    vector_of = {i: v for s in (voices, faces) for i, v in zip(s.ids, s.values, strict=True)}
    scores = np.array(
        [
            [cosine(vector_of[query], vector_of[candidate]) for candidate in candidates]
            for query, candidates in zip(trials.queries, trials.candidates, strict=True)
        ]
    )
    for n_way in (2, 3, 4, 5):
        np.testing.assert_allclose(credits.credit[:, n_way - 2], twin_nested(scores, n_way))


def test_list_scores_come_with_chance_and_intervals() -> None:
    voices, faces, voice_items, face_items = a_world()
    trials = draw_trials(voice_items, face_items, n_way=4, n_trials=300, positives="any")
    bootstrap = PersonBootstrap.draw(voices.persons, n_draws=200)
    scores = trial_scores(match_trials(trials, voices, faces), "U", bootstrap=bootstrap)
    assert list(scores) == ["1:2 U", "1:3 U", "1:4 U"]
    assert [score.chance for score in scores.values()] == [1 / 2, 1 / 3, 1 / 4]
    kinds = [score.interval.kind for score in scores.values()]  # type: ignore[union-attr]
    assert kinds == ["two-way", "query-person", "query-person"]
    assert scores["1:2 U"].query_person_interval is not None
    for score in scores.values():
        assert score.interval is not None
        assert score.interval.low <= score.value <= score.interval.high


def test_list_scores_of_a_perfect_and_of_a_constant_predictor() -> None:
    _, faces, voice_items, face_items = a_world()
    trials = draw_trials(
        voice_items, face_items, stratum="G", n_way=4, n_trials=100, positives="any"
    )
    truth = np.repeat(np.random.default_rng(9).normal(size=(12, 6)), 3, axis=0)
    ids, persons = voice_items.ids, voice_items.persons
    perfect = match_trials(
        trials, FeatureSet(ids, persons, truth), FeatureSet(faces.ids, faces.persons, truth)
    )
    assert [score.value for score in trial_scores(perfect, "G").values()] == [1, 1, 1]
    everyone_alike = FeatureSet(faces.ids, faces.persons, np.ones((36, 6)))
    constant = match_trials(trials, FeatureSet(ids, persons, truth), everyone_alike)
    values = [score.value for score in trial_scores(constant, "G").values()]
    np.testing.assert_allclose(values, [1 / 2, 1 / 3, 1 / 4])


def test_sampled_trials_agree_with_the_exhaustive_figure() -> None:
    voices, faces, voice_items, face_items = a_world(n_persons=12, n_each=1)
    trials = draw_trials(voice_items, face_items, n_trials=4000, positives="any")
    sampled = match_trials(trials, voices, faces).credit[:, 0].mean()
    exhaustive = exhaustive_credits(voices.values, voices.persons, faces.values, faces.persons)
    assert sampled == pytest.approx(exhaustive.accuracy.mean(), abs=4 * 0.5 / np.sqrt(4000))


def test_a_list_asking_for_unknown_items_names_them() -> None:
    voices, faces, voice_items, face_items = a_world()
    trials = draw_trials(voice_items, face_items, n_trials=500, positives="any")
    with pytest.raises(Speech2FaceError, match="no features for 'face35'"):
        match_trials(trials, voices, faces.at(np.arange(35)))


def test_a_list_whose_own_candidate_is_somebody_else_is_refused() -> None:
    voices, faces, voice_items, face_items = a_world()
    trials = draw_trials(voice_items, face_items, n_trials=50, positives="any")
    renamed = FeatureSet(faces.ids, np.roll(faces.persons, 3), faces.values)
    with pytest.raises(Speech2FaceError, match="not the query's person"):
        match_trials(trials, voices, renamed)

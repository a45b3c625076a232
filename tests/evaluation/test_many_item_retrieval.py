"""Average precision against every order of the ties; chance against every order of the list."""

from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.many_item_retrieval import (
    average_precision,
    chance_average_precision,
    chance_of_any,
    many_item_retrieval,
    many_item_scores,
)
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import PersonBootstrap


def twin_precision(ordered: list[bool]) -> float:
    found, total = 0, 0.0
    for place, relevant in enumerate(ordered, start=1):
        if relevant:
            found += 1
            total += found / place
    return total / found


def twin_expected(scores: list[float], relevant: list[bool]) -> float:
    """The brute-force twin: mean over all orders of the whole list that keep the scores falling."""
    values = [
        twin_precision([relevant[i] for i in order])
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:], strict=False))
    ]
    return float(np.mean(values))


def test_hand_worked_ties_of_the_protocol() -> None:
    assert average_precision([1, 1, 1], [1, 1, 0]) == pytest.approx(0.80556, abs=5e-6)
    blocks = average_precision([9, 5, 5, 5, 1, 1], [1, 1, 0, 0, 1, 0])
    assert blocks == pytest.approx(0.75741, abs=5e-6)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_expected_precision_equals_the_mean_over_all_orders_of_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 3, size=6).astype(float)
    relevant = generator.random(6) < 0.5
    relevant[generator.integers(6)] = True
    expected = twin_expected(scores.tolist(), relevant.tolist())
    assert average_precision(scores, relevant) == pytest.approx(expected)


def test_without_ties_it_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    scores, relevant = generator.normal(size=500), generator.random(500) < 0.1
    expected = average_precision_score(relevant, scores)
    assert average_precision(scores, relevant) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "total"), [(1, 1), (1, 6), (2, 6), (6, 6), (3, 7)])
def test_chance_equals_one_block_of_ties_and_the_mean_over_all_orders(n: int, total: int) -> None:
    relevant = [True] * n + [False] * (total - n)
    mean = np.mean([twin_precision(list(order)) for order in permutations(relevant)])
    assert chance_average_precision(n, total) == pytest.approx(mean)
    assert average_precision(np.zeros(total), relevant) == pytest.approx(mean)


def test_chance_of_the_protocols_examples() -> None:
    assert chance_average_precision(106, 20_076) == pytest.approx(0.00575, abs=5e-6)
    assert chance_average_precision(10, 2_500) == pytest.approx(0.00695, abs=5e-6)


@pytest.mark.parametrize(("n", "total", "places"), [(1, 10, 3), (4, 20, 5), (7, 9, 4), (2, 5, 5)])
def test_chance_of_any_equals_the_binomials(n: int, total: int, places: int) -> None:
    expected = 1 - comb(total - n, places) / comb(total, places)
    assert chance_of_any(n, total, places) == pytest.approx(expected)
    assert chance_of_any(n, total, 0) == 0


def a_world(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    persons = np.array([f"p{i}" for i in generator.integers(0, 6, size=37)])
    shown = np.array([f"p{i}" for i in generator.integers(0, 7, size=45)])
    return (
        generator.integers(-2, 3, size=(37, 3)) + 0.5,
        persons,
        generator.integers(-2, 3, size=(45, 3)) + 0.5,
        shown,
    )


@pytest.mark.parametrize("distance", ["euclidean", "manhattan", "cosine"])
@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_chunked_retrieval_equals_the_loop_over_queries(distance: Distance, chunk: int) -> None:
    query, persons, gallery, shown = a_world()
    result = many_item_retrieval(query, persons, gallery, shown, distance=distance, chunk=chunk)
    measures = {
        "euclidean": lambda q, g: -((q - g) ** 2).sum(),
        "manhattan": lambda q, g: -np.abs(q - g).sum(),
        "cosine": lambda q, g: q @ g / np.sqrt((q @ q) * (g @ g)),
    }
    expected = [
        average_precision([round(measures[distance](q, g), 9) for g in gallery], shown == person)
        for q, person in zip(query, persons, strict=True)
    ]
    np.testing.assert_allclose(result.average_precision, expected)


def test_expected_hits_equal_the_share_of_tie_orders() -> None:
    query, persons, gallery, shown = a_world()
    result = many_item_retrieval(query, persons, gallery, shown, distance="euclidean")
    generator = np.random.default_rng(2)
    for row in range(0, 37, 5):
        scores = -((gallery - query[row]) ** 2).sum(axis=1)
        found = []
        for _ in range(4000):
            order = np.lexsort((generator.random(45), -scores))
            found.append((shown[order[:5]] == persons[row]).any())
        assert result.hits["R@5"][row] == pytest.approx(np.mean(found), abs=0.04)


def test_a_perfect_predictor_finds_everything_and_a_constant_one_is_at_chance() -> None:
    _, _, _, shown = a_world()
    truth = (shown[:, None] == np.unique(shown)).astype(float)
    scores = many_item_scores(many_item_retrieval(truth, shown, truth, shown))
    for name, score in scores.items():  # the top 1 and 2 percent of 45 items hold no place
        assert score.value == pytest.approx(0 if name in ("R@1%", "R@2%") else 1)
    constant = many_item_scores(
        many_item_retrieval(truth, shown, np.ones((45, truth.shape[1])), shown)
    )
    for score in constant.values():
        assert score.value == pytest.approx(score.chance)


def test_list_order_changes_nothing() -> None:
    query, persons, gallery, shown = a_world()
    generator = np.random.default_rng(3)
    asked, order = generator.permutation(37), generator.permutation(45)
    bootstrap = PersonBootstrap.draw(persons, n_draws=50)
    first = many_item_scores(
        many_item_retrieval(query, persons, gallery, shown), bootstrap=bootstrap
    )
    second = many_item_scores(
        many_item_retrieval(query[asked], persons[asked], gallery[order], shown[order]),
        bootstrap=bootstrap,
    )
    for name, score in first.items():
        assert second[name].value == pytest.approx(score.value)
        assert score.interval is not None and second[name].interval is not None
        assert score.interval.low == pytest.approx(second[name].interval.low)


def test_items_of_the_same_video_can_be_left_out() -> None:
    videos = np.array(["v", "w", "v"])
    query = np.eye(3)
    persons = ["a", "a", "a"]
    result = many_item_retrieval(
        query, persons, query, persons, query_videos=videos, gallery_videos=videos
    )
    assert result.shown.tolist() == [1, 2, 1] and result.relevant.tolist() == [1, 2, 1]


def test_queries_without_a_relevant_item_are_dropped_and_counted() -> None:
    result = many_item_retrieval(np.eye(2), ["a", "z"], np.eye(2), ["a", "b"])
    assert result.dropped == 1 and result.persons.tolist() == ["a"]
    assert many_item_scores(result)["mAP"].details["dropped_queries"] == 1
    with pytest.raises(Speech2FaceError, match="no query has an item"):
        many_item_retrieval(np.eye(2), ["y", "z"], np.eye(2), ["a", "b"])

"""Ranks against a sort written out item by item, and the paper's two readings of R@K."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.retrieval import Ranks, gallery_ranks, recalls, retrieval_scores
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import PersonBootstrap


def names(n: int, prefix: str = "p") -> NDArray[np.str_]:
    return np.array([f"{prefix}{i}" for i in range(n)])


def distance_of(first: NDArray[np.float64], second: NDArray[np.float64], distance: str) -> float:
    if distance == "cosine":
        return 1 - float(first @ second / np.sqrt((first @ first) * (second @ second)))
    if distance == "euclidean":
        return float(np.sqrt(((first - second) ** 2).sum()))
    return float(np.abs(first - second).sum())


def twin_rank(query, person, gallery, persons, own, distance) -> tuple[float, int]:  # type: ignore[no-untyped-def]
    """The brute-force twin: one Python loop, no matrix."""
    own_distance = distance_of(query, gallery[own], distance)
    better = tied = others = 0
    for item, candidate in enumerate(gallery):
        if persons[item] == person:
            continue
        others += 1
        gap = distance_of(query, candidate, distance) - own_distance
        better += gap < -1e-9
        tied += abs(gap) <= 1e-9
    return 1 + better + tied / 2, others + 1


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("chunk", [1, 10, 37, 1000])  # 10 does not divide 37 or 41
def test_chunked_ranks_equal_the_loop_over_pairs(distance: Distance, chunk: int) -> None:
    generator = np.random.default_rng(0)
    gallery = generator.integers(-2, 3, size=(41, 4)).astype(float) + 0.5  # many exact ties
    persons = np.concatenate([names(30), names(11)])  # eleven persons have a second photo
    own = generator.permutation(41)[:37]
    query = gallery[own] + generator.integers(-1, 2, size=(37, 4))
    query[query.sum(axis=1) == 0] += 1
    ranks = gallery_ranks(
        query, persons[own], gallery, persons, own=own, distance=distance, chunk=chunk
    )
    twins = [
        twin_rank(query[i], persons[own[i]], gallery, persons, own[i], distance) for i in range(37)
    ]
    np.testing.assert_array_equal(ranks.rank, [rank for rank, _ in twins])
    np.testing.assert_array_equal(ranks.gallery_size, [size for _, size in twins])
    assert ranks.tied.max() > 0


def test_hand_worked_gallery_of_four() -> None:
    # Distances of query 0 (at 0) to the gallery at 1, -1, 3, 0.5: own is tied with item 1, beaten
    # by item 3: better 1, tied 1, rank 2.5. Query at 3 is on its own face: rank 1.
    query = np.array([[0.0], [3.0]])
    gallery = np.array([[1.0], [-1.0], [3.0], [0.5]])
    ranks = gallery_ranks(query, ["a", "c"], gallery, ["a", "b", "c", "d"], distance="euclidean")
    assert ranks.rank.tolist() == [2.5, 1.0]
    assert ranks.hits(1).tolist() == [0.0, 1.0]
    assert ranks.hits(2).tolist() == [0.5, 1.0]  # places 2 and 3 are equally likely
    assert ranks.hits(3).tolist() == [1.0, 1.0]


def test_other_photos_of_the_query_person_are_left_out() -> None:
    query = np.array([[0.0]])
    gallery = np.array([[2.0], [0.1], [1.0]])  # the second photo of "a" would have won
    ranks = gallery_ranks(query, ["a"], gallery, ["a", "a", "b"], own=[0], distance="euclidean")
    assert (ranks.rank[0], ranks.gallery_size[0]) == (2.0, 2)


def test_a_perfect_predictor_finds_everyone_first() -> None:
    features = np.random.default_rng(1).normal(size=(200, 8))
    ranks = gallery_ranks(features, names(200), features, names(200))
    scores = retrieval_scores(ranks, names(200))
    assert all(score.value == 1 for score in scores.values())  # median rank is 1 as well


def test_a_shuffled_predictor_is_at_the_printed_chance() -> None:
    generator = np.random.default_rng(2)
    gallery = generator.normal(size=(1000, 8))
    query = gallery[generator.permutation(1000)]
    scores = retrieval_scores(gallery_ranks(query, names(1000), gallery, names(1000)), names(1000))
    for score in scores.values():
        spread = np.sqrt(score.chance * (1 - score.chance) / 1000) if score.unit == "share" else 40
        assert abs(score.value - score.chance) < 4 * spread


def test_a_constant_predictor_has_the_mean_rank_of_chance() -> None:
    gallery = np.random.default_rng(3).normal(size=(101, 8))
    ranks = gallery_ranks(np.ones((101, 8)), names(101), gallery, names(101))
    assert ranks.rank.mean() == pytest.approx(51)  # (N + 1) / 2
    scores = retrieval_scores(ranks, names(101))
    assert scores["R@10%"].value == pytest.approx(scores["R@10%"].chance)


def test_the_percent_form_prints_its_exact_chance() -> None:
    ranks = Ranks(np.zeros(1, int), np.zeros(1, int), np.array([328]))
    scores = retrieval_scores(ranks, ["a"])
    assert scores["R@1%"].details["places"] == 3  # floor(3.28)
    assert scores["R@1%"].chance == pytest.approx(3 / 328)  # 0.9 %, not 1 %
    assert scores["R@1"].chance == pytest.approx(1 / 328)


def test_convention_the_paper_counts_the_top_k_percent() -> None:
    better = np.zeros(100, dtype=int)
    better[0] = 49  # rank 50 of 5,000: in the top 1 percent, not in the top 1 image
    ranks = Ranks(better, np.zeros(100, int), np.full(100, 5000))
    shares = recalls(ranks)
    assert shares["R@1%"][0] == 1 and shares["R@1"][0] == 0
    chances = [retrieval_scores(ranks, names(100))[f"R@{k}%"].chance for k in (1, 2, 5, 10)]
    np.testing.assert_allclose(chances, [0.01, 0.02, 0.05, 0.1])  # the row "random" of Table 3


def test_both_forms_coincide_at_a_gallery_of_one_hundred() -> None:
    generator = np.random.default_rng(4)
    query, gallery = generator.normal(size=(2, 100, 3))
    shares = recalls(gallery_ranks(query, names(100), gallery, names(100)))
    for k in (1, 2, 5, 10):
        np.testing.assert_array_equal(shares[f"R@{k}"], shares[f"R@{k}%"])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_ranks_do_not_depend_on_list_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    query = generator.integers(-2, 3, size=(9, 2)).astype(float)
    gallery = generator.integers(-2, 3, size=(12, 2)).astype(float)
    rank = gallery_ranks(query, names(9), gallery, names(12), distance="euclidean").rank
    asked, shown = generator.permutation(9), generator.permutation(12)
    again = gallery_ranks(
        query[asked], names(9)[asked], gallery[shown], names(12)[shown], distance="euclidean"
    ).rank
    np.testing.assert_array_equal(again, rank[asked])


def test_equal_photos_tie_wherever_they_stand_in_the_gallery() -> None:
    generator = np.random.default_rng(5)
    photo = generator.normal(size=300)
    gallery = generator.normal(size=(97, 300))
    gallery[[5, 40, 90, 96]] = photo
    query = photo[None] + generator.normal(size=(1, 300))
    for distance in ("cosine", "euclidean", "manhattan"):
        for chunk in (1, 13, 200):
            ranks = gallery_ranks(
                query, ["p40"], gallery, names(97), distance=distance, chunk=chunk
            )
            assert ranks.tied.tolist() == [3]


def test_intervals_hold_the_value_and_name_their_kind() -> None:
    generator = np.random.default_rng(6)
    gallery = generator.normal(size=(80, 6))
    ranks = gallery_ranks(gallery + generator.normal(size=(80, 6)), names(80), gallery, names(80))
    for score in retrieval_scores(
        ranks, names(80), bootstrap=PersonBootstrap.draw(names(80))
    ).values():
        assert score.interval is not None and score.interval.kind == "query-person"
        assert score.interval.low <= score.value <= score.interval.high


def test_a_query_without_a_face_in_the_gallery_is_named() -> None:
    with pytest.raises(Speech2FaceError, match="1 query person.* no face .*'z'"):
        gallery_ranks(np.ones((2, 2)), ["a", "z"], np.ones((1, 2)), ["a"])


def test_several_photos_of_a_person_need_to_be_told_apart() -> None:
    with pytest.raises(Speech2FaceError, match="say with `own`"):
        gallery_ranks(np.ones((1, 2)), ["a"], np.ones((2, 2)), ["a", "a"])


@pytest.mark.parametrize(
    ("own", "problem"),
    [([1], "another person's"), ([7], "outside the gallery"), ([0.0], "whole number"), ([], "one")],
)
def test_an_own_face_that_cannot_be_is_refused(own: list[float], problem: str) -> None:
    with pytest.raises(Speech2FaceError, match=problem):
        gallery_ranks(np.ones((1, 2)), ["a"], np.ones((2, 2)), ["a", "b"], own=own)


def test_names_and_features_of_different_lengths_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="3 gallery persons for 2 items"):
        gallery_ranks(np.ones((1, 2)), ["a"], np.ones((2, 2)), ["a", "b", "c"])

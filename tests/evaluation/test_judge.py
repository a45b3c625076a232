"""The judge of an invented world whose answers are known."""

import numpy as np
import pytest

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.judge import judge, judge_difference
from speech2face.evaluation.scores import Distance

GENERATOR = np.random.default_rng(0)
N_QUERIES, N_GALLERY = 60, 140
GALLERY = GENERATOR.normal(size=(N_GALLERY, 16))
PERSONS = np.array([f"p{i}" for i in range(N_GALLERY)])
GENDERS = np.array(["female", "male"])[np.arange(N_GALLERY) % 2]
GALLERY[:, 0] += np.where(GENDERS == "female", 3, -3)
NOISY = GALLERY[:N_QUERIES] + 2 * GENERATOR.normal(size=(N_QUERIES, 16))
BY_CHANCE = GENERATOR.normal(size=(N_QUERIES, 16))
WORLD = (PERSONS[:N_QUERIES], GALLERY, PERSONS)
NAMES = ["1:2 U", "1:2 G", *(f"R@{k}{form}" for form in ("", "%") for k in (1, 2, 5, 10))]


def test_every_figure_comes_with_chance_oracle_and_interval() -> None:
    scores = judge(NOISY, *WORLD, gallery_genders=GENDERS)
    assert list(scores) == [*NAMES, "median rank"]
    for score in scores.values():
        assert score.interval is not None and score.oracle is not None
        assert score.interval.low <= score.value <= score.interval.high
        assert (score.n, score.persons) == (N_QUERIES, N_QUERIES)
    assert scores["1:2 U"].interval.kind == "two-way"  # type: ignore[union-attr]
    assert scores["1:2 U"].query_person_interval is not None
    assert scores["1:2 G"].value < scores["1:2 U"].value  # gender is heard here


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
def test_a_perfect_predictor_is_perfect(distance: Distance) -> None:
    scores = judge(GALLERY[:N_QUERIES], *WORLD, distance, gallery_genders=GENDERS)
    assert all(score.value == 1 for score in scores.values())


def test_a_predictor_by_chance_has_intervals_around_chance() -> None:
    for score in judge(BY_CHANCE, *WORLD, gallery_genders=GENDERS).values():
        assert abs(score.value - score.chance) < (25 if score.unit == "rank" else 0.1)


def test_the_gender_oracle_follows_its_closed_forms() -> None:
    scores = judge(NOISY, *WORLD, gallery_genders=GENDERS)
    agreeing = 69  # of the 139 others
    assert scores["1:2 U"].oracle == pytest.approx(1 - agreeing / 139 / 2)
    assert scores["1:2 G"].oracle == 0.5
    assert scores["R@5"].oracle == pytest.approx(5 / 70)  # min(1, K / m), m = 70 of one gender
    assert scores["R@10%"].oracle == pytest.approx(14 / 70)
    assert scores["median rank"].oracle == 1 + 69 / 2


def test_without_genders_there_is_no_same_gender_figure_and_no_oracle() -> None:
    scores = judge(NOISY, *WORLD)
    assert "1:2 G" not in scores
    assert all(score.oracle is None for score in scores.values())


def test_genders_of_the_queries_default_to_those_of_their_own_faces() -> None:
    by_default = judge(NOISY, *WORLD, gallery_genders=GENDERS)
    given = judge(NOISY, *WORLD, query_genders=GENDERS[:N_QUERIES], gallery_genders=GENDERS)
    assert by_default == given


def test_several_clips_of_a_person_are_each_judged_against_their_own_photo() -> None:
    persons = PERSONS.copy()
    persons[1] = persons[0]  # query 1 and its photo belong to the person of query 0
    own = np.arange(N_QUERIES)
    scores = judge(NOISY, persons[:N_QUERIES], GALLERY, persons, own=own)
    assert (scores["R@1"].n, scores["R@1"].persons) == (N_QUERIES, N_QUERIES - 1)
    expected = (2 * (N_GALLERY - 1) + 58 * N_GALLERY) / 60
    assert scores["R@1"].details["gallery_size"] == pytest.approx(expected)


def test_difference_is_the_first_minus_the_second() -> None:
    first = judge(NOISY, *WORLD, gallery_genders=GENDERS)
    second = judge(BY_CHANCE, *WORLD, gallery_genders=GENDERS)
    differences = judge_difference(NOISY, BY_CHANCE, *WORLD, gallery_genders=GENDERS)
    assert differences.keys() == first.keys()
    for name, score in differences.items():
        assert score.value == pytest.approx(first[name].value - second[name].value)
    interval = differences["1:2 U"].interval
    assert interval is not None and interval.kind == "two-way" and interval.excludes(0)
    assert interval.low > 0


def test_a_system_does_not_differ_from_itself() -> None:
    for score in judge_difference(NOISY, NOISY, *WORLD, gallery_genders=GENDERS).values():
        assert score.interval is not None
        assert (score.value, score.interval.low, score.interval.high) == (0, 0, 0)


def test_a_paired_interval_is_narrower_than_that_of_unrelated_systems() -> None:
    nearly_equal = NOISY + 0.01
    paired = judge_difference(NOISY, nearly_equal, *WORLD)["1:2 U"].interval
    alone = judge(NOISY, *WORLD)["1:2 U"].interval
    assert paired is not None and alone is not None
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_same_seed_same_intervals_another_seed_others() -> None:
    first = judge(NOISY, *WORLD, seed=1)["R@10%"].interval
    assert first == judge(NOISY, *WORLD, seed=1)["R@10%"].interval
    other = judge(NOISY, *WORLD, seed=2)["1:2 U"].interval
    assert other != judge(NOISY, *WORLD, seed=1)["1:2 U"].interval


def test_systems_with_different_numbers_of_queries_are_not_compared() -> None:
    with pytest.raises(Speech2FaceError, match="identical clips"):
        judge_difference(NOISY, NOISY[:-1], *WORLD)


def test_genders_of_the_queries_alone_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="give gallery_genders"):
        judge(NOISY, *WORLD, query_genders=GENDERS[:N_QUERIES])


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="0 gallery faces"):
        judge(NOISY, PERSONS[:N_QUERIES], np.empty((0, 16)), [])


def test_one_person_only_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="at least two persons"):
        judge(NOISY[:1], PERSONS[:1], GALLERY, PERSONS)

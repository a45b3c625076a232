"""Oracles by their closed forms; shuffles that leave nobody with their own voice."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.controls import (
    CONSTANT,
    SAME_GENDER,
    SHUFFLED,
    control_rows,
    oracle_features,
    shuffles,
)
from speech2face.evaluation.matching import exhaustive_credits, nested_credit
from speech2face.evaluation.protocols import controls, judge
from speech2face.evaluation.retrieval import gallery_ranks

GENERATOR = np.random.default_rng(0)
PERSONS = np.array([f"p{i}" for i in range(40)])
GENDER = np.array(["f", "m"])[GENERATOR.integers(0, 2, size=40)]
NATION = np.array(["n", "s", "w"])[GENERATOR.integers(0, 3, size=40)]


def test_label_oracle_scores_twice_the_first_label_plus_the_second() -> None:
    query, gallery = oracle_features((GENDER, GENDER), (NATION, NATION))
    squared = ((query[:, None] - gallery[None]) ** 2).sum(axis=-1)
    score = 2 * (GENDER[:, None] == GENDER) + (NATION[:, None] == NATION)
    np.testing.assert_allclose(squared, 2 * (3 - score), atol=1e-12)


def test_gender_oracle_of_every_protocol_is_its_closed_form() -> None:
    query, gallery = oracle_features((GENDER, GENDER))
    agreeing = (GENDER[:, None] == GENDER).sum(axis=1)
    credits = exhaustive_credits(query, PERSONS, gallery, PERSONS, distance="euclidean")
    share = (agreeing - 1) / 39
    assert credits.accuracy.mean() == pytest.approx((1 - share / 2).mean())
    ranks = gallery_ranks(query, PERSONS, gallery, PERSONS, distance="euclidean")
    for cutoff in (1, 5, 30):
        assert ranks.hits(cutoff).mean() == pytest.approx(np.minimum(1, cutoff / agreeing).mean())
    impostors = np.array([GENERATOR.permutation(39)[:5] for _ in range(40)])
    others = impostors + (impostors >= np.arange(40)[:, None])  # never the own one
    scores = (GENDER[:, None] == GENDER[np.c_[np.arange(40), others]]).astype(float)
    expected = (1 / (1 + scores[:, 1:].sum(axis=1))).mean()  # 1 / (1 + k), k agreeing impostors
    assert nested_credit(scores)[:, -1].mean() == pytest.approx(expected)


def test_a_missing_label_agrees_with_none() -> None:
    query, gallery = oracle_features((["f", ""], ["f", "", ""]))
    squared = ((query[:, None] - gallery[None]) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared, [[0, 2, 2], [2, 2, 2]])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 9))
def test_nobody_is_given_their_own_voice(seed: int, n: int) -> None:
    persons = np.random.default_rng(seed).permutation(np.repeat(PERSONS[:n], 2))
    for shuffle in shuffles(persons, n_shuffles=5, seed=seed):
        assert sorted(shuffle.rows) == list(range(2 * n))
        assert (persons[shuffle.rows] != persons[shuffle.donors]).all()
        givers = {}  # a derangement over persons: one giver for all clips of a receiver
        for receiver, giver in zip(persons[shuffle.rows], persons[shuffle.donors], strict=True):
            assert givers.setdefault(receiver, giver) == giver
        assert len(set(givers.values())) == n


def test_all_derangements_are_equally_likely() -> None:
    seen = Counter(tuple(shuffle.donors) for shuffle in shuffles(list("abcd"), n_shuffles=1800))
    assert len(seen) == 9  # of four items
    assert all(abs(count - 200) < 5 * np.sqrt(200) for count in seen.values())


def test_same_gender_shuffle_stays_within_gender_and_leaves_out_the_lone() -> None:
    persons = list("abcdef")
    gender = ["f", "f", "f", "m", "", "x"]
    for shuffle in shuffles(persons, groups=gender):
        assert shuffle.rows.tolist() == [0, 1, 2]  # nobody of d's or f's gender, e has no label
        assert set(shuffle.donors) == {0, 1, 2}


def test_shuffles_by_id_do_not_depend_on_list_order() -> None:
    persons, ids = np.repeat(PERSONS[:6], 3), np.array([f"c{i:02}" for i in range(18)])
    order = GENERATOR.permutation(18)
    first = [dict(zip(ids[s.rows], ids[s.donors], strict=True)) for s in shuffles(persons, ids=ids)]
    second = [
        dict(zip(ids[order][s.rows], ids[order][s.donors], strict=True))
        for s in shuffles(persons[order], ids=ids[order])
    ]
    assert first == second and len(first) == 20


def test_one_person_has_nobody_to_swap_with() -> None:
    with pytest.raises(Speech2FaceError, match="nobody has another person"):
        list(shuffles(["a", "a"]))


def test_control_rows_measure_what_each_query_was_given() -> None:
    features = np.arange(6.0)[:, None]
    persons = list("abcdef")
    gender = list("ffmmff")

    def own_share(query: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        return {
            "own": float((query[:, 0] == rows).mean()),
            "same": float(
                (np.array(gender)[query[:, 0].astype(int)] == np.array(gender)[rows]).mean()
            ),
        }

    rows = control_rows(own_share, features, persons, genders=gender)
    assert list(rows) == [SHUFFLED, SAME_GENDER, CONSTANT]
    assert rows[SHUFFLED]["own"] == rows[SAME_GENDER]["own"] == 0
    assert rows[SAME_GENDER]["same"] == 1 and rows[SHUFFLED]["same"] < 1
    assert SAME_GENDER not in control_rows(own_share, features, persons)
    assert SAME_GENDER not in control_rows(own_share, features, persons, genders=list("abcdef"))


def test_controls_of_the_judge_are_at_chance_where_everybody_is_asked_for() -> None:
    faces = GENERATOR.normal(size=(40, 6))
    faces[:, 0] += np.where(GENDER == "f", 4, -4)
    system = System("perfect", {"r": faces})
    clips = TrueFaces(PERSONS, PERSONS, {"r": faces}, {"gender": GENDER})
    comparison = Comparison(clips, (system,), distances={"r": "euclidean"})
    free = judge(comparison, system, "r")["1:2 U"]
    rows = controls(comparison, system, "r")
    assert free.value == 1
    assert rows[CONSTANT]["1:2 U"] == pytest.approx(0.5)
    assert rows[SHUFFLED]["1:2 U"] == pytest.approx(0.5, abs=0.05)
    # what gender alone keeps: the oracle, less the own person who is never dealt
    assert rows[SAME_GENDER]["1:2 U"] == pytest.approx(free.oracle, abs=0.05)
    assert rows[SAME_GENDER]["1:2 G"] == pytest.approx(0.5, abs=0.05)

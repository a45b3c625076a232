"""Figures of answers against sums over the binomial distribution, and against hand counts."""

from math import comb

import numpy as np
import pytest
from xab_people import simulate

from speech2face import Speech2FaceError
from speech2face.xab.analysis import Answers, accuracy, bias, checks_passed, intervals, share
from speech2face.xab.experiment import Experiment

pytest.importorskip("scipy", reason="scipy of the extra xab is not installed")


def at_least(hits: int, n: int, p: float) -> float:
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits, n + 1))


@pytest.mark.parametrize(("hits", "n"), [(0, 8), (5, 8), (8, 8), (21, 32)])
def test_the_exact_interval_ends_where_a_tail_holds_two_and_a_half_percent(
    hits: int, n: int
) -> None:
    found = share(hits, n)
    if hits > 0:
        assert at_least(hits, n, found.low) == pytest.approx(0.025, abs=1e-9)
    else:
        assert found.low == 0
    if hits < n:
        assert 1 - at_least(hits + 1, n, found.high) == pytest.approx(0.025, abs=1e-9)
    else:
        assert found.high == 1


def test_no_answers_have_no_share() -> None:
    with pytest.raises(Speech2FaceError, match="collect answers first"):
        share(0, 0)


def answers(right_is_a: str, said_a: str) -> Answers:
    """Answers of one participant; "1" stands for A."""
    n = len(right_is_a)
    names = np.array([f"p{row}" for row in range(n)])
    same = np.full(n, "x")
    a, said = (np.array([letter == "1" for letter in text]) for text in (right_is_a, said_a))
    return Answers(same, names, names, same, same, same, a, said, np.ones(n))


def test_a_preference_for_one_side_is_told_from_accuracy() -> None:
    found = bias(answers("11110000", "11111100"))
    assert (found.said_a.hits, found.said_a.n) == (6, 8)
    assert (found.right_a.hits, found.right_a.n) == (4, 4)
    assert (found.right_b.hits, found.right_b.n) == (2, 4)
    assert accuracy(answers("11110000", "11111100")).value == 0.75


def test_the_exact_interval_holds_the_known_accuracy_of_most_listeners(
    experiment: Experiment,
) -> None:
    listeners = simulate(experiment, [0.7] * 40)
    found = [accuracy(Answers.of([listener])) for listener in listeners]
    assert sum(one.low < 0.7 < one.high for one in found) >= 36  # 38 of 40 are expected


def test_checks_are_no_trials(experiment: Experiment) -> None:
    attentive, absent = simulate(experiment, [1.0])[0], simulate(experiment, [1.0], checks=0.0)[0]
    assert len(Answers.of([attentive])) == 16
    assert (checks_passed(attentive), checks_passed(absent)) == (1.0, 0.0)


def test_intervals_over_people_are_wider_where_people_differ(experiment: Experiment) -> None:
    same = Answers.of(simulate(experiment, [0.75] * 8, seed=1))
    differing = Answers.of(simulate(experiment, [0.5, 1.0] * 4, seed=1))
    narrow, wide = (intervals(one)["participants"] for one in (same, differing))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_one_participant_has_no_interval_over_participants(experiment: Experiment) -> None:
    found = intervals(Answers.of(simulate(experiment, [0.7])))
    assert set(found) == {"persons"}

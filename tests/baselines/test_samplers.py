"""Which clips an update learns from."""

import numpy as np
import pytest

from speech2face.baselines.samplers import (
    Sampler,
    independent,
    same_clip,
    same_clip_share,
    same_person,
    triplet,
)
from speech2face.errors import Speech2FaceError

PEOPLE = np.array([0, 0, 0, 1, 1, 2])  # the last person has one clip only
ALL: tuple[Sampler, ...] = (same_clip, same_person, independent, triplet)


@pytest.mark.parametrize("sampler", ALL)
def test_a_draw_depends_on_the_seed_only(sampler: Sampler) -> None:
    one, again = (sampler(PEOPLE, 50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.first, again.first)
    np.testing.assert_array_equal(one.second, again.second)


@pytest.mark.parametrize("sampler", [same_clip, triplet])
def test_the_wrong_candidate_is_of_another_person(sampler: Sampler) -> None:
    draw = sampler(PEOPLE, 300, np.random.default_rng(0))
    assert draw.wrong is not None
    assert (PEOPLE[draw.wrong] != PEOPLE[draw.second]).all()


def test_a_pair_of_one_clip_is_one_clip() -> None:
    draw = same_clip(PEOPLE, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(draw.first, draw.second)


@pytest.mark.parametrize("sampler", [same_person, triplet])
def test_a_pair_of_one_person_is_of_two_clips_where_there_are_two(sampler: Sampler) -> None:
    draw = sampler(PEOPLE, 300, np.random.default_rng(0))
    np.testing.assert_array_equal(PEOPLE[draw.first], PEOPLE[draw.second])
    is_same = draw.first == draw.second
    np.testing.assert_array_equal(is_same, PEOPLE[draw.first] == 2)
    assert same_clip_share(PEOPLE) == pytest.approx(1 / 6)


def test_independent_voices_and_faces_belong_together_as_often_as_by_chance() -> None:
    draw = independent(PEOPLE, 20_000, np.random.default_rng(0))
    together = (PEOPLE[draw.first] == PEOPLE[draw.second]).mean()
    assert together == pytest.approx((9 + 4 + 1) / 36, abs=0.02)


def test_one_person_alone_has_no_wrong_candidate() -> None:
    with pytest.raises(Speech2FaceError, match="one person"):
        triplet(np.zeros(4, np.intp), 2, np.random.default_rng(0))

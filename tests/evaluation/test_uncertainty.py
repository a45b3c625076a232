"""Person-level bootstrap against a resampling written out person by person."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import (
    Interval,
    PersonBootstrap,
    Score,
    macro_mean,
    macro_mean_draws,
    mean_draws,
    median_draws,
    trial_mean_draws,
)

PERSONS = np.array(["ann", "bo", "ann", "cy", "bo", "ann"])
VALUES = np.array([1.0, 0.0, 0.5, 1.0, 0.25, 0.0])


def resampled_rows(bootstrap: PersonBootstrap, draw: int, persons: NDArray[np.str_]) -> list[int]:
    """The brute-force twin: the list of rows a resample holds, each as often as drawn."""
    rows = []
    for person, count in zip(bootstrap.persons, bootstrap.counts[draw], strict=True):
        rows += [row for row, name in enumerate(persons) if name == person] * int(count)
    return rows


def test_every_resample_draws_as_many_persons_as_there_are() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=50, seed=1)
    assert bootstrap.persons.tolist() == ["ann", "bo", "cy"]
    assert (bootstrap.counts.sum(axis=1) == 3).all()


def test_persons_are_drawn_equally_often() -> None:
    bootstrap = PersonBootstrap.draw([f"p{i}" for i in range(20)], n_draws=4000, seed=0)
    np.testing.assert_allclose(bootstrap.counts.mean(axis=0), 1, atol=0.08)  # 5 standard errors
    np.testing.assert_allclose(bootstrap.counts.var(axis=0), 0.95, atol=0.15)


def test_candidates_who_are_never_asked_for_are_drawn_among_themselves() -> None:
    bootstrap = PersonBootstrap.draw(["a", "b"], ["x", "a", "y", "z"], n_draws=40)
    queried = np.isin(bootstrap.persons, ["a", "b"])
    assert bootstrap.persons.tolist() == ["a", "b", "x", "y", "z"]
    assert (bootstrap.counts[:, queried].sum(axis=1) == 2).all()
    assert (bootstrap.counts[:, ~queried].sum(axis=1) == 3).all()


def test_mean_equals_the_mean_of_the_resampled_rows() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=30, seed=2)
    expected = [VALUES[resampled_rows(bootstrap, b, PERSONS)].mean() for b in range(30)]
    np.testing.assert_allclose(mean_draws(bootstrap, VALUES, PERSONS), expected)


def test_median_equals_the_median_of_the_resampled_rows() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=30, seed=3)
    expected = [np.median(VALUES[resampled_rows(bootstrap, b, PERSONS)]) for b in range(30)]
    np.testing.assert_allclose(median_draws(bootstrap, VALUES, PERSONS), expected)


def test_median_does_not_depend_on_how_many_draws_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=30, seed=3)
    whole = median_draws(bootstrap, VALUES, PERSONS)
    monkeypatch.setattr("speech2face.evaluation.uncertainty._BLOCK", 45)  # seven draws at a time
    np.testing.assert_array_equal(median_draws(bootstrap, VALUES, PERSONS), whole)


def test_macro_mean_weighs_persons_equally() -> None:
    assert macro_mean(VALUES, PERSONS) == pytest.approx((0.5 + 0.125 + 1.0) / 3)
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=30, seed=4)
    expected = bootstrap.counts @ [0.5, 0.125, 1.0] / 3
    np.testing.assert_allclose(macro_mean_draws(bootstrap, VALUES, PERSONS), expected)


def test_two_way_mean_weighs_a_trial_by_both_of_its_persons() -> None:
    impostors = np.array(["bo", "cy", "cy", "ann", "ann", "bo"])
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=30, seed=5)
    draws = trial_mean_draws(bootstrap, VALUES, PERSONS, impostors)
    for b in range(30):
        count = dict(zip(bootstrap.persons, bootstrap.counts[b], strict=True))
        weights = [count[q] * count[i] for q, i in zip(PERSONS, impostors, strict=True)]
        if sum(weights) == 0:
            assert np.isnan(draws[b])
        else:
            assert draws[b] == pytest.approx(np.average(VALUES, weights=weights))


def test_list_order_cannot_change_an_interval() -> None:
    order = np.random.default_rng(0).permutation(len(PERSONS))
    first = PersonBootstrap.draw(PERSONS, seed=6)
    second = PersonBootstrap.draw(PERSONS[order], seed=6)
    np.testing.assert_allclose(
        mean_draws(first, VALUES, PERSONS), mean_draws(second, VALUES[order], PERSONS[order])
    )


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        effect = generator.normal(size=40)  # 40 persons, 5 clips each that share their effect
        values = (effect[:, None] + 0.1 * generator.normal(size=(40, 5))).ravel()
        persons = np.repeat([f"p{i}" for i in range(40)], 5)
        bootstrap = PersonBootstrap.draw(persons, n_draws=300, seed=trial)
        interval = bootstrap.interval(mean_draws(bootstrap, values, persons), "query-person")
        covered += not interval.excludes(0.0)
    assert 0.87 <= covered / 200 <= 0.99  # resampling clips instead would cover about 0.6


def test_standard_error_of_clustered_clips_is_that_of_the_persons() -> None:
    values = np.repeat(np.arange(50) % 2, 10).astype(float)  # each person always right or wrong
    persons = np.repeat([f"p{i}" for i in range(50)], 10)
    bootstrap = PersonBootstrap.draw(persons, seed=8)
    spread = mean_draws(bootstrap, values, persons).std()
    assert spread == pytest.approx(0.5 / np.sqrt(50), rel=0.06)


def test_one_person_only_is_refused_with_a_remedy() -> None:
    with pytest.raises(Speech2FaceError, match="at least two persons"):
        PersonBootstrap.draw(["ann", "ann"])


def test_a_person_who_was_not_resampled_is_named() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=5)
    with pytest.raises(Speech2FaceError, match="'dee'"):
        mean_draws(bootstrap, [1.0, 2.0], ["ann", "dee"])


def test_a_statistic_without_any_defined_resample_is_refused() -> None:
    bootstrap = PersonBootstrap.draw(PERSONS, n_draws=5)
    with pytest.raises(Speech2FaceError, match="undefined"):
        bootstrap.interval(np.full(5, np.nan), "two-way")


def test_score_survives_json() -> None:
    interval = Interval(0.1, 0.3, "two-way", 2000, 0)
    score = Score("1:2 U", 0.2, 0.5, 90, 84, interval, oracle=0.7, controls={"shuffled": 0.5})
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score
    bare = Score("R@1", 0.2, 0.01, 90, 84)
    assert Score.from_json(json.loads(json.dumps(bare.to_json()))) == bare

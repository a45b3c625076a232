"""The recipe of the matcher on people of which voice and face have common causes."""

from dataclasses import replace

import numpy as np
import pytest
from matching import invented_pairs
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from speech2face.configuration import restored, to_json
from speech2face.errors import Speech2FaceError
from speech2face.models.matching_maps import content_of
from speech2face.training.recipes.matcher import (
    MatcherConfig,
    fit_calibration,
    fit_maps,
    fit_matcher,
    fold_maps,
    unseen_scores,
    voice_shares,
)

CONFIG = MatcherConfig(voice_shares=(0.5, 0.5), face_shares=(0.7, 0.3), n_components=8)
SHA256 = "0" * 64


def share_right(scores: NDArray[np.float64]) -> float:
    """How often the own face of a voice scores higher than another one's, `[N, N]`."""
    own = scores.diagonal()[:, None]
    others = ~np.eye(len(scores), dtype=bool)
    return float((own > scores)[others].mean())


def test_people_who_were_not_fitted_to_are_matched() -> None:
    maps, unseen = fit_maps(invented_pairs(), CONFIG), invented_pairs(80, seed=1)
    scores = maps.of_voices(unseen.descriptors) @ maps.of_faces(unseen.features).T
    assert share_right(scores) > 0.9


def test_with_shuffled_voices_nothing_is_learned() -> None:
    pairs, unseen = invented_pairs(), invented_pairs(80, seed=1)
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    maps = fit_maps(replace(pairs, descriptors=pairs.descriptors[shuffled]), CONFIG)
    scores = maps.of_voices(unseen.descriptors) @ maps.of_faces(unseen.features).T
    assert 0.35 < share_right(scores) < 0.65


def test_maps_do_not_depend_on_the_unit_of_a_descriptor() -> None:
    pairs = invented_pairs()
    unit = np.geomspace(0.01, 100, pairs.descriptors.shape[1])
    other = replace(pairs, descriptors=pairs.descriptors * unit + 7.0)
    np.testing.assert_allclose(
        fit_maps(pairs, CONFIG).of_voices(pairs.descriptors),
        fit_maps(other, CONFIG).of_voices(other.descriptors),
        atol=1e-4,
    )


def test_what_is_said_of_the_people_of_a_fold_did_not_come_from_them() -> None:
    pairs = invented_pairs(30)
    for held, maps in fold_maps(pairs, CONFIG):
        nonsense = pairs.descriptors.copy()
        nonsense[held] = 1e6
        fold = {
            tuple(rows): found
            for rows, found in fold_maps(replace(pairs, descriptors=nonsense), CONFIG)
        }
        np.testing.assert_array_equal(maps.voice_weight, fold[tuple(held)].voice_weight)


def test_clips_of_one_person_are_in_one_fold_and_never_strangers() -> None:
    pairs = invented_pairs(30)
    twice = pairs.take(np.repeat(np.arange(30), 2))
    for held, _ in fold_maps(twice, CONFIG):
        persons = [twice.persons[row] for row in held]
        assert all(persons.count(person) == 2 for person in persons)
    everybody_alike = replace(twice, genders=np.full(60, "female"))
    true, strange = unseen_scores(everybody_alike, CONFIG)
    folds = [len(held) for held, _ in fold_maps(twice, CONFIG)]
    assert len(true) == 60 and len(strange) == sum(size * (size - 2) for size in folds)


def test_calibration_is_the_logistic_regression_of_balanced_pairs() -> None:
    rng = np.random.default_rng(0)
    true, strange = rng.normal(0.4, 0.2, 200), rng.normal(0.0, 0.2, 5000)
    found = fit_calibration(true, strange)
    scores = np.concatenate([true, strange])[:, None]
    labels = np.concatenate([np.ones(200), np.zeros(5000)])
    expected = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-8).fit(scores, labels)
    assert found.slope == pytest.approx(expected.coef_[0, 0], rel=1e-3)
    assert found.intercept == pytest.approx(expected.intercept_[0], rel=1e-3)


def test_probabilities_are_as_often_true_as_they_say() -> None:
    """On people who had no part in the fit, in the circumstances that the calibration names."""
    maps = fit_matcher(invented_pairs(150, noise=2.0), SHA256, CONFIG)
    unseen = invented_pairs(300, noise=2.0, seed=5)
    scores = maps.of_voices(unseen.descriptors) @ maps.of_faces(unseen.features).T
    is_own = np.eye(300, dtype=bool)
    is_stranger = ~is_own & (unseen.genders[:, None] == unseen.genders)
    weight = is_own / is_own.sum() + is_stranger / is_stranger.sum()
    said = maps.calibration(scores)
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.01)):
        chosen = (said >= low) & (said < high)
        found = (weight * is_own)[chosen].sum() / weight[chosen].sum()
        stated = (weight * said)[chosen].sum() / weight[chosen].sum()
        assert found == pytest.approx(stated, abs=0.1)


def test_the_same_pairs_give_the_same_bytes_and_the_hearing_is_named() -> None:
    first, second = (fit_matcher(invented_pairs(), SHA256, CONFIG) for _ in range(2))
    assert content_of(first) == content_of(second)
    assert first.hearing_sha256 == SHA256 and first.recognisers == ("one", "two")
    assert first.calibration.slope > 0


def test_languages_are_one_more_part_and_the_others_leave_them_room() -> None:
    shares = voice_shares((20, 10, 5), replace(CONFIG, language_share=0.2))
    assert shares == pytest.approx((0.4, 0.4, 0.2)) and sum(shares) == pytest.approx(1)
    pairs = invented_pairs()
    spoken = np.random.default_rng(3).random((len(pairs), 5))
    heard = replace(
        pairs, descriptors=np.hstack([pairs.descriptors, spoken]), sizes=(*pairs.sizes, 5)
    )
    assert fit_maps(heard, CONFIG).voice_weight.shape == (8, 35)
    deaf = fit_maps(heard, replace(CONFIG, language_share=0.0))
    np.testing.assert_array_equal(deaf.voice_weight[:, 30:], 0.0)
    np.testing.assert_allclose(
        deaf.of_voices(heard.descriptors),
        fit_maps(pairs, CONFIG).of_voices(pairs.descriptors),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"voice_shares": (0.2, 0.3, 0.5)}, "2 parts"),
        ({"face_shares": (0.2, 0.3, 0.5)}, "2 parts"),
    ],
)
def test_shares_of_other_parts_are_refused(changes: dict[str, tuple[float]], said: str) -> None:
    with pytest.raises(Speech2FaceError, match=said):
        fit_matcher(invented_pairs(), SHA256, replace(CONFIG, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"voice_shares": ()},
        {"voice_shares": (0.5, 0.6)},
        {"face_shares": (1.5, -0.5)},
        {"language_share": 1.0},
        {"voice_ridge": 0.0},
        {"face_ridge": -1.0},
        {"n_components": 0},
        {"n_folds": 1},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object]) -> None:
    values = to_json(CONFIG) | {
        name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()
    }
    with pytest.raises(Speech2FaceError, match=next(iter(changes))):
        restored(MatcherConfig, values)


def test_too_few_people_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="9 people"):
        fit_matcher(invented_pairs(9), SHA256, CONFIG)
    pairs = invented_pairs(10)
    nobody_alike = replace(pairs, genders=np.array([f"{n}" for n in range(10)]))
    with pytest.raises(Speech2FaceError, match="no two people of one apparent gender"):
        fit_matcher(nobody_alike, SHA256, CONFIG)

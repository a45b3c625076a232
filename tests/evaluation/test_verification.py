"""AUC and EER against SciPy, scikit-learn, and loops over thresholds and pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet
from speech2face.evaluation.trials import Items, PairList, draw_trials
from speech2face.evaluation.uncertainty import PersonBootstrap
from speech2face.evaluation.verification import (
    auc,
    eer,
    error_curve,
    verification_scores,
    verify,
)

TABLE = [  # positives, negatives, AUC, EER: the unit tests of P4
    ([2, 3], [0, 1], 1, 0),
    ([0, 1], [2, 3], 0, 1),
    ([1, 1], [1, 1], 0.5, 0.5),
    ([1, 1], [1, 0], 0.75, 1 / 3),
    ([0.9, 0.6, 0.6, 0.2], [0.6, 0.4, 0.4, 0.1], 0.75, 0.25),
]


def nearest_eer(scores: ArrayLike, same: ArrayLike) -> float:
    return float(error_curve(scores, same).eer_nearest())


def pooled(positives: list[float], negatives: list[float]) -> tuple[list[float], list[bool]]:
    return positives + negatives, [True] * len(positives) + [False] * len(negatives)


@pytest.mark.parametrize(("positives", "negatives", "expected", "_"), TABLE)
def test_auc_of_the_table(positives, negatives, expected, _) -> None:  # type: ignore[no-untyped-def]
    assert auc(*pooled(positives, negatives)) == pytest.approx(expected)


@pytest.mark.parametrize(("positives", "negatives", "_", "expected"), TABLE)
def test_eer_of_the_table(positives, negatives, _, expected) -> None:  # type: ignore[no-untyped-def]
    assert eer(*pooled(positives, negatives)) == pytest.approx(expected)


def twin_errors(scores: list[float], same: list[bool], threshold: float) -> tuple[float, float]:
    positives = [s for s, y in zip(scores, same, strict=True) if y]
    negatives = [s for s, y in zip(scores, same, strict=True) if not y]
    accepted = sum(s >= threshold for s in negatives) / len(negatives)
    return accepted, sum(s < threshold for s in positives) / len(positives)


def twin_eer(scores: list[float], same: list[bool]) -> float:
    """The brute-force twin: every threshold, each pair scanned, one straight line."""
    points = [twin_errors(scores, same, t) for t in [*sorted(set(scores)), np.inf]]
    for (far, frr), (far_next, frr_next) in zip(points, points[1:], strict=False):
        if far - frr >= 0 >= far_next - frr_next:
            if far - frr == far_next - frr_next:
                return far
            weight = (far - frr) / ((far - frr) - (far_next - frr_next))
            return far + weight * (far_next - far)
    raise AssertionError("the difference never changes sign")


lists_with_ties = st.integers(0, 10_000).map(
    lambda seed: (
        np.random.default_rng(seed).integers(0, 6, size=25).astype(float),
        np.random.default_rng(seed + 1).permutation(np.arange(25) % 3 == 0),
    )
)


@settings(deadline=None)
@given(case=lists_with_ties)
def test_auc_equals_midranks_and_scikit_learn(
    case: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> None:
    scores, same = case
    n, m = same.sum(), (~same).sum()
    midranks = (rankdata(scores)[same].sum() - n * (n + 1) / 2) / (n * m)
    assert auc(scores, same) == pytest.approx(midranks)
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores))


@settings(deadline=None)
@given(case=lists_with_ties)
def test_eer_equals_the_scan_of_all_thresholds(
    case: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> None:
    scores, same = case
    assert eer(scores, same) == pytest.approx(twin_eer(scores.tolist(), same.tolist()))


@settings(deadline=None)
@given(case=lists_with_ties, seed=st.integers(0, 1000))
def test_list_order_changes_nothing(
    case: tuple[NDArray[np.float64], NDArray[np.bool_]], seed: int
) -> None:
    scores, same = case
    order = np.random.default_rng(seed).permutation(len(scores))
    for figure in (auc, eer, nearest_eer):
        assert figure(scores, same) == pytest.approx(figure(scores[order], same[order]))


def test_a_constant_is_at_chance_and_a_reversed_score_is_the_complement() -> None:
    generator = np.random.default_rng(0)
    scores, same = generator.normal(size=200), generator.random(200) < 0.5
    assert auc(np.ones(200), same) == 0.5 and eer(np.ones(200), same) == 0.5
    assert auc(-scores, same) == pytest.approx(1 - auc(scores, same))
    assert eer(-scores, same) == pytest.approx(1 - eer(scores, same), abs=0.02)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_closed_forms_of_an_oracle_hold(p: float) -> None:
    scores = [1.0] * 100 + [1.0] * int(100 * p) + [0.0] * int(100 - 100 * p)
    same = [True] * 100 + [False] * 100
    assert auc(scores, same) == pytest.approx(1 - p / 2)
    assert eer(scores, same) == pytest.approx(p / (1 + p))


def test_nearest_eer_is_one_of_the_points() -> None:
    scores, same = pooled([0.9, 0.6, 0.6, 0.2], [0.6, 0.4, 0.4, 0.1])
    assert nearest_eer(scores, same) == pytest.approx(0.25)
    # thresholds 0, 1, inf accept 1, .5, 0 of the negatives and reject 0, 0, 1 of the positives
    assert nearest_eer(*pooled([1, 1], [1, 0])) == 0.5


@pytest.mark.parametrize(
    ("scores", "same", "problem"),
    [
        ([1.0, np.nan], [True, False], "1 not finite"),
        ([1.0, np.inf], [True, False], "1 not finite"),
        ([1.0], [True, False], "1 scores for 2 pairs"),
        ([1.0, 2.0], [True, True], "2 positive and 0 negative"),
        ([1.0, 2.0], [False, False], "0 positive and 2 negative"),
    ],
)
def test_lists_that_cannot_be_scored_are_refused(
    scores: list[float], same: list[bool], problem: str
) -> None:
    with pytest.raises(Speech2FaceError, match=problem):
        auc(scores, same)


def test_resampled_errors_equal_the_repeated_pairs() -> None:
    generator = np.random.default_rng(2)
    persons = np.array(["a", "b", "c", "d"])
    query, candidate = persons[generator.integers(0, 4, size=(2, 60))]
    same = query == candidate
    scores = same + generator.integers(0, 4, size=60).astype(float)
    bootstrap = PersonBootstrap.draw(persons, n_draws=12, seed=3)
    for counts in bootstrap.counts:
        count = dict(zip(bootstrap.persons, counts, strict=True))
        weight = np.array(
            [count[q] * (1 if q == c else count[c]) for q, c in zip(query, candidate, strict=True)]
        )
        repeats = np.repeat(np.arange(60), weight.astype(int))
        if same[repeats].all() or not same[repeats].any():
            continue
        curve = error_curve(scores, same, weight)
        assert curve.auc() == pytest.approx(roc_auc_score(same[repeats], scores[repeats]))
        twin = twin_eer(scores[repeats].tolist(), same[repeats].tolist())
        assert curve.eer() == pytest.approx(twin)
    figures = verification_scores(scores, same, query, candidate, bootstrap=bootstrap)
    for figure in figures.values():
        assert figure.interval is not None and figure.interval.kind == "two-way"
        assert figure.query_person_interval is not None
        assert figure.interval.low <= figure.value <= figure.interval.high


def test_features_are_verified_on_a_pair_list() -> None:
    generator = np.random.default_rng(4)
    persons = np.repeat([f"p{i}" for i in range(20)], 2)
    truth = np.repeat(generator.normal(size=(20, 5)), 2, axis=0)
    voices = FeatureSet(np.array([f"v{i}" for i in range(40)]), persons, truth)
    faces = FeatureSet(np.array([f"f{i}" for i in range(40)]), persons, truth)
    pairs = PairList.from_trials(
        draw_trials(Items.of(voices), Items.of(faces), n_trials=100, positives="any")
    )
    scores = verify(pairs, voices, faces)
    assert scores["AUC U"].value == 1 and scores["EER U"].value == 0
    alike = FeatureSet(faces.ids, persons, np.ones((40, 5)))
    constant = verify(pairs, voices, alike)
    assert constant["AUC U"].value == pytest.approx(0.5)
    assert constant["EER U"].value == pytest.approx(0.5)
    renamed = FeatureSet(faces.ids, np.roll(persons, 2), truth)
    with pytest.raises(Speech2FaceError, match="pair 0 is listed as one person"):
        verify(pairs, voices, renamed)

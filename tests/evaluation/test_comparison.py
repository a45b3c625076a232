"""Comparisons of an invented world whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.evaluation.protocols import (
    controls,
    judge,
    judge_difference,
    mean_face,
    retrieval,
    similarity,
)
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import Readings

GENERATOR = np.random.default_rng(0)
N_QUERIES, N_GALLERY = 60, 140
GALLERY = GENERATOR.normal(size=(N_GALLERY, 16))
PERSONS = np.array([f"p{i}" for i in range(N_GALLERY)])
GENDERS = np.array(["female", "male"])[np.arange(N_GALLERY) % 2]
GALLERY[:, 0] += np.where(GENDERS == "female", 3, -3)
NOISY = GALLERY[:N_QUERIES] + 2 * GENERATOR.normal(size=(N_QUERIES, 16))
BY_CHANCE = GENERATOR.normal(size=(N_QUERIES, 16))
NAMES = ["1:2 U", "1:2 G", *(f"R@{k}{form}" for form in ("", "%") for k in (1, 2, 5, 10))]


def world(
    *systems: NDArray[np.float64],
    genders: NDArray[np.str_] | None = GENDERS,
    persons: NDArray[np.str_] = PERSONS,
    distance: Distance = "euclidean",
    seed: int = 0,
) -> Comparison:
    """Sixty clips and eighty distractors."""

    def faces(rows: slice) -> TrueFaces:
        labels = {} if genders is None else {"gender": genders[rows]}
        return TrueFaces(PERSONS[rows], persons[rows], {"r": GALLERY[rows]}, labels)

    return Comparison(
        faces(slice(0, N_QUERIES)),
        tuple(System(f"system {i}", {"r": features}) for i, features in enumerate(systems)),
        faces(slice(N_QUERIES, None)),
        distances={"r": distance},
        seed=seed,
    )


def judged(comparison: Comparison) -> dict[str, Score]:
    return judge(comparison, comparison.systems[0], "r")


def differences(comparison: Comparison) -> dict[str, Score]:
    first, second = comparison.systems
    return judge_difference(comparison, first, second, "r")


def test_every_figure_comes_with_chance_oracle_and_interval() -> None:
    scores = judged(world(NOISY))
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
    scores = judged(world(GALLERY[:N_QUERIES], distance=distance))
    assert all(score.value == 1 for score in scores.values())


def test_a_predictor_by_chance_has_intervals_around_chance() -> None:
    for score in judged(world(BY_CHANCE)).values():
        assert abs(score.value - score.chance) < (25 if score.unit == "rank" else 0.1)


def test_ranks_and_credits_are_those_of_a_loop_over_the_gallery() -> None:
    persons = np.array([f"p{i // 2}" for i in range(N_GALLERY)])  # everybody has two photos
    genders = np.array(["female", "male"])[np.arange(N_GALLERY) // 2 % 2]
    scores = judged(world(NOISY, genders=genders, persons=persons, distance="cosine"))
    unit = GALLERY / np.linalg.norm(GALLERY, axis=1, keepdims=True)
    ranks, credits, within = [], [], []
    for q in range(N_QUERIES):
        alike = unit @ (NOISY[q] / np.linalg.norm(NOISY[q]))
        others = [g for g in range(N_GALLERY) if persons[g] != persons[q]]
        ranks.append(1 + sum(alike[g] > alike[q] for g in others))
        credits.append(np.mean([alike[q] > alike[g] for g in others]))
        same = [g for g in others if genders[g] == genders[q]]
        within.append(np.mean([alike[q] > alike[g] for g in same]))
    assert scores["1:2 U"].value == pytest.approx(np.mean(credits))
    assert scores["1:2 G"].value == pytest.approx(np.mean(within))
    assert scores["R@10"].value == pytest.approx(np.mean(np.array(ranks) <= 10))
    assert scores["median rank"].value == np.median(ranks)


def test_the_gender_oracle_follows_its_closed_forms() -> None:
    scores = judged(world(NOISY))
    agreeing = 69  # of the 139 others
    assert scores["1:2 U"].oracle == pytest.approx(1 - agreeing / 139 / 2)
    assert scores["1:2 G"].oracle == 0.5
    assert scores["R@5"].oracle == pytest.approx(5 / 70)  # min(1, K / m), m = 70 of one gender
    assert scores["R@10%"].oracle == pytest.approx(14 / 70)
    assert scores["median rank"].oracle == 1 + 69 / 2


def of_feature_sets(labels: dict[str, dict[str, str]]) -> Comparison:
    """90 clips and 461 distractors, as `evaluate` is given them: half of all are of one gender."""
    generator = np.random.default_rng(1)

    def features(prefix: str, n: int) -> FeatureSet:
        names = np.array([f"{prefix}{i:03d}" for i in range(n)])
        values = generator.normal(size=(n, 4)).astype(np.float32)
        return FeatureSet(names, names, values, Provenance(recogniser="r"))

    clips, distractors = features("c", 90), features("d", 461)
    return Comparison.of_features(clips, clips, distractors=distractors, labels=labels)


def alternating(prefix: str, n: int) -> dict[str, str]:
    return {f"{prefix}{i:03d}": "female" if i % 2 else "male" for i in range(n)}


def test_the_gender_oracle_of_feature_files_counts_the_distractors_of_its_gender() -> None:
    labels = {"gender": alternating("c", 90) | alternating("d", 461)}
    comparison = of_feature_sets(labels)
    for scores in (judged(comparison), retrieval(comparison, comparison.systems[0], "r", "cosine")):
        # 45 + 231 male and 45 + 230 female faces; 55 of 551 places are ten percent.
        assert scores["R@10%"].oracle == pytest.approx((55 / 276 + 55 / 275) / 2)
        assert scores["median rank"].oracle == pytest.approx((1 + 275 / 2 + 1 + 274 / 2) / 2)


def test_distractors_without_a_gender_give_no_oracle_and_are_in_no_stratum() -> None:
    comparison = of_feature_sets({"gender": alternating("c", 90)})
    scores = judged(comparison)
    assert all(score.oracle is None for score in scores.values())
    assert scores["1:2 U"].details["trials"] == 90 * (89 + 461)
    assert scores["1:2 G"].details["trials"] == 90 * 44  # other clips of the gender, nobody else
    closed = judge(comparison.closed(), comparison.systems[0], "r")
    assert closed["1:2 U"].oracle == pytest.approx(1 - 44 / 89 / 2)
    assert comparison.distractors is not None
    no_column = replace(comparison, distractors=replace(comparison.distractors, labels={}))
    assert judged(no_column) == scores


def test_distractors_keep_the_gender_that_they_are_labelled_with() -> None:
    women = {f"d{i:03d}": "female" for i in range(461)}
    comparison = of_feature_sets({"gender": alternating("c", 90) | women})
    # 45 women among the clips meet 44 others and every distractor, 45 men meet 44 others only.
    assert judged(comparison)["1:2 G"].details["trials"] == 45 * (44 + 461) + 45 * 44


def test_one_clip_without_a_gender_takes_the_oracle_away_and_not_the_other_clips() -> None:
    genders = GENDERS.copy()
    genders[3] = ""
    scores = judged(world(NOISY, genders=genders))
    assert scores["1:2 U"].oracle is None
    assert scores["1:2 G"].n == N_QUERIES - 1


def test_without_genders_there_is_no_same_gender_figure_and_no_oracle() -> None:
    scores = judged(world(NOISY, genders=None))
    assert "1:2 G" not in scores
    assert all(score.oracle is None for score in scores.values())


def test_where_nobody_shares_a_gender_the_other_figures_are_still_given() -> None:
    three = GENERATOR.normal(size=(3, 4))
    clips = TrueFaces(
        np.array(["a", "b", "c"]),
        np.array(["p", "p", "q"]),
        {"r": three},
        {"gender": np.array(["female", "female", "male"])},
    )
    comparison = Comparison(clips, (System("ours", {"r": three}), System("noise", {"r": -three})))
    assert comparison.shared_genders() is None
    scores = judged(comparison)
    assert "1:2 G" not in scores and scores["1:2 U"].value == 1
    assert scores["1:2 U"].oracle == 1  # the other person is of the other gender
    assert "1:2 G" not in differences(comparison)
    assert "1:2 G" not in controls(comparison, comparison.systems[0], "r")["constant output"]


def test_several_clips_of_a_person_are_each_judged_against_their_own_photo() -> None:
    persons = PERSONS.copy()
    persons[1] = persons[0]  # query 1 and its photo belong to the person of query 0
    scores = judged(world(NOISY, persons=persons, genders=None))
    assert (scores["R@1"].n, scores["R@1"].persons) == (N_QUERIES, N_QUERIES - 1)
    expected = (2 * (N_GALLERY - 1) + 58 * N_GALLERY) / 60
    assert scores["R@1"].details["gallery_size"] == pytest.approx(expected)


def test_difference_is_the_first_minus_the_second() -> None:
    first, second = judged(world(NOISY)), judged(world(BY_CHANCE))
    apart = differences(world(NOISY, BY_CHANCE))
    assert apart.keys() == first.keys()
    for name, score in apart.items():
        assert score.value == pytest.approx(first[name].value - second[name].value)
    interval = apart["1:2 U"].interval
    assert interval is not None and interval.kind == "two-way" and interval.excludes(0)
    assert interval.low > 0


def test_a_system_does_not_differ_from_itself() -> None:
    for score in differences(world(NOISY, NOISY)).values():
        assert score.interval is not None
        assert (score.value, score.interval.low, score.interval.high) == (0, 0, 0)


def test_a_paired_interval_is_narrower_than_that_of_unrelated_systems() -> None:
    paired = differences(world(NOISY, NOISY + 0.01, genders=None))["1:2 U"].interval
    alone = judged(world(NOISY, genders=None))["1:2 U"].interval
    assert paired is not None and alone is not None
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_same_seed_same_intervals_another_seed_others() -> None:
    first = judged(world(NOISY, seed=1))
    assert first["R@10%"].interval == judged(world(NOISY, seed=1))["R@10%"].interval
    assert first["1:2 U"].interval != judged(world(NOISY, seed=2))["1:2 U"].interval


def test_the_closed_gallery_holds_the_clips_own_photos_alone() -> None:
    scores = judged(world(np.ones((N_QUERIES, 16))).closed())
    assert scores["R@1"].details["gallery_size"] == N_QUERIES
    assert scores["1:2 U"].details["trials"] == N_QUERIES * (N_QUERIES - 1)
    assert scores["1:2 U"].value == pytest.approx(0.5)  # a constant face scores chance exactly
    assert scores["R@10%"].value == pytest.approx(scores["R@10%"].chance)


def test_the_mean_face_is_fitted_on_training_photos_else_distractors_and_not_on_the_clips() -> None:
    comparison = world(NOISY)
    outside = GALLERY[N_QUERIES:]
    constant, source = mean_face(comparison, "r")
    assert source == "the distractors' photos"
    np.testing.assert_allclose(constant.mean, outside.mean(axis=0))
    scores = similarity(comparison, comparison.systems[0], "r", constant)
    expected = np.linalg.norm(GALLERY[:N_QUERIES] - outside.mean(axis=0), axis=1).mean()
    assert scores["L2"].controls["mean face"] == pytest.approx(expected)
    training = GENERATOR.normal(size=(9, 16))
    trained, source = mean_face(replace(comparison, training={"r": training}), "r")
    assert source == "training photos"
    np.testing.assert_allclose(trained.mean, training.mean(axis=0))
    own, source = mean_face(comparison.closed(), "r")
    assert source.startswith("these very photos")
    np.testing.assert_allclose(own.mean, GALLERY[:N_QUERIES].mean(axis=0))


def test_systems_with_another_number_of_clips_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="59 features of system 0 by r for 60 clips"):
        world(NOISY[:-1])
    with pytest.raises(Speech2FaceError, match="1 persons for 2 items"):
        TrueFaces(np.array(["a", "b"]), np.array(["p"]), {"r": GALLERY[:2]})
    with pytest.raises(Speech2FaceError, match="nobody to judge"):
        world()


def test_one_person_only_is_refused() -> None:
    clips = TrueFaces(np.array(["a"]), np.array(["p"]), {"r": GALLERY[:1]})
    comparison = Comparison(clips, (System("ours", {"r": NOISY[:1]}),), world(NOISY).distractors)
    with pytest.raises(Speech2FaceError, match="at least two persons"):
        judged(comparison)


def test_gender_is_the_corpus_label_only_if_every_clip_has_one() -> None:
    read = Readings(
        np.ones(2, bool),
        np.zeros((2, 68, 2)),
        {"r": np.ones((2, 2))},
        np.array(["female", "female"]),
        np.ones(2),
    )
    for said, expected in (
        (["male", "female"], ["male", "female"]),
        (["male", ""], ["female", "female"]),
        (["m", "f"], ["female", "female"]),  # other words cannot be compared with the classifier's
    ):
        labels = {"gender": np.array(said)}
        faces = TrueFaces.of_readings(["a", "b"], ["p", "q"], read, labels)
        assert faces.labels["gender"].tolist() == expected
    unlabelled = TrueFaces.of_readings(["a", "b"], ["p", "q"], read)
    assert unlabelled.labels["gender"].tolist() == ["female", "female"]

"""The protocols, as functions of a `Comparison` that return scores.

A recogniser is independent if it was not used in training the system. Where it was used, judge with
a second one too and show both. Call a system better only if the interval of `judge_difference`
excludes 0. The definitions of all protocols are in docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.agreement import (
    DECADES,
    Confusion,
    age_decade,
    age_error,
    agreement,
    confusion,
)
from speech2face.evaluation.comparison import GENDER, GENDERS, Comparison, Features, System
from speech2face.evaluation.controls import control_rows, oracle_features
from speech2face.evaluation.craniofacial import correlate
from speech2face.evaluation.features import MISSING_LABEL, FeatureSet
from speech2face.evaluation.matching import (
    Credits,
    exhaustive_credits,
    match_trials,
    matching_score,
    query_person_draws,
    shares_labels,
    trial_scores,
    two_way_draws,
)
from speech2face.evaluation.retrieval import Ranks, gallery_ranks, recalls, retrieval_scores
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.similarity import MeanFace, similarity_scores
from speech2face.evaluation.trials import (
    MAX_N_WAY,
    STRATA,
    Items,
    PairList,
    TrialList,
    draw_trials,
)
from speech2face.evaluation.uncertainty import (
    IntervalKind,
    PersonBootstrap,
    Score,
    mean_draws,
    median_draws,
)
from speech2face.evaluation.verification import verify

UNRESTRICTED, SAME_GENDER = "1:2 U", "1:2 G"

Scores = dict[str, Score]


# ---------------------------------------------------------------- matching and retrieval together


@dataclass(frozen=True)
class Outcome:
    """What a system did in one gallery: credits of 1:2 matching by stratum, and ranks.

    A system that only chooses between two candidates has no ranks.
    """

    credits: dict[str, Credits]
    ranks: Ranks | None = None


def judge(comparison: Comparison, system: System, recogniser: str) -> Scores:
    """1:2 matching (P2) and retrieval (P7) in the whole gallery: every figure of P17.

    Returns:
        `1:2 U` and `1:2 G` (two-way and query-person intervals), `R@1`, `R@2`,
        `R@5`, `R@10`, `R@1%`, `R@2%`, `R@5%`, `R@10%` and `median rank` (query-person intervals).
        `1:2 G` is missing where genders are unknown or nobody has an impostor of the same gender.

    Raises:
        Speech2FaceError: unusable features, or fewer than two persons.
    """
    return scores_of(comparison, outcome_of(comparison, system, recogniser))


def outcome_of(comparison: Comparison, system: System, recogniser: str) -> Outcome:
    """What a system does in the whole gallery."""
    return _outcome(comparison, system.features[recogniser], recogniser)


def outcome_of_leads(comparison: Comparison, lead: NDArray[np.float64]) -> Outcome:
    """The outcome of a system that only chooses between two faces.

    Args:
        comparison: of the clips and the gallery.
        lead: how much higher the own face of each clip scores than each face of the gallery, when
            both are shown to the system, `[Q, G]`.
    """
    gallery = comparison.gallery_persons()
    eligible = comparison.persons[:, None] != gallery
    credit = ((lead > 0).astype(np.float32) + (lead >= 0)).astype(np.float32) / 2
    credits = Credits(credit * eligible, eligible, comparison.persons, gallery)
    return Outcome(_by_stratum(comparison, credits, np.arange(len(comparison.clips))))


def scores_of(comparison: Comparison, outcome: Outcome) -> Scores:
    """The figures of `judge` of what a system did; without ranks, only those of matching."""
    oracle = _gender_oracle(comparison)
    bootstrap = comparison.bootstrap()
    scores = {
        name: matching_score(
            name,
            credits,
            bootstrap=bootstrap,
            oracle=None if oracle is None else oracle.credits.get(name),
        )
        for name, credits in outcome.credits.items()
    }
    if outcome.ranks is None:
        return scores
    return scores | retrieval_scores(
        outcome.ranks,
        comparison.persons,
        bootstrap=bootstrap,
        oracle=None if oracle is None else oracle.ranks,
    )


def judge_difference(
    comparison: Comparison, first: System, second: System, recogniser: str
) -> Scores:
    """Figures of `first` minus those of `second`, with paired person-level intervals.

    The names are those of `judge`. Positive is better for `first`, except in `median rank`.

    Raises:
        Speech2FaceError: as `judge`.
    """
    outcomes = (outcome_of(comparison, one, recogniser) for one in (first, second))
    return difference_of(comparison, *outcomes)


def difference_of(comparison: Comparison, first: Outcome, second: Outcome) -> Scores:
    """The same of what two systems did on the clips and in the gallery of `comparison`.

    They may have compared in different spaces; a figure that one of them lacks is left out.
    """
    bootstrap = comparison.bootstrap()
    minuend, subtrahend = (_statistics(one, bootstrap) for one in (first, second))
    return {
        name: statistic.minus(subtrahend[name], name, comparison, bootstrap)
        for name, statistic in minuend.items()
        if name in subtrahend
    }


def controls(
    comparison: Comparison, system: System, recogniser: str
) -> dict[str, dict[str, float]]:
    """Every figure of `judge` with another person's voice, or without any (P15), by control."""

    def measure(query: Features, rows: NDArray[np.intp]) -> dict[str, float]:
        outcome = _outcome(comparison, query, recogniser, rows)
        figures = {name: float(kept.accuracy.mean()) for name, kept in outcome.credits.items()}
        assert outcome.ranks is not None
        figures |= {name: float(hits.mean()) for name, hits in recalls(outcome.ranks).items()}
        return figures | {"median rank": float(np.median(outcome.ranks.rank))}

    return control_rows(
        measure,
        system.features[recogniser],
        comparison.persons,
        genders=comparison.genders,
        ids=comparison.clips.ids,
        seed=comparison.seed,
    )


def _outcome(
    comparison: Comparison,
    query: Features,
    recogniser: str,
    rows: NDArray[np.intp] | None = None,
) -> Outcome:
    """What features `[n, D]` reach in the place of the clips at `rows` `[n]`, or of all clips."""
    asked = np.arange(len(comparison.clips)) if rows is None else rows
    lists = (
        query,
        comparison.persons[asked],
        comparison.gallery_features(recogniser),
        comparison.gallery_persons(),
    )
    options: dict[str, Any] = {"own": asked, "distance": comparison.distance(recogniser)}
    credits = _by_stratum(comparison, exhaustive_credits(*lists, **options), asked)
    return Outcome(credits, gallery_ranks(*lists, **options))


def _by_stratum(
    comparison: Comparison, unrestricted: Credits, rows: NDArray[np.intp]
) -> dict[str, Credits]:
    """The credits, and those within one gender if any query has such an impostor."""
    credits = {UNRESTRICTED: unrestricted}
    genders = comparison.gallery_labels(GENDER)
    if genders is not None:
        within = unrestricted.restricted(shares_labels((genders[rows], genders)))
        if within.kept.any():
            credits[SAME_GENDER] = within
    return credits


def _gender_oracle(comparison: Comparison) -> Outcome | None:
    """What a system would reach that knows only the true gender (P15)."""
    genders = comparison.oracle_genders()
    if genders is None:
        return None
    n = len(comparison.clips)
    query, gallery = oracle_features((genders[:n], genders))
    lists = (query, comparison.persons, gallery, comparison.gallery_persons())
    own = np.arange(n)
    credits = exhaustive_credits(*lists, own=own, distance="euclidean")
    return Outcome(
        _by_stratum(comparison, credits, own),
        gallery_ranks(*lists, own=own, distance="euclidean"),
    )


@dataclass(frozen=True)
class _Statistic:
    """A figure, and its values in every resample `[B]`, of both kinds of interval."""

    value: float
    kind: IntervalKind
    draws: NDArray[np.float64]
    query_person_draws: NDArray[np.float64]

    def minus(
        self, other: _Statistic, name: str, comparison: Comparison, bootstrap: PersonBootstrap
    ) -> Score:
        score = Score(
            name=f"{name}, difference",
            value=self.value - other.value,
            chance=0.0,
            n=len(comparison.clips),
            persons=len(np.unique(comparison.persons)),
            interval=bootstrap.interval(self.draws - other.draws, self.kind),
            unit="rank" if name == "median rank" else "share",
            details={"first": self.value, "second": other.value},
        )
        if self.kind != "two-way":
            return score
        apart = self.query_person_draws - other.query_person_draws
        return replace(score, query_person_interval=bootstrap.interval(apart, "query-person"))


def _statistics(outcome: Outcome, bootstrap: PersonBootstrap) -> dict[str, _Statistic]:
    statistics: dict[str, _Statistic] = {}
    for name, credits in outcome.credits.items():
        statistics[name] = _Statistic(
            float(credits.accuracy.mean()),
            "two-way",
            two_way_draws(credits, bootstrap),
            query_person_draws(credits, bootstrap),
        )
    if outcome.ranks is None:
        return statistics
    persons = next(iter(outcome.credits.values())).query_persons
    for name, hits in recalls(outcome.ranks).items():
        draws = mean_draws(bootstrap, hits, persons)
        statistics[name] = _Statistic(float(hits.mean()), "query-person", draws, draws)
    ranks = outcome.ranks.rank
    draws = median_draws(bootstrap, ranks, persons)
    median = float(np.median(ranks))
    return statistics | {"median rank": _Statistic(median, "query-person", draws, draws)}


# ---------------------------------------------------------------- one by one


def retrieval(
    comparison: Comparison, system: System, recogniser: str, distance: Distance
) -> Scores:
    """P7 by any distance, in the whole gallery."""
    ranks = gallery_ranks(
        system.features[recogniser],
        comparison.persons,
        comparison.gallery_features(recogniser),
        comparison.gallery_persons(),
        own=np.arange(len(comparison.clips)),
        distance=distance,
    )
    oracle = _gender_oracle(comparison)
    return retrieval_scores(
        ranks,
        comparison.persons,
        bootstrap=comparison.bootstrap(),
        oracle=None if oracle is None else oracle.ranks,
    )


def directions(
    comparison: Comparison, system: System, recogniser: str
) -> dict[str, tuple[FeatureSet, FeatureSet]]:
    """Queries and candidates of both directions; distractors have no voice and take no part."""
    voices = comparison.feature_set(system.features, recogniser)
    faces = comparison.feature_set(comparison.clips.features, recogniser)
    return {"Voice to face": (voices, faces), "Face to voice": (faces, voices)}


def known_strata(comparison: Comparison) -> list[str]:
    """The strata of P5 for which every label is there."""
    return [
        name for name, labels in STRATA.items() if set(labels) <= comparison.clips.labels.keys()
    ]


def matching(
    comparison: Comparison, query: FeatureSet, gallery: FeatureSet
) -> tuple[list[Score], list[str]]:
    """P2 and P5: 1:2 against every eligible person, by stratum.

    Returns:
        Scores, and the strata in which nobody has an eligible impostor.
    """
    own = np.arange(len(query))
    distance = comparison.distance(query.provenance.recogniser)
    lists = (query.persons, gallery.values, gallery.persons)
    credits = exhaustive_credits(query.values, *lists, own=own, distance=distance)
    genders, oracle = comparison.closed().oracle_genders(), None
    if genders is not None:
        one_hot, _ = oracle_features((genders, genders))
        oracle = exhaustive_credits(
            one_hot, query.persons, one_hot, gallery.persons, own=own, distance="euclidean"
        )
    bootstrap = comparison.bootstrap()
    scores, empty = [], []
    for stratum in known_strata(comparison):
        columns = [comparison.clips.labels[name] for name in STRATA[stratum]]
        allowed = (
            shares_labels(*((column, column) for column in columns))
            if columns
            else np.ones_like(credits.eligible)
        )
        chosen = credits.restricted(allowed)
        if not chosen.kept.any():
            empty.append(stratum)
            continue
        limited = None if oracle is None else oracle.restricted(allowed)
        scores.append(matching_score(f"1:2 {stratum}", chosen, bootstrap=bootstrap, oracle=limited))
    return scores, empty


def nested_matching(
    comparison: Comparison,
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    direction: str,
    n_trials: int,
) -> tuple[Scores, TrialList]:
    """P3: 1:2 to 1:10, or fewer where there are fewer persons, on a list that is drawn here."""
    trials = draw_trials(
        Items.of(query),
        Items.of(gallery),
        direction=direction,
        n_way=min(MAX_N_WAY, len(np.unique(comparison.persons))),
        n_trials=n_trials,
        positives="any",
        seed=comparison.seed,
    )
    distance = comparison.distance(query.provenance.recogniser)
    credits = match_trials(trials, query, gallery, distance=distance)
    genders, oracle = comparison.closed().oracle_genders(), None
    if genders is not None:
        one_hot, _ = oracle_features((genders, genders))
        knows_gender = FeatureSet(query.ids, query.persons, one_hot.astype(np.float32))
        oracle = match_trials(trials, knows_gender, knows_gender, distance="euclidean")
    return trial_scores(credits, "U", bootstrap=comparison.bootstrap(), oracle=oracle), trials


def verification(
    comparison: Comparison, system: System, recogniser: str, stratum: str, *, n_trials: int
) -> tuple[Scores, TrialList]:
    """P4: AUC and EER of as many positive as negative pairs; the negatives are of the stratum.

    Raises:
        Speech2FaceError: nobody has an eligible impostor in this stratum.
    """
    query, gallery = directions(comparison, system, recogniser)["Voice to face"]
    labels = {name: comparison.clips.labels[name] for name in STRATA[stratum]}
    trials = draw_trials(
        Items.of(query, labels=labels),
        Items.of(gallery, labels=labels),
        stratum=stratum,
        n_trials=n_trials,
        positives="any",
        seed=comparison.seed,
    )
    scores = verify(
        PairList.from_trials(trials),
        query,
        gallery,
        distance=comparison.distance(recogniser),
        stratum=stratum,
        bootstrap=comparison.bootstrap(),
        genders=comparison.closed().oracle_genders(),
    )
    return scores, trials


# ---------------------------------------------------------------- what the faces are like


def mean_face(comparison: Comparison, recogniser: str) -> tuple[MeanFace, str]:
    """The best constants for each measure, and in words what they were fitted on (P8).

    Training photos where they are known, else the distractors, else the very photos that are asked
    for, which makes the mean face better than it could be.
    """
    if recogniser in comparison.training:
        return MeanFace.fit(comparison.training[recogniser]), "training photos"
    if comparison.distractors is not None:
        return MeanFace.fit(comparison.distractors.features[recogniser]), "the distractors' photos"
    source = "these very photos, so it is better than it could be"
    return MeanFace.fit(comparison.clips.features[recogniser]), source


def similarity(
    comparison: Comparison, system: System, recogniser: str, constant: MeanFace
) -> Scores:
    """P8: generated against true feature of the same clip, beside the mean face `constant`."""
    return similarity_scores(
        system.features[recogniser],
        comparison.clips.features[recogniser],
        comparison.persons,
        mean_face=constant,
        genders=comparison.genders,
        ids=comparison.clips.ids,
        bootstrap=comparison.bootstrap(),
        seed=comparison.seed,
    )


def craniofacial(comparison: Comparison, system: System) -> list[Score]:
    """P11: the measures on a system's faces against those on the frontal faces.

    Raises:
        Speech2FaceError: there are no frontal faces, or too few clips.
    """
    if comparison.frontal is None or comparison.frontal.readings is None:
        raise Speech2FaceError(
            "no faces from images to compare with", "give a folder of F2F faces (--canonical)"
        )
    if system.readings is None:
        raise Speech2FaceError(f"{system.name} draws no faces", "give a folder of its faces")
    return correlate(
        comparison.frontal.readings.landmarks,
        system.readings.landmarks,
        comparison.persons,
        genders=comparison.genders,
        bootstrap=comparison.bootstrap(),
        seed=comparison.seed,
    )


@dataclass(frozen=True)
class Attributes:
    """How often a system's faces get the attribute labels of the true photos (P10)."""

    scores: list[Score]
    genders: Confusion
    decades: Confusion


def attributes(comparison: Comparison, system: System) -> Attributes:
    """P10: one classifier on the true photo and on the generated face.

    Raises:
        Speech2FaceError: only features are known, and no pictures.
    """
    true, made = comparison.clips.readings, system.readings
    true_genders = comparison.genders
    if true is None or made is None or true_genders is None:
        raise Speech2FaceError(f"{system.name} draws no faces", "give folders of faces")
    genders = true_genders.tolist()
    decades = [age_decade(age) for age in true.age]
    read = list(zip(made.apparent_gender, made.age, made.found, strict=True))
    made_genders = [str(gender) if found else None for gender, _, found in read]
    made_decades = [age_decade(age) if found else None for _, age, found in read]
    lists: Sequence[tuple[str, list[str], list[str | None], tuple[str, ...]]] = (
        ("gender", genders, made_genders, GENDERS),
        ("age decade", decades, made_decades, DECADES),
    )
    bootstrap = comparison.bootstrap()
    scores = [
        score
        for what, real, drawn, classes in lists
        for score in agreement(
            real, drawn, comparison.persons, what=what, classes=classes, bootstrap=bootstrap
        )
    ]
    if made.found.any():
        ages = np.where(made.found, made.age, np.nan)
        scores.append(age_error(true.age, ages, comparison.persons, bootstrap=bootstrap))
    return Attributes(
        scores,
        confusion(genders, made_genders, GENDERS),
        confusion(decades, made_decades, DECADES),
    )


def label_columns(comparison: Comparison) -> Mapping[str, list[str]]:
    """The labels of the clips that tell them apart, for colours and neighbourhoods, by name.

    The age decade that the classifier reads is one of them; a missing label is "unknown".
    """
    columns = dict(comparison.clips.labels)
    if comparison.clips.readings is not None:
        ages = [age_decade(age) for age in comparison.clips.readings.age]
        columns["age decade"] = np.array(ages)
    return {
        "apparent gender" if name == GENDER else name: np.where(
            column == MISSING_LABEL, "unknown", column
        ).tolist()
        for name, column in columns.items()
        if len(np.unique(column)) > 1
    }

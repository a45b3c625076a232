"""One call that judges a system: 1:2 matching and retrieval in one gallery (protocol P17).

The features are a recogniser's, of generated faces as queries and of true photos as the gallery.
The recogniser must have had no part in training the system; where it had, judge with a second one
too and show both. `judge_difference` compares two systems on the same clips and the same
resampled persons: a claim "better" needs its interval to exclude 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.controls import control_rows, oracle_features
from speech2face.evaluation.matching import (
    Credits,
    exhaustive_credits,
    matching_score,
    query_person_draws,
    shares_labels,
    two_way_draws,
)
from speech2face.evaluation.retrieval import (
    Ranks,
    gallery_ranks,
    own_items,
    recalls,
    retrieval_scores,
)
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import (
    N_DRAWS,
    IntervalKind,
    PersonBootstrap,
    Score,
    as_names,
    mean_draws,
    median_draws,
)


def judge(
    query: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    distance: Distance = "euclidean",
    *,
    query_genders: ArrayLike | None = None,
    gallery_genders: ArrayLike | None = None,
    own: ArrayLike | None = None,
    n_draws: int = N_DRAWS,
    n_shuffles: int = 0,
    seed: int = 0,
) -> dict[str, Score]:
    """Every figure of a system in one gallery, with chance, gender oracle and intervals.

    Args:
        query: features of generated faces, `[Q, D]`.
        query_persons: `[Q]`.
        gallery: features of true faces, `[G, D]`.
        gallery_persons: `[G]`; other faces of the query's person are left out.
        distance: "euclidean" (dlib's own), "cosine" or "manhattan".
        query_genders: `[Q]`, `""` where unknown; by default those of the own gallery faces.
        gallery_genders: `[G]`; without them no same-gender figure and no oracle is given.
        own: gallery row of each query's own face, `[Q]`; needed where a person has several.
        n_draws: resamples of persons.
        n_shuffles: draws of the control rows (shuffled voices, the same within gender, constant
            output); 0 leaves them out, a report takes `controls.N_SHUFFLES`.
        seed: of the resampling and the shuffles; stored with every interval.

    Returns:
        `1:2 U`, `1:2 G` (two-way intervals, the query-person ones beside them), `R@1`, `R@2`,
        `R@5`, `R@10`, `R@1%`, `R@2%`, `R@5%`, `R@10%` and `median rank` (query-person intervals).

    Raises:
        Speech2FaceError: unusable features or lists, or fewer than two query persons.
    """
    world = _world(query, query_persons, gallery, gallery_persons, own)
    genders = _genders(world, query_genders, gallery_genders)
    outcome = _outcome(query, gallery, world, distance, genders)
    oracle = None if genders is None else _gender_oracle(world, genders)
    bootstrap = world.bootstrap(n_draws, seed)
    scores = {
        name: matching_score(
            name,
            credits,
            bootstrap=bootstrap,
            oracle=None if oracle is None else oracle.credits[name],
        )
        for name, credits in outcome.credits.items()
    }
    scores |= retrieval_scores(
        outcome.ranks,
        world.query_persons,
        bootstrap=bootstrap,
        oracle=None if oracle is None else oracle.ranks,
    )
    if not n_shuffles:
        return scores
    controls = control_rows(
        lambda features, rows: _figures(features, rows, gallery, world, distance, genders),
        query,
        world.query_persons,
        genders=None if genders is None else genders.of_queries,
        n_shuffles=n_shuffles,
        seed=seed,
    )
    return {
        name: replace(score, controls={row: figures[name] for row, figures in controls.items()})
        for name, score in scores.items()
    }


def judge_difference(
    first: ArrayLike,
    second: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    distance: Distance = "euclidean",
    *,
    query_genders: ArrayLike | None = None,
    gallery_genders: ArrayLike | None = None,
    own: ArrayLike | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Score]:
    """Figures of `first` minus those of `second`, with paired person-level intervals.

    Both are `[Q, D]` features of the same clips in the same order; the other arguments and the
    names returned are those of `judge`. Positive is better for `first`, except in `median rank`.

    Raises:
        Speech2FaceError: as `judge`, or the two systems have different numbers of queries.
    """
    if len(np.asarray(first)) != len(np.asarray(second)):
        raise Speech2FaceError(
            f"{len(np.asarray(first))} queries of the first system, "
            f"{len(np.asarray(second))} of the second",
            "compare systems on the identical clips, in the same order",
        )
    world = _world(first, query_persons, gallery, gallery_persons, own)
    genders = _genders(world, query_genders, gallery_genders)
    bootstrap = world.bootstrap(n_draws, seed)
    minuend, subtrahend = (
        _statistics(_outcome(system, gallery, world, distance, genders), world, bootstrap)
        for system in (first, second)
    )
    n_persons = len(np.unique(world.query_persons))
    differences = {}
    for name, (value, kind, draws, by_query) in minuend.items():
        other, _, other_draws, other_by_query = subtrahend[name]
        score = Score(
            name=f"{name}, difference",
            value=value - other,
            chance=0.0,
            n=len(world.query_persons),
            persons=n_persons,
            interval=bootstrap.interval(draws - other_draws, kind),
            unit="rank" if name == "median rank" else "share",
            details={"first": value, "second": other},
        )
        if kind == "two-way":
            beside = bootstrap.interval(by_query - other_by_query, "query-person")
            score = replace(score, query_person_interval=beside)
        differences[name] = score
    return differences


@dataclass(frozen=True)
class _World:
    """Who is asked for, and who is in the gallery."""

    query_persons: NDArray[np.str_]  # [Q]
    gallery_persons: NDArray[np.str_]  # [G]
    own: NDArray[np.intp]  # [Q]

    def bootstrap(self, n_draws: int, seed: int) -> PersonBootstrap:
        return PersonBootstrap.draw(
            self.query_persons, self.gallery_persons, n_draws=n_draws, seed=seed
        )


@dataclass(frozen=True)
class _Outcome:
    """What a system did: credits by stratum, and ranks."""

    credits: dict[str, Credits]
    ranks: Ranks


@dataclass(frozen=True)
class _Genders:
    of_queries: NDArray[np.str_]  # [Q]
    of_gallery: NDArray[np.str_]  # [G]


def _world(
    query: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    own: ArrayLike | None,
) -> _World:
    persons = as_names(query_persons, len(np.asarray(query)), "query persons")
    candidates = as_names(gallery_persons, len(np.asarray(gallery)), "gallery persons")
    if not len(persons) or not len(candidates):
        raise Speech2FaceError(
            f"{len(persons)} queries, {len(candidates)} gallery faces", "give at least one of each"
        )
    return _World(persons, candidates, own_items(persons, candidates, own))


def _genders(
    world: _World, query_genders: ArrayLike | None, gallery_genders: ArrayLike | None
) -> _Genders | None:
    if gallery_genders is None:
        if query_genders is not None:
            raise Speech2FaceError(
                "genders are given for the queries only", "give gallery_genders as well"
            )
        return None
    of_gallery = as_names(gallery_genders, len(world.gallery_persons), "gallery genders")
    of_queries = of_gallery[world.own] if query_genders is None else query_genders
    return _Genders(as_names(of_queries, len(world.query_persons), "query genders"), of_gallery)


def _outcome(
    query: ArrayLike,
    gallery: ArrayLike,
    world: _World,
    distance: Distance,
    genders: _Genders | None,
) -> _Outcome:
    lists = (query, world.query_persons, gallery, world.gallery_persons)
    unrestricted = exhaustive_credits(*lists, own=world.own, distance=distance)
    credits = {"1:2 U": unrestricted}
    if genders is not None:
        same_gender = shares_labels((genders.of_queries, genders.of_gallery))
        credits["1:2 G"] = unrestricted.restricted(same_gender)
    return _Outcome(credits, gallery_ranks(*lists, own=world.own, distance=distance))


def _gender_oracle(world: _World, genders: _Genders) -> _Outcome:
    """Outcome of a system that knows the true gender and nothing else (P15)."""
    query, gallery = oracle_features((genders.of_queries, genders.of_gallery))
    return _outcome(query, gallery, world, "euclidean", genders)


def _figures(
    query: ArrayLike,
    rows: NDArray[np.intp],
    gallery: ArrayLike,
    world: _World,
    distance: Distance,
    genders: _Genders | None,
) -> dict[str, float]:
    """Every figure of these features in the place of the queries at `rows`; NaN if undefined."""
    part = _World(world.query_persons[rows], world.gallery_persons, world.own[rows])
    labels = None if genders is None else _Genders(genders.of_queries[rows], genders.of_gallery)
    outcome = _outcome(query, gallery, part, distance, labels)
    figures = {
        name: float(credits.accuracy.mean()) if credits.kept.any() else float("nan")
        for name, credits in outcome.credits.items()
    }
    figures |= {name: float(hits.mean()) for name, hits in recalls(outcome.ranks).items()}
    return figures | {"median rank": float(np.median(outcome.ranks.rank))}


Statistic = tuple[float, IntervalKind, NDArray[np.float64], NDArray[np.float64]]


def _statistics(
    outcome: _Outcome, world: _World, bootstrap: PersonBootstrap
) -> dict[str, Statistic]:
    """Value, kind of interval, `[B]` values under it, and `[B]` under query-person resampling."""
    statistics: dict[str, Statistic] = {}
    for name, credits in outcome.credits.items():
        by_query = query_person_draws(credits, bootstrap)
        value = float(credits.accuracy.mean())
        statistics[name] = (value, "two-way", two_way_draws(credits, bootstrap), by_query)
    for name, hits in recalls(outcome.ranks).items():
        draws = mean_draws(bootstrap, hits, world.query_persons)
        statistics[name] = (float(hits.mean()), "query-person", draws, draws)
    ranks = outcome.ranks.rank
    draws = median_draws(bootstrap, ranks, world.query_persons)
    statistics["median rank"] = (float(np.median(ranks)), "query-person", draws, draws)
    return statistics

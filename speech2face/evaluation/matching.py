"""Forced matching, 1:2 (P2) and nested 1:N (P3): is the voice closest to its own face?

The credit of a trial is 1 if the own face scores higher, 1/2 if both score the same, else 0.
Without the half, a constant model would reach 0 % by a strict comparison, and 100 % by an argmin
that takes the first of equal values when the own face comes first.

The exhaustive form (`exhaustive_credits`, `matching_score`) averages over all eligible impostors
of a query, then over queries; the sampled one (`match_trials`, `trial_scores`) follows a stored
list. A stratum (P5) restricts the impostor to the query person's gender, nationality or age group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import MISSING_LABEL, FeatureSet, check_comparable
from speech2face.evaluation.retrieval import own_items, person_codes
from speech2face.evaluation.scores import (
    Distance,
    comparable,
    pair_scores,
    score_block,
    tie_tolerance,
)
from speech2face.evaluation.trials import TrialList
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    as_names,
    blocks_of_draws,
    macro_mean,
    mean_draws,
    quotient,
    trial_mean_draws,
)


@dataclass(frozen=True)
class Credits:
    """Credit of every 1:2 trial of an exhaustive list.

    Attributes:
        credit: 1, 1/2 or 0; also 0 where the impostor is not eligible, `[Q, G]`.
        eligible: whether gallery item g may be the impostor of query q, `[Q, G]`.
        query_persons: `[Q]`.
        gallery_persons: `[G]`.
    """

    credit: NDArray[np.float32]
    eligible: NDArray[np.bool_]
    query_persons: NDArray[np.str_]
    gallery_persons: NDArray[np.str_]

    def restricted(self, allowed: NDArray[np.bool_]) -> Credits:
        """The same trials where `allowed` `[Q, G]`: a stratum."""
        return Credits(
            np.where(allowed, self.credit, np.float32(0)),
            self.eligible & allowed,
            self.query_persons,
            self.gallery_persons,
        )

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Queries with at least one eligible impostor, `[Q]`; others are dropped and counted."""
        return np.asarray(self.eligible.any(axis=1))

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Mean credit of each kept query over its impostors, `[kept]`."""
        totals = self.credit.sum(axis=1, dtype=np.float64)
        return np.asarray(totals[self.kept] / self.eligible.sum(axis=1)[self.kept])

    @property
    def tie_rate(self) -> float:
        """Share of trials in which own face and impostor score the same."""
        return float((self.credit == 0.5).sum() / self.eligible.sum())


def exhaustive_credits(
    query: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    *,
    own: ArrayLike | None = None,
    distance: Distance = "cosine",
    chunk: int = 1024,
) -> Credits:
    """Credit of every query against every gallery face of another person.

    Swap query and gallery for the other direction (F to V).

    Args:
        query: features, `[Q, D]`.
        query_persons: `[Q]`.
        gallery: features of the same recogniser, `[G, D]`.
        gallery_persons: `[G]`.
        own: gallery row of each query's own face, `[Q]`; needed where a person has several.
        distance: "cosine", "euclidean" or "manhattan".
        chunk: queries scored at once; changes memory, never the credits.

    Raises:
        Speech2FaceError: unusable features, no unique own face, or no other person to compare with.
    """
    queries, candidates = comparable(query, gallery, distance)
    persons = as_names(query_persons, len(queries), "query persons")
    candidate_persons = as_names(gallery_persons, len(candidates), "gallery persons")
    own_index = own_items(persons, candidate_persons, own)
    own_score = pair_scores(queries, candidates[own_index], distance)  # [Q]
    tolerance = tie_tolerance(queries, candidates[own_index], distance)  # [Q]
    code, candidate_code = person_codes(persons, candidate_persons)
    eligible = code[:, None] != candidate_code[None, :]  # [Q, G]
    if not eligible.any():
        raise Speech2FaceError(
            "the gallery holds no other person's face", "add faces of at least one other person"
        )
    credit = np.empty(eligible.shape, dtype=np.float32)
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        lead = own_score[rows, None] - score_block(queries[rows], candidates, distance)  # [q, G]
        credit[rows] = _credit(lead, tolerance[rows, None])
    return Credits(credit * eligible, eligible, persons, candidate_persons)


def _credit(
    lead: NDArray[np.float64], tolerance: NDArray[np.float64] | float
) -> NDArray[np.float32]:
    """1 where the own item scores higher, 1/2 where it is tied within `tolerance`, else 0."""
    ahead, not_behind = lead > tolerance, lead >= -tolerance
    return (ahead.astype(np.float32) + not_behind.astype(np.float32)) / np.float32(2)


def shares_labels(*labels: tuple[ArrayLike, ArrayLike]) -> NDArray[np.bool_]:
    """Whether query q and gallery item g have all labels and agree in them, `[Q, G]`.

    Args:
        labels: for each label a pair of its values for the queries `[Q]` and the gallery `[G]`;
            `""` where the person has no such label.
    """
    agreements = []
    for of_queries, of_gallery in labels:
        of_query = np.asarray(of_queries, dtype=np.str_)[:, None]  # [Q, 1]
        of_item = np.asarray(of_gallery, dtype=np.str_)[None, :]  # [1, G]
        agreements.append((of_query == of_item) & (of_query != MISSING_LABEL))
    return np.asarray(np.logical_and.reduce(agreements))


def two_way_draws(credits: Credits, bootstrap: PersonBootstrap) -> NDArray[np.float64]:
    """Accuracy in every resample, weight w(query person) w(impostor person), `[B]`."""
    kept = credits.kept
    query_counts = bootstrap.counts[:, bootstrap.columns(credits.query_persons[kept])]  # [B, Q]
    impostor = bootstrap.columns(credits.gallery_persons)  # [G]
    # Small whole numbers times 0, 1/2 or 1: their sums are exact in float32.
    credit = credits.credit[kept]
    eligible = credits.eligible[kept].astype(np.float32)
    accuracy = np.empty(len(query_counts))
    for rows in blocks_of_draws(len(query_counts), sum(credit.shape)):
        weights = bootstrap.counts[rows][:, impostor].astype(np.float32)  # [b, G]
        of_query = quotient(weights @ credit.T, weights @ eligible.T)  # [b, Q]
        weight = np.where(np.isnan(of_query), 0, query_counts[rows])  # none of its impostors drawn
        total = (weight * np.nan_to_num(of_query)).sum(axis=1)
        accuracy[rows] = quotient(total, weight.sum(axis=1))
    return accuracy


def query_person_draws(credits: Credits, bootstrap: PersonBootstrap) -> NDArray[np.float64]:
    """Accuracy in every resample of the query persons, the gallery fixed, `[B]`."""
    return mean_draws(bootstrap, credits.accuracy, credits.query_persons[credits.kept])


def matching_score(
    name: str,
    credits: Credits,
    *,
    bootstrap: PersonBootstrap | None = None,
    oracle: Credits | None = None,
) -> Score:
    """Accuracy of exhaustive 1:2 matching with two-way and query-person intervals.

    Args:
        name: such as `1:2 U` or `1:2 G`.
        credits: of the system.
        bootstrap: resampled persons; without it no interval is given.
        oracle: credits of the gender oracle on the same trials.

    Raises:
        Speech2FaceError: no query has an eligible impostor in this stratum.
    """
    kept = credits.kept
    if not kept.any():
        raise Speech2FaceError(
            f"{name}: no query has an eligible impostor",
            "check the labels of the gallery, or leave this stratum out",
        )
    persons = credits.query_persons[kept]
    two_way = query_person = None
    if bootstrap is not None:
        two_way = bootstrap.interval(two_way_draws(credits, bootstrap), "two-way")
        query_person = bootstrap.interval(query_person_draws(credits, bootstrap), "query-person")
    return Score(
        name=name,
        value=float(credits.accuracy.mean()),
        chance=0.5,
        n=int(kept.sum()),
        persons=len(np.unique(persons)),
        interval=two_way,
        query_person_interval=query_person,
        oracle=None if oracle is None else float(oracle.accuracy.mean()),
        details={
            "macro": macro_mean(credits.accuracy, persons),
            "tie_rate": credits.tie_rate,
            "trials": float(credits.eligible.sum()),
            "dropped_queries": float((~kept).sum()),
        },
    )


@dataclass(frozen=True)
class NestedCredits:
    """Credit of every trial of a list at every gallery size it holds.

    Attributes:
        credit: column n - 2 is 1:n, whose gallery is the first n candidates, `[T, N - 1]`.
        query_persons: `[T]`.
        impostor_persons: `[T, N - 1]`.
    """

    credit: NDArray[np.float64]
    query_persons: NDArray[np.str_]
    impostor_persons: NDArray[np.str_]


def nested_credit(scores: ArrayLike) -> NDArray[np.float64]:
    """Credit at 1:2, 1:3, ... of scores `[T, N]`, the own candidate's first, `[T, N - 1]`.

    It is 0 if an impostor scores higher, else 1 / (1 + ties). Galleries are nested, so the curve
    over n cannot rise.

    Raises:
        Speech2FaceError: NaN or infinite scores, or fewer than two candidates.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise Speech2FaceError(
            f"scores of shape {table.shape} with {(~np.isfinite(table)).sum()} not finite",
            "give finite scores of two or more candidates a trial, `[T, N]`",
        )
    lead = table[:, :1] - table[:, 1:]  # [T, N - 1]
    beaten = np.cumsum(lead < 0, axis=1) > 0
    ties = np.cumsum(lead == 0, axis=1)
    return np.where(beaten, 0.0, 1 / (1 + ties))


def match_trials(
    trials: TrialList,
    queries: FeatureSet,
    candidates: FeatureSet,
    *,
    distance: Distance = "cosine",
    chunk: int = 4096,
) -> NestedCredits:
    """Credits of a stored list; each pair is scored on its own, so equal pairs tie exactly.

    Raises:
        Speech2FaceError: unusable features, or ids of the list without features.
    """
    check_comparable(queries, candidates)
    asked, shown = comparable(queries.values, candidates.values, distance)
    query_row = queries.rows(trials.queries)  # [T]
    candidate_row = candidates.rows(trials.candidates.ravel()).reshape(trials.candidates.shape)
    persons = candidates.persons[candidate_row]  # [T, N]
    if (persons[:, 0] != queries.persons[query_row]).any():
        raise Speech2FaceError(
            "the first candidate of a trial is not the query's person",
            "give the features' persons as the list names them",
            queries.path,
        )
    scores = np.empty(candidate_row.shape)
    for start in range(0, len(trials), chunk):
        rows = slice(start, start + chunk)
        probes = asked[query_row[rows], None, :]  # [t, 1, D]
        scores[rows] = pair_scores(probes, shown[candidate_row[rows]], distance)  # [t, N]
    return NestedCredits(nested_credit(scores), queries.persons[query_row], persons[:, 1:])


def trial_scores(
    credits: NestedCredits,
    stratum: str,
    *,
    bootstrap: PersonBootstrap | None = None,
    oracle: NestedCredits | None = None,
) -> dict[str, Score]:
    """`1:2` to `1:N` of one stratum, micro, with macro and tie rate beside it.

    Intervals: 1:2 two-way with the query-person one beside it, larger galleries query-person.
    """
    return {
        f"1:{n_way} {stratum}": _trial_score(
            f"1:{n_way} {stratum}", credits, n_way, bootstrap, oracle
        )
        for n_way in range(2, credits.credit.shape[1] + 2)
    }


def _trial_score(
    name: str,
    credits: NestedCredits,
    n_way: int,
    bootstrap: PersonBootstrap | None,
    oracle: NestedCredits | None,
) -> Score:
    credit, persons = credits.credit[:, n_way - 2], credits.query_persons
    interval = beside = None
    if bootstrap is not None:
        interval = bootstrap.interval(mean_draws(bootstrap, credit, persons), "query-person")
        if n_way == 2:
            draws = trial_mean_draws(bootstrap, credit, persons, credits.impostor_persons[:, 0])
            interval, beside = bootstrap.interval(draws, "two-way"), interval
    return Score(
        name=name,
        value=float(credit.mean()),
        chance=1 / n_way,
        n=len(credit),
        persons=len(np.unique(persons)),
        interval=interval,
        query_person_interval=beside,
        oracle=None if oracle is None else float(oracle.credit[:, n_way - 2].mean()),
        details={
            "macro": macro_mean(credit, persons),
            "tie_rate": float(((credit > 0) & (credit < 1)).mean()),
        },
    )

"""1:2 forced matching (P2): is the voice closer to its own face than to an impostor's?

Credit of a trial is 1 if the own face scores higher, 1/2 if both score the same, else 0: a strict
comparison without the half would score a constant model 0, and an argmin that meets the own face
first would score it 100.

The exhaustive form averages over all eligible impostors of a query, then over queries. A stratum
(P5) restricts the impostor to the query person's gender, nationality or age group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.retrieval import own_items
from speech2face.evaluation.scores import (
    Distance,
    comparable,
    pair_scores,
    score_block,
    tie_tolerance,
)
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    as_names,
    blocks_of_draws,
    macro_mean,
    mean_draws,
    quotient,
)

MISSING_LABEL = ""  # a person without a label is eligible for no stratum that asks for it


@dataclass(frozen=True)
class Credits:
    """Credit of every 1:2 trial of an exhaustive list.

    Attributes:
        credit: 1, 1/2 or 0; 0 too where the impostor is not eligible, `[Q, G]`.
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
        Speech2FaceError: unusable features, no unique own face, or nobody to compare with.
    """
    queries, candidates = comparable(query, gallery, distance)
    persons = as_names(query_persons, len(queries), "query persons")
    candidate_persons = as_names(gallery_persons, len(candidates), "gallery persons")
    own_index = own_items(persons, candidate_persons, own)
    own_score = pair_scores(queries, candidates[own_index], distance)  # [Q]
    tolerance = tie_tolerance(queries, candidates[own_index], distance)  # [Q]
    eligible = persons[:, None] != candidate_persons[None, :]  # [Q, G]
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
    """1 where the own item leads, 1/2 where it is tied within `tolerance`, else 0."""
    ahead, not_behind = lead > tolerance, lead >= -tolerance
    return (ahead.astype(np.float32) + not_behind.astype(np.float32)) / np.float32(2)


def shares_labels(*labels: tuple[ArrayLike, ArrayLike]) -> NDArray[np.bool_]:
    """Whether query q and gallery item g agree in all labels and lack none, `[Q, G]`.

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

"""Verification (P4): do a voice and a face belong to one person? AUC by midranks, EER interpolated.

Both are computed in one pass over the distinct scores, for the list itself and for every resample
of persons. The variants that other projects print have their own names, for comparison only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, check_comparable
from speech2face.evaluation.scores import Distance, comparable, pair_scores
from speech2face.evaluation.trials import PairList
from speech2face.evaluation.uncertainty import PersonBootstrap, Score, blocks_of_draws


@dataclass(frozen=True)
class Curve:
    """Errors at every distinct score in rising order, and at a threshold above all scores.

    Attributes:
        false_accept: share of negatives at or above the threshold, `[..., K + 1]`, falling.
        false_reject: share of positives below it, `[..., K + 1]`, rising.
    """

    false_accept: NDArray[np.float64]
    false_reject: NDArray[np.float64]

    def auc(self) -> NDArray[np.float64]:
        """Share of (positive, negative) pairs in the right order, ties one half, `[...]`.

        Equal to (R - n(n + 1)/2) / (n m) with R the midranks of the n positives among m negatives.
        """
        negatives = -np.diff(self.false_accept, axis=-1)  # share at each distinct score
        positives = np.diff(self.false_reject, axis=-1)
        above = self.false_accept[..., 1:] + negatives / 2  # negatives that beat the positive
        return np.asarray(1 - (positives * above).sum(axis=-1))

    def eer(self) -> NDArray[np.float64]:
        """Error where false accepts and false rejects are equally frequent, `[...]`.

        Linear between the two neighbouring thresholds where the difference changes sign.
        """
        difference = self.false_accept - self.false_reject  # from 1 down to -1
        after = np.argmax(difference <= 0, axis=-1)[..., None]
        before = np.maximum(after - 1, 0)
        gap_before, gap_after = (np.take_along_axis(difference, i, -1) for i in (before, after))
        weight = np.where(after > before, gap_before / (gap_before - gap_after), 0.0)
        low, high = (np.take_along_axis(self.false_accept, i, -1) for i in (before, after))
        return np.asarray((low + weight * (high - low))[..., 0])

    def eer_nearest(self) -> NDArray[np.float64]:
        """False accepts at the strictest threshold where both errors differ least (CMPC, FOP)."""
        apart = np.abs(self.false_accept - self.false_reject)[..., ::-1]
        nearest = np.argmin(apart, axis=-1)[..., None]
        return np.asarray(np.take_along_axis(self.false_accept[..., ::-1], nearest, -1)[..., 0])


def error_curve(
    scores: ArrayLike, same: ArrayLike, weights: NDArray[np.float64] | None = None
) -> Curve:
    """Errors of scores `[T]` with truth `same` `[T]`, under weights `[..., T]`.

    Raises:
        Speech2FaceError: not finite, unequal lengths, or no positive or no negative pair.
    """
    score, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if score.shape != truth.shape or score.ndim != 1 or not np.isfinite(score).all():
        raise Speech2FaceError(
            f"{score.size} scores for {truth.size} pairs, {(~np.isfinite(score)).sum()} not finite",
            "give one finite score a pair",
        )
    if truth.all() or not truth.any():
        raise Speech2FaceError(
            f"{truth.sum()} positive and {(~truth).sum()} negative pairs", "give both kinds"
        )
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf) > 0)  # of each distinct score
    weight = np.ones(len(score)) if weights is None else weights
    weight, truth = weight[..., order], truth[order]
    accepted, rejected = (
        np.add.reduceat(weight * kind, starts, axis=-1) for kind in (~truth, truth)
    )  # [..., K] each: weight at each distinct score
    return Curve(_share_from(accepted), 1 - _share_from(rejected))


def _share_from(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the weight at or after each place, and 0 after the last, `[..., K]` to K + 1."""
    from_start = np.cumsum(weight, axis=-1)
    total = from_start[..., -1:]
    with np.errstate(invalid="ignore"):  # a resample without a positive, or without a negative
        before = np.concatenate([np.zeros_like(total), from_start], axis=-1) / total
    return np.asarray(1 - before)


def auc(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve, ties counted one half."""
    return float(error_curve(scores, same).auc())


def eer(scores: ArrayLike, same: ArrayLike) -> float:
    """Equal error rate, interpolated."""
    return float(error_curve(scores, same).eer())


def verification_scores(
    scores: ArrayLike,
    same: ArrayLike,
    query_persons: NDArray[np.str_],
    candidate_persons: NDArray[np.str_],
    *,
    stratum: str = "U",
    bootstrap: PersonBootstrap | None = None,
    oracle: ArrayLike | None = None,
) -> dict[str, Score]:
    """AUC and EER of a pair list, with two-way and query-person intervals.

    Args:
        scores: `[T]`, higher for more alike.
        same: whether both are one person, `[T]`.
        query_persons: `[T]`.
        candidate_persons: `[T]`.
        stratum: of the negatives, for the names.
        bootstrap: resampled persons; without it no interval is given.
        oracle: scores of the gender oracle, `[T]`.
    """
    curve = error_curve(scores, same)
    truth = np.asarray(same, dtype=bool)
    draws = None
    if bootstrap is not None:
        draws = _resampled(scores, truth, query_persons, candidate_persons, bootstrap)
    best = None if oracle is None else error_curve(oracle, same)
    found = {}
    for place, name in enumerate(("AUC", "EER")):
        value_of = Curve.auc if name == "AUC" else Curve.eer
        interval = beside = None
        if bootstrap is not None and draws is not None:
            interval = bootstrap.interval(draws["two-way"][place], "two-way")
            beside = bootstrap.interval(draws["query-person"][place], "query-person")
        details = {"positives": float(truth.sum()), "negatives": float((~truth).sum())}
        if name == "EER":
            details["eer_nearest"] = float(curve.eer_nearest())
        found[f"{name} {stratum}"] = Score(
            name=f"{name} {stratum}",
            value=float(value_of(curve)),
            chance=0.5,
            n=len(truth),
            persons=len(np.unique(query_persons)),
            interval=interval,
            query_person_interval=beside,
            oracle=None if best is None else float(value_of(best)),
            details=details,
        )
    return found


def _resampled(
    scores: ArrayLike,
    same: NDArray[np.bool_],
    query_persons: NDArray[np.str_],
    candidate_persons: NDArray[np.str_],
    bootstrap: PersonBootstrap,
) -> dict[str, NDArray[np.float64]]:
    """(AUC, EER) in every resample by kind of interval, `[2, B]` each."""
    query, candidate = bootstrap.columns(query_persons), bootstrap.columns(candidate_persons)
    n_draws = len(bootstrap.counts)
    draws = {kind: np.empty((2, n_draws)) for kind in ("two-way", "query-person")}
    for rows in blocks_of_draws(n_draws, 4 * len(query)):  # four arrays of this size at a time
        counts = bootstrap.counts[rows]
        of_query = counts[:, query]  # [b, T]
        # P16: a negative weighs w(query person) w(impostor person), a positive w.
        both = np.where(same, of_query, of_query * counts[:, candidate])
        for kind, weights in (("two-way", both), ("query-person", of_query)):
            curve = error_curve(scores, same, weights)
            draws[kind][:, rows] = curve.auc(), curve.eer()
    for values in draws.values():
        values[1, np.isnan(values[0])] = np.nan
    return draws


def verify(
    pairs: PairList,
    queries: FeatureSet,
    candidates: FeatureSet,
    *,
    distance: Distance = "cosine",
    stratum: str = "U",
    bootstrap: PersonBootstrap | None = None,
    genders: NDArray[np.str_] | None = None,
) -> dict[str, Score]:
    """AUC and EER of features on a pair list.

    Args:
        pairs: ids of both sides.
        queries, candidates: their features.
        distance: between features.
        stratum: of the negatives, for the names.
        bootstrap: resampled persons; without it no interval is given.
        genders: of the rows of `queries`, for the gender oracle; only if `candidates` has the same
            clips in the same order.

    Raises:
        Speech2FaceError: unusable features, ids without features, or one kind of pair only.
    """
    check_comparable(queries, candidates)
    asked, shown = comparable(queries.values, candidates.values, distance)
    query_row, candidate_row = queries.rows(pairs.queries), candidates.rows(pairs.candidates)
    scores = pair_scores(asked[query_row], shown[candidate_row], distance)
    query_persons, candidate_persons = queries.persons[query_row], candidates.persons[candidate_row]
    if len(wrong := np.flatnonzero((query_persons == candidate_persons) != pairs.same)):
        listed = "one person" if pairs.same[wrong[0]] else "two persons"
        raise Speech2FaceError(
            f"pair {wrong[0]} is listed as {listed}, the features say otherwise",
            "give the features' persons as the list names them",
            queries.path,
        )
    return verification_scores(
        scores,
        pairs.same,
        query_persons,
        candidate_persons,
        stratum=stratum,
        bootstrap=bootstrap,
        oracle=None if genders is None else genders[query_row] == genders[candidate_row],
    )

"""Many-item retrieval (P6): mean average precision and R@K, each with the exact chance of its list.

Every sample of one modality asks, every sample of the other is shown, and several are relevant.
Ties are resolved in expectation: within a block of equal scores every order is equally likely.
An mAP without the chance of its list is not reportable, and mAPs of different lists are not
compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.retrieval import CUTOFFS, person_codes
from speech2face.evaluation.scores import ROUNDING, Distance, comparable, score_block
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    as_names,
    macro_mean,
    mean_draws,
)


@dataclass(frozen=True)
class ManyItemResult:
    """Outcome of each query that has a relevant item.

    Attributes:
        average_precision: expected over ties, `[Q]`.
        hits: expected hit by `R@K` (items) and `R@K%` (percent of the gallery), `[Q]` each.
        relevant: relevant items n, `[Q]`.
        shown: items N, `[Q]`.
        persons: of these queries, `[Q]`.
        dropped: queries without any relevant item.
    """

    average_precision: NDArray[np.float64]
    hits: dict[str, NDArray[np.float64]]
    relevant: NDArray[np.int64]
    shown: NDArray[np.int64]
    persons: NDArray[np.str_]
    dropped: int


def average_precision(scores: ArrayLike, relevant: ArrayLike, *, tolerance: float = 0.0) -> float:
    """Expected average precision of scores `[N]` over random orders within ties.

    A block of b items, r of them relevant, after A items, R of them relevant, contributes
    sum over j = 1..b of (r / b) (R + 1 + (r - 1)(j - 1) / (b - 1)) / (A + j): with chance r / b the
    j-th place of the block is relevant, and then so many relevant items stand at or before it.

    Args:
        scores: higher for more alike, `[N]`.
        relevant: whether each item is the query's person, `[N]`.
        tolerance: neighbouring scores closer than this are tied.
    """
    return _average_precision(_Blocks.of(scores, relevant, tolerance))


def chance_average_precision(n_relevant: ArrayLike, n_items: ArrayLike) -> NDArray[np.float64]:
    """Exact expected AP of a random order of N items, n of them relevant.

    (1/N) [H_N + (n - 1)/(N - 1) (N - H_N)] with H_N the harmonic number.
    """
    n, total = np.asarray(n_relevant, dtype=np.float64), np.asarray(n_items, dtype=np.int64)
    harmonic = np.cumsum(1 / np.arange(1, total.max() + 1))[total - 1]
    others = np.divide(n - 1, total - 1, out=np.zeros(np.shape(total)), where=total > 1)
    return np.asarray((harmonic + others * (total - harmonic)) / total)


def chance_of_any(n_relevant: int, n_items: int, places: int) -> float:
    """Probability that some of n relevant among N items is in `places` random ones.

    1 - C(N - n, K) / C(N, K), as a product that cannot overflow.
    """
    if places <= 0 or n_relevant == 0:
        return 0.0
    taken = np.arange(min(places, n_items))
    return float(1 - np.prod(np.clip(n_items - n_relevant - taken, 0, None) / (n_items - taken)))


def many_item_retrieval(
    query: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    *,
    query_videos: ArrayLike | None = None,
    gallery_videos: ArrayLike | None = None,
    distance: Distance = "cosine",
    chunk: int = 256,
) -> ManyItemResult:
    """Ask with every query for all items of its person; swap the two for the other direction.

    Args:
        query: features, `[Q, D]`.
        query_persons: `[Q]`.
        gallery: features, `[G, D]`.
        gallery_persons: `[G]`.
        query_videos: `[Q]`; with `gallery_videos`, items of the query's own video are left out.
        gallery_videos: `[G]`.
        distance: "cosine", "euclidean" or "manhattan".
        chunk: queries scored at once; changes memory, never the result.

    Raises:
        Speech2FaceError: unusable features, or no query has a relevant item.
    """
    queries, candidates = comparable(query, gallery, distance)
    persons = as_names(query_persons, len(queries), "query persons")
    shown_persons = as_names(gallery_persons, len(candidates), "gallery persons")
    code, candidate_code = person_codes(persons, shown_persons)
    videos = None
    if query_videos is not None and gallery_videos is not None:
        videos = person_codes(
            as_names(query_videos, len(queries), "query videos"),
            as_names(gallery_videos, len(candidates), "gallery videos"),
        )
    tolerance = _tolerances(queries, candidates, distance)
    precision, relevant, shown, kept = [], [], [], []
    hits: dict[str, list[float]] = {name: [] for name in _names()}
    for start in range(0, len(queries), chunk):
        block = score_block(queries[start : start + chunk], candidates, distance)  # [q, G]
        for row, scores in enumerate(block, start=start):
            is_shown = np.ones(len(candidates), dtype=bool)
            if videos is not None:
                is_shown = videos[1] != videos[0][row]
            is_relevant = candidate_code[is_shown] == code[row]
            if not is_relevant.any():
                continue
            blocks = _Blocks.of(scores[is_shown], is_relevant, tolerance[row])
            precision.append(_average_precision(blocks))
            for name in hits:
                hits[name].append(_expected_hit(blocks, _places(name, blocks.total)))
            relevant.append(int(is_relevant.sum()))
            shown.append(blocks.total)
            kept.append(row)
    if not kept:
        raise Speech2FaceError(
            "no query has an item of its person in the gallery", "check the persons of both lists"
        )
    return ManyItemResult(
        np.array(precision),
        {name: np.array(values) for name, values in hits.items()},
        np.array(relevant),
        np.array(shown),
        persons[kept],
        len(queries) - len(kept),
    )


def many_item_scores(
    result: ManyItemResult, *, bootstrap: PersonBootstrap | None = None
) -> dict[str, Score]:
    """`mAP`, `R@K` and `R@K%`, each with the exact chance of this list and macro average."""
    chances = {"mAP": float(chance_average_precision(result.relevant, result.shown).mean())}
    sizes, counts = np.unique(
        np.stack([result.relevant, result.shown]), axis=1, return_counts=True
    )  # [2, distinct], [distinct]
    for name in result.hits:
        each = [chance_of_any(n, total, _places(name, total)) for n, total in sizes.T.tolist()]
        chances[name] = float(np.average(each, weights=counts))
    values = {"mAP": result.average_precision} | result.hits
    scores = {}
    for name, value in values.items():
        interval = None
        if bootstrap is not None:
            draws = mean_draws(bootstrap, value, result.persons)
            interval = bootstrap.interval(draws, "query-person")
        scores[name] = Score(
            name=name,
            value=float(value.mean()),
            chance=chances[name],
            n=len(value),
            persons=len(np.unique(result.persons)),
            interval=interval,
            details={
                "macro": macro_mean(value, result.persons),
                "relevant": float(result.relevant.mean()),
                "gallery_size": float(result.shown.mean()),
                "dropped_queries": float(result.dropped),
            },
        )
    return scores


@dataclass(frozen=True)
class _Blocks:
    """A ranked list as blocks of tied items, best first."""

    sizes: NDArray[np.int64]  # b of each block, `[K]`
    relevant: NDArray[np.int64]  # r of each block, `[K]`

    @classmethod
    def of(cls, scores: ArrayLike, relevant: ArrayLike, tolerance: float) -> _Blocks:
        order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        ranked = np.asarray(scores, dtype=np.float64)[order]
        starts = np.flatnonzero(np.concatenate([[True], ranked[:-1] - ranked[1:] > tolerance]))
        sizes = np.diff(np.append(starts, len(ranked)))
        found = np.add.reduceat(np.asarray(relevant, dtype=np.int64)[order], starts)
        return cls(sizes, found)

    @property
    def total(self) -> int:
        return int(self.sizes.sum())


def _average_precision(blocks: _Blocks) -> float:
    before = np.cumsum(blocks.relevant) - blocks.relevant  # R of each block
    holding = np.flatnonzero(blocks.relevant)
    total = 0.0
    ends = np.cumsum(blocks.sizes)
    alone = holding[blocks.sizes[holding] == 1]  # the usual case, without ties
    total += float(((before[alone] + 1) / ends[alone]).sum())
    for block in holding[blocks.sizes[holding] > 1]:
        b, r = blocks.sizes[block], blocks.relevant[block]
        place = np.arange(1, b + 1)
        expected = before[block] + 1 + (r - 1) * (place - 1) / (b - 1)
        total += float((r / b * expected / (ends[block] - b + place)).sum())
    return total / int(blocks.relevant.sum())


def _expected_hit(blocks: _Blocks, places: int) -> float:
    """Chance that a relevant item is in the first `places`, ties in random order."""
    first = int(np.argmax(blocks.relevant > 0))
    left = places - int(blocks.sizes[:first].sum())
    size = int(blocks.sizes[first])
    return chance_of_any(int(blocks.relevant[first]), size, min(left, size))


def _names() -> list[str]:
    return [f"R@{k}" for k in CUTOFFS] + [f"R@{k}%" for k in CUTOFFS]


def _places(name: str, n_items: int) -> int:
    cutoff = int(name.removeprefix("R@").removesuffix("%"))
    return cutoff * n_items // 100 if name.endswith("%") else cutoff


def _tolerances(
    queries: NDArray[np.float64], candidates: NDArray[np.float64], distance: Distance
) -> NDArray[np.float64]:
    """Largest difference of two scores that is still rounding, `[Q]`."""
    if distance == "cosine":
        return np.full(len(queries), ROUNDING)
    if distance == "euclidean":
        largest = np.linalg.norm(candidates, axis=1).max()
        return np.asarray(ROUNDING * (np.linalg.norm(queries, axis=1) + largest) ** 2)
    largest = np.abs(candidates).sum(axis=1).max()
    return np.asarray(ROUNDING * (np.abs(queries).sum(axis=1) + largest))

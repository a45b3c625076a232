"""One-face-per-person retrieval (protocol P7), the retrieval of the paper's Table 3.

A query is a feature predicted from a voice, or a recogniser's feature of a generated face. The
gallery holds one true face per person; other photos of the query's person are left out.

The paper's R@K is the share of queries whose true face is in the top K *percent*. We know this from
its row "random", 1 / 2 / 5 / 10, which the top K of 5,000 images cannot give. Both forms are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.scores import (
    Distance,
    check_sizes,
    pair_scores,
    prepared,
    score_block,
    tie_tolerance,
)
from speech2face.evaluation.uncertainty import (
    PersonBootstrap,
    Score,
    as_names,
    macro_mean,
    mean_draws,
    median_draws,
)

CUTOFFS = (1, 2, 5, 10)  # of the paper's Table 3


@dataclass(frozen=True)
class Ranks:
    """Rank of each query's own face in its gallery, as counts.

    Attributes:
        better: gallery items that score strictly higher, `[Q]`.
        tied: other items with the same score, `[Q]`.
        gallery_size: items the query was compared with, its own face included, `[Q]`.
    """

    better: NDArray[np.int64]
    tied: NDArray[np.int64]
    gallery_size: NDArray[np.int64]

    @property
    def rank(self) -> NDArray[np.float64]:
        """1 + better + half of the ties, `[Q]`; 1 is best."""
        return 1 + self.better + self.tied / 2

    def hits(self, cutoff: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Expected hit at `cutoff` places, `[Q]`: the share of the tie block inside them."""
        places = np.clip(cutoff - self.better, 0, 1 + self.tied)
        return np.asarray(places / (1 + self.tied))

    def percent_cutoff(self, percent: int) -> NDArray[np.int64]:
        """Places in the top `percent` of each query's gallery, rounded down, `[Q]`."""
        return percent * self.gallery_size // 100


def own_items(
    query_persons: NDArray[np.str_],
    gallery_persons: NDArray[np.str_],
    own: ArrayLike | None = None,
) -> NDArray[np.intp]:
    """Gallery index of each query's own face, `[Q]`; found by person where `own` is None.

    Raises:
        Speech2FaceError: the own face is absent, not the same person's, or one of several.
    """
    if own is not None:
        index = np.asarray(own)
        if index.shape != query_persons.shape or index.dtype.kind not in "iu":
            raise Speech2FaceError(
                f"`own` has shape {index.shape} and type {index.dtype}",
                f"give one whole number for each of the {len(query_persons)} queries",
            )
        if index.min() < 0 or index.max() >= len(gallery_persons):
            raise Speech2FaceError(
                f"`own` points outside the gallery of {len(gallery_persons)} faces",
                "count gallery rows from 0",
            )
        if len(wrong := np.flatnonzero(gallery_persons[index] != query_persons)):
            raise Speech2FaceError(
                f"the own face of query {wrong[0]} is another person's",
                "let `own` name a gallery face of the query's person",
            )
        return index.astype(np.intp)
    names, first, n_photos = np.unique(gallery_persons, return_index=True, return_counts=True)
    column = np.minimum(np.searchsorted(names, query_persons), len(names) - 1)
    if len(absent := np.flatnonzero(names[column] != query_persons)):
        raise Speech2FaceError(
            f"{len(absent)} query person(s) have no face in the gallery, "
            f"the first is {query_persons[absent[0]]!r}",
            "add a true face of each query's person, or leave these queries out",
        )
    if len(several := np.flatnonzero(n_photos[column] > 1)):
        raise Speech2FaceError(
            f"{len(several)} query person(s) have several faces in the gallery, "
            f"the first is {query_persons[several[0]]!r}",
            "say with `own` which gallery row is the query's own face",
        )
    return first[column].astype(np.intp)


def person_codes(
    query_persons: NDArray[np.str_], gallery_persons: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of each person among the queries `[Q]` and in the gallery `[G]`; -1: not asked for.

    In a large gallery, comparing names instead of numbers would take too long.
    """
    names, code = np.unique(query_persons, return_inverse=True)
    place = np.minimum(np.searchsorted(names, gallery_persons), len(names) - 1)
    return code.astype(np.int64), np.where(names[place] == gallery_persons, place, -1)


def gallery_ranks(
    query: ArrayLike,
    query_persons: ArrayLike,
    gallery: ArrayLike,
    gallery_persons: ArrayLike,
    *,
    own: ArrayLike | None = None,
    distance: Distance = "cosine",
    chunk: int = 1024,
) -> Ranks:
    """Rank of every query's own face, exactly, for a gallery of any size.

    It needs `8 (2 Q D + 3 chunk D + 5 chunk^2)` bytes and 8 per gallery face, besides the
    arguments. So a gallery of a million faces may be a memory-mapped float32 array.

    Args:
        query: features, `[Q, D]`.
        query_persons: `[Q]`.
        gallery: features of the same recogniser, `[G, D]`.
        gallery_persons: `[G]`.
        own: gallery row of each query's own face, `[Q]`; needed if a person has several.
        distance: "cosine", "euclidean" or "manhattan".
        chunk: queries and gallery items compared at once; changes memory, never the ranks.

    Raises:
        Speech2FaceError: unusable features, or no unique own face.
    """
    if chunk < 1:
        raise Speech2FaceError(f"chunk is {chunk}", "give a whole number of 1 or more")
    check_sizes(query, gallery)
    shown = np.asarray(gallery)
    queries = prepared(query, "query", distance)
    persons = as_names(query_persons, len(queries), "query persons")
    candidate_persons = as_names(gallery_persons, len(shown), "gallery persons")
    own_index = own_items(persons, candidate_persons, own)
    own_faces = prepared(shown[own_index], "own gallery", distance)  # [Q, D]
    own_score = pair_scores(queries, own_faces, distance)  # [Q]
    tolerance = tie_tolerance(queries, own_faces, distance)  # [Q]
    code, candidate_code = person_codes(persons, candidate_persons)

    better, tied, compared = np.zeros((3, len(queries)), dtype=np.int64)
    for first in range(0, len(shown), chunk):
        columns = slice(first, first + chunk)
        candidates = prepared(shown[columns], "gallery", distance, first_row=first)  # [g, D]
        for start in range(0, len(queries), chunk):
            rows = slice(start, start + chunk)
            lead = score_block(queries[rows], candidates, distance)  # [q, g]
            lead -= own_score[rows, None]
            other = code[rows, None] != candidate_code[None, columns]
            ahead = lead > tolerance[rows, None]
            behind = lead < -tolerance[rows, None]
            better[rows] += (ahead & other).sum(axis=1)
            tied[rows] += (~ahead & ~behind & other).sum(axis=1)
            compared[rows] += other.sum(axis=1)
    return Ranks(better, tied, compared + 1)


def retrieval_scores(
    ranks: Ranks,
    query_persons: ArrayLike,
    *,
    bootstrap: PersonBootstrap | None = None,
    oracle: Ranks | None = None,
    cutoffs: tuple[int, ...] = CUTOFFS,
) -> dict[str, Score]:
    """Every figure of P7: `R@K`, `R@K%` and `median rank`, with chance and query-person interval.

    Args:
        ranks: of the system.
        query_persons: `[Q]`.
        bootstrap: resampled persons; without it no interval is given.
        oracle: ranks of the gender oracle in the same galleries.
        cutoffs: K, in images and in percent.
    """
    persons = as_names(query_persons, len(ranks.better), "query persons")
    scores = {}
    for name, hits in recalls(ranks, cutoffs).items():
        places = places_of(ranks, name)
        interval = None
        if bootstrap is not None:
            interval = bootstrap.interval(mean_draws(bootstrap, hits, persons), "query-person")
        scores[name] = Score(
            name=name,
            value=float(hits.mean()),
            chance=float(np.minimum(1, places / ranks.gallery_size).mean()),
            n=len(hits),
            persons=len(np.unique(persons)),
            interval=interval,
            oracle=None if oracle is None else float(oracle.hits(places).mean()),
            details={
                "macro": macro_mean(hits, persons),
                "places": float(places.mean()),
                "gallery_size": float(ranks.gallery_size.mean()),
            },
        )
    return scores | {"median rank": _median_rank(ranks, persons, bootstrap, oracle)}


def recalls(ranks: Ranks, cutoffs: tuple[int, ...] = CUTOFFS) -> dict[str, NDArray[np.float64]]:
    """Expected hits `[Q]` under the names `R@K` (images) and `R@K%` (percent of the gallery)."""
    names = [f"R@{cutoff}" for cutoff in cutoffs] + [f"R@{cutoff}%" for cutoff in cutoffs]
    return {name: ranks.hits(places_of(ranks, name)) for name in names}


def places_of(ranks: Ranks, name: str) -> NDArray[np.int64]:
    """Places that count as a hit under `R@K` or `R@K%`, for each query, `[Q]`."""
    cutoff = int(name.removeprefix("R@").removesuffix("%"))
    if name.endswith("%"):
        return ranks.percent_cutoff(cutoff)
    return np.full(len(ranks.better), cutoff, dtype=np.int64)


def _median_rank(
    ranks: Ranks,
    persons: NDArray[np.str_],
    bootstrap: PersonBootstrap | None,
    oracle: Ranks | None,
) -> Score:
    interval = None
    if bootstrap is not None:
        interval = bootstrap.interval(median_draws(bootstrap, ranks.rank, persons), "query-person")
    median = float(np.median(ranks.rank))
    gallery_size = float(ranks.gallery_size.mean())
    return Score(
        name="median rank",
        value=median,
        chance=(gallery_size + 1) / 2,
        n=len(ranks.better),
        persons=len(np.unique(persons)),
        interval=interval,
        oracle=None if oracle is None else float(np.median(oracle.rank)),
        unit="rank",
        details={"gallery_size": gallery_size, "median rank / N": median / gallery_size},
    )

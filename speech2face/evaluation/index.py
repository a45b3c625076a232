"""Nearest faces in a gallery of up to millions.

`exact_search` walks over the gallery in chunks and needs no library: its memory is that of one
chunk, so the gallery may be a memory-mapped array. Beyond a few hundred thousand faces, or for
many queries, `ApproximateIndex` (faiss: inverted lists of 8-bit vectors) looks at a few per cent of
the gallery and rescores a shortlist exactly. The rank of a true face (P7) is always counted
exactly, by `retrieval.gallery_ranks`; an index serves to *show* neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.scores import (
    Distance,
    check_sizes,
    pair_scores,
    prepared,
    score_block,
)

CHUNK = 16_384
TRAINING_PER_LIST = 64  # faces for each centroid of the inverted lists


@dataclass(frozen=True)
class Neighbours:
    """The k best gallery faces of each query, best first.

    Attributes:
        rows: gallery rows, `[Q, k]`.
        scores: higher for more alike; Euclidean ones are minus the squared distance, `[Q, k]`.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


def exact_search(
    query: ArrayLike,
    gallery: ArrayLike,
    k: int,
    *,
    distance: Distance = "cosine",
    chunk: int = CHUNK,
) -> Neighbours:
    """The k best of every query, exactly; equal scores in the order of their rows.

    Beyond what it is given it holds `8 (Q D + 3 chunk D + 2 Q (chunk + k))` bytes.

    Args:
        query: features, `[Q, D]`.
        gallery: features, `[G, D]`; may be memory-mapped.
        k: neighbours, at most G.
        distance: "cosine", "euclidean" or "manhattan".
        chunk: gallery faces scored at once; changes memory, never the result.

    Raises:
        Speech2FaceError: unusable features, or k out of range.
    """
    check_sizes(query, gallery)
    shown = np.asarray(gallery)
    _check_k(k, len(shown))
    if chunk < 1:
        raise Speech2FaceError(f"chunk is {chunk}", "give a whole number of 1 or more")
    queries = prepared(query, "query", distance)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0))
    for first in range(0, len(shown), chunk):
        candidates = prepared(shown[first : first + chunk], "gallery", distance, first_row=first)
        block = score_block(queries, candidates, distance)  # [Q, chunk]
        numbers = np.broadcast_to(np.arange(first, first + len(candidates)), block.shape)
        rows, scores = _best(
            np.concatenate([rows, numbers], axis=1), np.concatenate([scores, block], axis=1), k
        )
    return Neighbours(rows, scores)


class ApproximateIndex:
    """Inverted lists of 8-bit vectors over a gallery, by faiss.

    About D + 8 bytes a face: 136 MB for a million faces of 128 numbers. The gallery itself is
    kept only by reference, for rescoring, and may be memory-mapped.
    """

    def __init__(
        self,
        gallery: ArrayLike,
        *,
        distance: Distance = "cosine",
        n_lists: int | None = None,
        chunk: int = CHUNK,
        seed: int = 0,
    ) -> None:
        """Build the index; lists default to the square root of the gallery size.

        Raises:
            Speech2FaceError: faiss is missing, the features are unusable, or Manhattan is asked.
        """
        if distance == "manhattan":
            raise Speech2FaceError(
                "there is no approximate index for the Manhattan distance", "use exact_search"
            )
        faiss = _faiss()
        self.distance: Distance = distance
        self.gallery = np.asarray(gallery)
        check_sizes(self.gallery, self.gallery)
        n_faces, size = self.gallery.shape
        self.n_lists = n_lists or max(1, round(n_faces**0.5))
        # Both metrics rank by L2 here: unit vectors have |q - g|^2 = 2 - 2 cos.
        self._index = faiss.index_factory(size, f"IVF{self.n_lists},SQ8")
        self._index.cp.seed = seed
        sampled = np.random.default_rng(seed).permutation(n_faces)
        sampled = np.sort(sampled[: TRAINING_PER_LIST * self.n_lists])
        self._index.cp.min_points_per_centroid = 1  # small galleries are no reason to complain
        for first in range(0, n_faces, chunk):  # refuse a bad row under its own number
            prepared(self.gallery[first : first + chunk], "gallery", distance, first_row=first)
        self._index.train(self._encoded(self.gallery[sampled]))
        for first in range(0, n_faces, chunk):
            self._index.add(self._encoded(self.gallery[first : first + chunk]))

    def search(
        self, query: ArrayLike, k: int, *, n_probe: int = 32, shortlist: int = 4
    ) -> Neighbours:
        """The k best of `shortlist * k` found in the `n_probe` nearest lists, rescored exactly.

        Raises:
            Speech2FaceError: unusable features, or k out of range.
        """
        check_sizes(query, self.gallery)
        _check_k(k, len(self.gallery))
        queries = prepared(query, "query", self.distance)
        self._index.nprobe = min(n_probe, self.n_lists)
        wanted = min(shortlist * k, len(self.gallery))
        _, rows = self._index.search(queries.astype(np.float32), wanted)  # [Q, wanted], -1: none
        scores = np.full(rows.shape, -np.inf)
        for number, found in enumerate(rows):
            present = found >= 0
            candidates = prepared(self.gallery[found[present]], "gallery", self.distance)
            scores[number, present] = pair_scores(queries[number][None], candidates, self.distance)
        return Neighbours(*_best(rows, scores, k))

    def _encoded(self, faces: NDArray[Any]) -> NDArray[np.float32]:
        return np.ascontiguousarray(prepared(faces, "gallery", self.distance), dtype=np.float32)


def _best(
    rows: NDArray[np.int64], scores: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k best columns of each line, best first, then by row number."""
    if scores.shape[1] > 4 * k:
        part = np.argpartition(-scores, k - 1, axis=1)
        limit = np.take_along_axis(scores, part[:, k - 1 : k], axis=1)  # [Q, 1]: the k-th best
        width = int((scores >= limit).sum(axis=1).max())  # more than k where the k-th is tied
        part = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        rows = np.take_along_axis(rows, part, axis=1)
        scores = np.take_along_axis(scores, part, axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _check_k(k: int, n_faces: int) -> None:
    if not 1 <= k <= n_faces:
        raise Speech2FaceError(
            f"{k} neighbours asked of {n_faces} faces", f"ask for 1 to {n_faces}"
        )


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as missing:
        remedy = 'run pip install "speech2face[evaluate]", or use exact_search'
        raise Speech2FaceError("faiss is not installed", remedy) from missing
    return faiss

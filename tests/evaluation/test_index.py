"""Neighbours against a full sort; the approximate index against the exact search."""

from pathlib import Path

import numpy as np
import pytest

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.index import ApproximateIndex, exact_search
from speech2face.evaluation.retrieval import gallery_ranks
from speech2face.evaluation.scores import Distance

GENERATOR = np.random.default_rng(0)
GALLERY = GENERATOR.normal(size=(397, 6))
QUERY = GENERATOR.normal(size=(23, 6))


def twin_neighbours(
    query: np.ndarray, gallery: np.ndarray, k: int, distance: str
) -> list[list[int]]:
    """The brute-force twin: every distance on its own, then Python's stable sort."""

    def between(q: np.ndarray, g: np.ndarray) -> float:
        if distance == "cosine":
            return -float(q @ g) / float(np.linalg.norm(q) * np.linalg.norm(g))
        gap = q - g
        return float(np.abs(gap).sum() if distance == "manhattan" else gap @ gap)

    return [
        sorted(range(len(gallery)), key=lambda row, q=q: between(q, gallery[row]))[:k]  # type: ignore[misc]
        for q in query
    ]


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("chunk", [1, 10, 64, 1000])  # 10 does not divide 397
def test_chunked_search_equals_the_full_sort(distance: Distance, chunk: int) -> None:
    found = exact_search(QUERY, GALLERY, 7, distance=distance, chunk=chunk)
    assert found.rows.tolist() == twin_neighbours(QUERY, GALLERY, 7, distance)
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("chunk", [1, 10, 64, 1000])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_equal_scores_stand_in_the_order_of_their_rows(chunk: int, k: int) -> None:
    gallery = GENERATOR.integers(0, 2, size=(60, 3)).astype(float)
    query = GENERATOR.integers(0, 2, size=(5, 3)).astype(float)
    found = exact_search(query, gallery, k, distance="euclidean", chunk=chunk)
    assert found.rows.tolist() == twin_neighbours(query, gallery, k, "euclidean")


def test_a_memory_mapped_gallery_gives_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "gallery.npy", GALLERY.astype(np.float32))
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    in_memory = GALLERY.astype(np.float32)
    np.testing.assert_array_equal(
        exact_search(QUERY, mapped, 5, chunk=50).rows, exact_search(QUERY, in_memory, 5).rows
    )
    persons = np.array([f"p{i}" for i in range(397)])
    np.testing.assert_array_equal(
        gallery_ranks(QUERY, persons[:23], mapped, persons, chunk=50).rank,
        gallery_ranks(QUERY, persons[:23], in_memory, persons).rank,
    )


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_approximate_index_is_exact_when_it_looks_everywhere(distance: Distance) -> None:
    index = ApproximateIndex(GALLERY, distance=distance, chunk=100)
    found = index.search(QUERY, 5, n_probe=index.n_lists, shortlist=20)
    exact = exact_search(QUERY, GALLERY, 5, distance=distance)
    np.testing.assert_array_equal(found.rows, exact.rows)
    np.testing.assert_allclose(found.scores, exact.scores)


def test_the_approximate_index_finds_a_face_that_is_there() -> None:
    gallery = GENERATOR.normal(size=(5000, 16))
    asked = GENERATOR.permutation(5000)[:100]
    index = ApproximateIndex(gallery)
    found = index.search(gallery[asked] + 0.01 * GENERATOR.normal(size=(100, 16)), 3, n_probe=4)
    assert (found.rows[:, 0] == asked).mean() >= 0.98


def test_the_same_seed_builds_the_same_index() -> None:
    first, second = (ApproximateIndex(GALLERY, seed=3).search(QUERY, 5, n_probe=2) for _ in "ab")
    np.testing.assert_array_equal(first.rows, second.rows)


def test_an_index_without_enough_in_its_lists_says_so_by_minus_one() -> None:
    index = ApproximateIndex(GALLERY, n_lists=60)
    found = index.search(QUERY, 300, n_probe=1)
    assert (found.rows == -1).any()
    assert (found.scores[found.rows == -1] == -np.inf).all()


@pytest.mark.parametrize("k", [0, 398])
def test_more_neighbours_than_faces_are_refused(k: int) -> None:
    with pytest.raises(Speech2FaceError, match="ask for 1 to 397"):
        exact_search(QUERY, GALLERY, k)


def test_unusable_galleries_are_refused_with_their_row() -> None:
    broken = GALLERY.copy()
    broken[300, 2] = np.nan
    with pytest.raises(Speech2FaceError, match="first at row 300"):
        exact_search(QUERY, broken, 3, chunk=64)
    with pytest.raises(Speech2FaceError, match="first at row 300"):
        ApproximateIndex(broken, n_lists=2, chunk=64)
    with pytest.raises(Speech2FaceError, match="gallery features have shape"):
        exact_search(QUERY, np.empty((0, 6)), 1)
    with pytest.raises(Speech2FaceError, match="use exact_search"):
        ApproximateIndex(GALLERY, distance="manhattan")

"""Regularised canonical correlation against eigenvalue problems and against known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import eigh

from speech2face.training.correlation import fit_correlation


def views(
    n_clips: int, sizes: tuple[int, int], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two centred views of three common causes, with noise."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n_clips, 3))
    made = [
        causes @ rng.standard_normal((3, size)) + rng.standard_normal((n_clips, size))
        for size in sizes
    ]
    first, second = (view - view.mean(axis=0) for view in made)
    return first, second


@pytest.mark.parametrize("sizes", [(4, 6), (7, 3), (50, 12)])  # the last: more numbers than clips
@pytest.mark.parametrize("ridges", [(0.3, 0.1), (2.0, 5.0)])
def test_it_solves_the_eigenvalue_problem_of_its_definition(
    sizes: tuple[int, int], ridges: tuple[float, float]
) -> None:
    """Stationary points of the correlation with ridges: a generalised symmetric eigenproblem."""
    first, second = views(40, sizes)
    found = fit_correlation(
        first, second, first_ridge=ridges[0], second_ridge=ridges[1], n_components=3
    )
    size = sizes[0]
    across = first.T @ second / len(first)
    left, right = np.zeros((sum(sizes), sum(sizes))), np.zeros((sum(sizes), sum(sizes)))
    left[:size, size:], left[size:, :size] = across, across.T
    right[:size, :size] = first.T @ first / len(first) + ridges[0] * np.eye(size)
    right[size:, size:] = second.T @ second / len(first) + ridges[1] * np.eye(sizes[1])
    values, vectors = eigh(left, right)
    np.testing.assert_allclose(found.correlations, values[::-1][:3], atol=1e-9)
    expected = vectors[:, ::-1][:, :3] * np.sqrt(2)  # of each side, w^T C w = 1
    signs = np.sign((expected[:size] * found.first).sum(axis=0))
    np.testing.assert_allclose(found.first * signs, expected[:size], atol=1e-7)
    np.testing.assert_allclose(found.second * signs, expected[size:], atol=1e-7)


def test_without_a_ridge_it_does_not_depend_on_units_and_mixtures() -> None:
    first, second = views(60, (5, 4))
    mixed = first @ np.random.default_rng(1).standard_normal((5, 5))
    tiny = {"first_ridge": 1e-12, "second_ridge": 1e-12, "n_components": 4}
    plain, other = fit_correlation(first, second, **tiny), fit_correlation(mixed, second, **tiny)
    np.testing.assert_allclose(plain.correlations, other.correlations, atol=1e-8)
    pairs = np.corrcoef((first @ plain.first).T, (second @ plain.second).T)
    np.testing.assert_allclose(np.diag(pairs[:4, 4:]), plain.correlations, atol=1e-8)


def test_numbers_that_never_vary_and_a_view_of_low_rank_do_no_harm() -> None:
    first, second = views(30, (6, 5))
    padded = np.hstack([first, np.zeros((30, 2)), first[:, :3]])
    found = fit_correlation(padded, second, first_ridge=0.1, second_ridge=0.1, n_components=99)
    assert found.first.shape == (11, 5) and np.isfinite(found.first).all()
    np.testing.assert_array_equal(found.first[6:8], 0.0)


def test_a_stronger_ridge_believes_less() -> None:
    first, second = views(20, (60, 60), seed=3)
    found = [
        fit_correlation(first, second, first_ridge=one, second_ridge=one, n_components=5)
        for one in (1e-6, 1.0, 100.0)
    ]
    assert (found[0].correlations > 0.999).all()  # more numbers than clips: anything correlates
    assert (np.diff([one.correlations for one in found], axis=0) < 0).all()

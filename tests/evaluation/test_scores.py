"""Scores against SciPy's distances, and the errors of unusable features."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.scores import (
    Distance,
    comparable,
    pair_scores,
    score_block,
    tie_tolerance,
)

GENERATOR = np.random.default_rng(0)
QUERY, GALLERY = GENERATOR.normal(size=(7, 5)), GENERATOR.normal(size=(11, 5))


def test_scores_are_the_negative_distances_of_scipy() -> None:
    euclidean = score_block(*comparable(QUERY, GALLERY, "euclidean"), "euclidean")
    np.testing.assert_allclose(euclidean, -cdist(QUERY, GALLERY, "sqeuclidean"))
    manhattan = score_block(*comparable(QUERY, GALLERY, "manhattan"), "manhattan")
    np.testing.assert_allclose(manhattan, -cdist(QUERY, GALLERY, "cityblock"))
    cosine = score_block(*comparable(QUERY, GALLERY, "cosine"), "cosine")
    np.testing.assert_allclose(cosine, 1 - cdist(QUERY, GALLERY, "cosine"))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_pair_scores_are_the_diagonal_of_the_block_within_the_tie_tolerance(
    distance: Distance,
) -> None:
    wide = np.random.default_rng(1).normal(size=(2, 60, 4096)) * 30 + 5
    query, gallery = comparable(wide[0], wide[1], distance)
    block = np.diag(score_block(query, gallery, distance))
    gap = np.abs(block - pair_scores(query, gallery, distance))
    assert (gap < 0.1 * tie_tolerance(query, gallery, distance)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_row(value: float) -> None:
    broken = GALLERY.copy()
    broken[3, 1] = value
    with pytest.raises(Speech2FaceError, match="gallery.* first at row 3"):
        comparable(QUERY, broken, "euclidean")


def test_zero_norm_has_no_cosine() -> None:
    with pytest.raises(Speech2FaceError, match="norm zero, first at row 1"):
        comparable([[1.0, 2.0], [0.0, 0.0]], [[1.0, 1.0]], "cosine")


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="gallery features have shape"):
        comparable(QUERY, np.empty((0, 5)), "cosine")


def test_features_of_two_recognisers_are_not_compared() -> None:
    with pytest.raises(Speech2FaceError, match="one and the same recogniser"):
        comparable(QUERY, GALLERY[:, :4], "cosine")


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="unknown distance 'angle'"):
        comparable(QUERY, GALLERY, "angle")  # type: ignore[arg-type]

"""Similarity of two features: one score per pair, higher means more similar, in float64.

The score of a distance d is -d. Matrix products are rounded differently at different places of a
matrix, so the scores of two equal photos may differ in the last bit. Every comparison with the true
item therefore counts scores within `tie_tolerance` as tied. A NaN, an infinite or (for cosine) a
zero-norm feature is an error, never a wrong answer.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra

Distance = Literal["cosine", "euclidean", "manhattan"]
ROUNDING = 1e-12  # well above the rounding of a float64 sum of thousands of products


def as_features(values: ArrayLike, what: str, *, first_row: int = 0) -> NDArray[np.float64]:
    """Features as a checked float64 matrix `[N, D]`; `first_row` counts rows before these.

    Raises:
        Speech2FaceError: not a matrix, empty, or with NaN or infinite values.
    """
    features = np.asarray(values, dtype=np.float64)
    if features.ndim != 2 or 0 in features.shape:
        raise Speech2FaceError(
            f"the {what} features have shape {features.shape}",
            "give a matrix `[N, D]` with at least one item",
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise Speech2FaceError(
            f"{len(bad)} {what} feature(s) hold NaN or infinite values, "
            f"first at row {first_row + bad[0]}",
            "make these features again",
        )
    return features


def unit_norm(
    features: NDArray[np.float64], what: str, *, first_row: int = 0
) -> NDArray[np.float64]:
    """Rows of `[N, D]` divided by their Euclidean norm.

    Raises:
        Speech2FaceError: a row has norm zero.
    """
    norms = np.linalg.norm(features, axis=1, keepdims=True)  # [N, 1]
    if len(zero := np.flatnonzero(norms == 0)):
        raise Speech2FaceError(
            f"{len(zero)} {what} feature(s) have norm zero, first at row {first_row + zero[0]}",
            "make these features again: a zero vector has no direction",
        )
    return np.asarray(features / norms)


def prepared(
    values: ArrayLike, what: str, distance: Distance, *, first_row: int = 0
) -> NDArray[np.float64]:
    """Features checked for `distance`, and divided by their norms for cosine, `[N, D]`.

    Raises:
        Speech2FaceError: unknown distance or unusable features.
    """
    if distance not in get_args(Distance):
        raise Speech2FaceError(
            f"unknown distance {distance!r}", f"choose one of {', '.join(get_args(Distance))}"
        )
    features = as_features(values, what, first_row=first_row)
    return unit_norm(features, what, first_row=first_row) if distance == "cosine" else features


def check_sizes(query: ArrayLike, gallery: ArrayLike) -> None:
    """Refuse features of different sizes, and anything that is not two matrices.

    Raises:
        Speech2FaceError: names both sizes.
    """
    shapes = np.shape(query), np.shape(gallery)
    for what, shape in zip(("query", "gallery"), shapes, strict=True):
        if len(shape) != 2 or 0 in shape:
            raise Speech2FaceError(
                f"the {what} features have shape {shape}",
                "give a matrix `[N, D]` with at least one item",
            )
    if shapes[0][1] != shapes[1][1]:
        raise Speech2FaceError(
            f"query features have {shapes[0][1]} numbers, gallery features {shapes[1][1]}",
            "use features of one and the same recogniser",
        )


def comparable(
    query: ArrayLike, gallery: ArrayLike, distance: Distance
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets prepared for `distance`.

    Raises:
        Speech2FaceError: unknown distance, unequal feature sizes, or unusable features.
    """
    check_sizes(query, gallery)
    return prepared(query, "query", distance), prepared(gallery, "gallery", distance)


def score_block(
    query: NDArray[np.float64], gallery: NDArray[np.float64], distance: Distance
) -> NDArray[np.float64]:
    """Scores of every query against every gallery item, `[Q, D]` and `[G, D]` to `[Q, G]`.

    Both come from `comparable`. Euclidean distances are squared, which does not change their order.
    """
    if distance == "manhattan":
        return -_city_block_distances(query, gallery)
    products = query @ gallery.T  # [Q, G]
    if distance == "cosine":
        return np.asarray(products)
    # -|q - g|^2 = 2 q.g - |q|^2 - |g|^2
    return np.asarray(2 * products - _squares(query)[:, None] - _squares(gallery)[None, :])


def pair_scores(
    first: NDArray[np.float64], second: NDArray[np.float64], distance: Distance
) -> NDArray[np.float64]:
    """Scores of corresponding rows, `[N, D]` each to `[N]`: the same scale as `score_block`.

    Each row is summed on its own, so equal pairs have equal scores to the last bit.
    """
    if distance == "cosine":
        return np.asarray((first * second).sum(axis=-1))
    if distance == "euclidean":
        return -_squares(first - second)
    return -np.asarray(np.abs(first - second).sum(axis=-1))


def tie_tolerance(
    query: NDArray[np.float64], own: NDArray[np.float64], distance: Distance
) -> NDArray[np.float64]:
    """Largest difference from the own item's score that rounding can make, `[Q, D]` each to `[Q]`.

    An item tied with the own one has a norm of at most 2 |q| + |g|, so these two norms bound the
    rounding of every product that matters.
    """
    if distance == "cosine":
        return np.full(len(query), ROUNDING)
    if distance == "euclidean":
        scale = (np.linalg.norm(query, axis=1) + np.linalg.norm(own, axis=1)) ** 2
    else:
        scale = np.abs(query).sum(axis=1) + np.abs(own).sum(axis=1)
    return np.asarray(ROUNDING * scale)


def _city_block_distances(
    query: NDArray[np.float64], gallery: NDArray[np.float64]
) -> NDArray[np.float64]:
    try:
        from scipy.spatial.distance import cdist
    except ModuleNotFoundError as missing:
        raise missing_extra("scipy", "evaluate") from missing
    return np.asarray(cdist(query, gallery, "cityblock"))


def _squares(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((features**2).sum(axis=-1))

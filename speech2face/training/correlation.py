"""Regularised canonical correlation analysis in closed form.

Two views of the same clips, here a voice and a photo, are mapped linearly into one space in which
the coordinates of a pair correlate as much as possible (Hotelling 1936). With more numbers than
clips, any two views correlate perfectly; so a ridge is added to the covariance of each view
(Vinod 1976), which keeps the maps away from directions that hardly vary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-7  # singular value over the largest: below it, a direction is rounding

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correlation:
    """Linear maps of two centred views into K coordinates, the best correlated first."""

    first: Matrix  # [V, K]
    second: Matrix  # [D, K]
    correlations: Matrix  # [K], in 0..1, of the regularised views, in falling order


def fit_correlation(
    first: Matrix,
    second: Matrix,
    *,
    first_ridge: float,
    second_ridge: float,
    n_components: int,
) -> Correlation:
    """Correlate two views of M clips.

    With regularised covariances C = X^T X / M + ridge, the maps are C1^-1/2 U and C2^-1/2 W, where
    U and W are the singular vectors of C1^-1/2 (X1^T X2 / M) C2^-1/2 and the correlations its
    singular values.

    Args:
        first: centred, `[M, V]`.
        second: of the same clips, centred, `[M, D]`.
        first_ridge: in units of the variance of a coordinate.
        second_ridge: the same of the second view.
        n_components: K at most; it is never more than both views have directions.
    """
    one, two = _Whitened.of(first, first_ridge), _Whitened.of(second, second_ridge)
    left, correlations, right = np.linalg.svd(one.rows.T @ two.rows, full_matrices=False)
    kept = slice(0, n_components)
    return Correlation(
        first=one.back @ left[:, kept],
        second=two.back @ right.T[:, kept],
        correlations=correlations[kept],
    )


@dataclass(frozen=True, eq=False)
class _Whitened:
    """A view X in the r directions in which it varies: `rows` is X C^-1/2 / sqrt(M) in these."""

    rows: Matrix  # [M, r]
    back: Matrix  # [V, r], with X @ back / sqrt(M) = rows

    @classmethod
    def of(cls, view: Matrix, ridge: float) -> "_Whitened":
        basis, lengths, directions = np.linalg.svd(view / np.sqrt(len(view)), full_matrices=False)
        varies = lengths > _SMALLEST * lengths[0]
        lengths, directions = lengths[varies], directions[varies]  # [r], [r, V]
        scale = 1.0 / np.sqrt(lengths**2 + ridge)
        return cls(basis[:, varies] * (lengths * scale), directions.T * scale)

"""How probable each language is in a voice: softmax regression, taught by a recogniser of speech.

The targets are what the teacher finds probable, not the language it finds most probable: it is
often unsure, and its doubts (Norwegian or Danish) tell more of a voice than its first guess. The
face is predicted from the square roots of probabilities, which differ more between a rare language
and none than the probabilities do.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_STEPS = 200  # of the optimiser at most; it ends before
_NEGLIGIBLE = 1e-12  # squared singular values, relative to the largest


class LanguageHead(NamedTuple):
    """Log odds of languages, linear in a voice's descriptors."""

    weight: Tensor  # [V, L]
    bias: Tensor  # [L]

    def roots(self, descriptors: Tensor) -> Tensor:
        """Square roots of the probabilities, `[..., V]` to `[..., L]`."""
        return (descriptors @ self.weight + self.bias).softmax(dim=-1).sqrt()


def grouped_languages(probabilities: Tensor, n_groups: int) -> Tensor:
    """The languages that are spoken most, each by itself, and all others as one.

    Args:
        probabilities: of all languages that the teacher knows, `[M, N]`.
        n_groups: L, with the group of others.

    Returns:
        `[M, L]`; rows sum to what they summed to. With L of 0 it is empty.
    """
    if n_groups == 0:
        return probabilities[:, :0]
    order = probabilities.sum(dim=0).sort(descending=True, stable=True).indices  # [N]
    others = probabilities[:, order[n_groups - 1 :]].sum(dim=1, keepdim=True)
    return torch.cat([probabilities[:, order[: n_groups - 1]], others], dim=1)


def fit_language_head(features: Tensor, targets: Tensor, ridge: float) -> LanguageHead:
    """The softmax regression with the least cross-entropy and a penalty on its weights.

    Minimised is the mean cross-entropy plus `ridge / 2M` times the sum of the squared weights,
    which is convex, so the start does not matter.

    Args:
        features: of voices, of one scale, `[M, V]`.
        targets: what the teacher finds probable, `[M, L]`.
        ridge: 0 or more.
    """
    from scipy.optimize import minimize

    if targets.shape[1] == 0:
        return LanguageHead(features.new_zeros(features.shape[1], 0), features.new_zeros(0))
    mean = features.mean(dim=0)
    # M voices span at most M directions, and the best weights lie in them.
    centred = features - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # ascending
    is_kept = values > _NEGLIGIBLE * values[-1]
    length, vectors = values[is_kept].sqrt(), vectors[:, is_kept]  # [R], [M, R]
    basis = (vectors / length).T @ centred  # [R, V], orthonormal
    rows = (vectors * length).numpy()  # [M, R]
    wanted = targets.numpy()
    shape = (rows.shape[1] + 1, wanted.shape[1])  # the bias comes last

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = flat.reshape(shape)[:-1], flat.reshape(shape)[-1]
        odds = rows @ weight + bias  # [M, L]
        odds -= odds.max(axis=1, keepdims=True)
        logarithm = odds - np.log(np.exp(odds).sum(axis=1, keepdims=True))
        error = np.exp(logarithm) - wanted
        penalty = ridge * np.square(weight).sum() / 2
        slope = np.concatenate([rows.T @ error + ridge * weight, error.sum(axis=0)[None]])
        total = -(wanted * logarithm).sum() + penalty
        return float(total) / len(rows), slope.reshape(-1) / len(rows)

    start = np.zeros(shape[0] * shape[1])
    found: Any = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    solved = torch.from_numpy(found.x.reshape(shape))
    weight = basis.T @ solved[:-1]  # [V, L]
    return LanguageHead(weight, solved[-1] - mean @ weight)

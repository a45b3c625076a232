"""The head of the compact voice encoder, in closed form, and the spread around its prediction.

Two ridge regressions see the same standardised voices: one learns what a large model made of the
same voice (a teacher: little noise, little bias for 700 people to correct), one what the true face
is (unbiased, and so noisy that it shrinks to the mean). Their sum is the prediction, each
coordinate of the face given back the variance that shrinking took: without it, what is left of a
face is its tone and its gender, and recognisers read little else from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_DEAD = 1e-6  # standard deviation over voices; statistics that live have 1e-3 and more


@dataclass(frozen=True)
class VoiceHeadConfig:
    """Chosen on the train and val splits; see docs/experiments.md for what else was tried."""

    embedding_share: float = 0.5  # of the variance of a voice, beside its statistics
    teacher_ridge: float = 1.5
    true_ridge: float = 3.0
    true_share: float = 1.0  # weight of the true faces' regression beside the teacher's
    gain: float = 1.0  # of the face; 0: predictions as they are, 1: in proportion to true spreads
    face_share: float = 0.7  # of the spread of both sums together that the face is given
    surround_share: float = 1.3  # and that hair, shoulders and ground are given
    n_folds: int = 5  # for what can only be measured on voices that were not fitted
    seed: int = 0


@dataclass(frozen=True)
class VoiceHead:
    """A linear map of a voice's views `[V]` to codes `[D]`, and what it leaves open."""

    weight: Tensor  # [D, V]
    bias: Tensor  # [D]
    spread: Tensor  # [D, D]: normal draws times it have the covariance of the residual


def standard_scale(views: Tensor, shares: Sequence[tuple[int, float]]) -> Tensor:
    """Factors `[V]` that give every view its share of a variance of 1, evenly over its numbers.

    Args:
        views: of the training voices, side by side, `[M_voices, V]`. A number that never changes (a
            channel behind a ReLU that stays closed) is left out, whatever a new voice does to it.
        shares: size and share of each view, in order.
    """
    deviation = views.std(dim=0, correction=0)  # [V]
    weight = torch.cat([views.new_full((size,), (share / size) ** 0.5) for size, share in shares])
    return torch.where(deviation > _DEAD, weight / deviation.clamp(min=_DEAD), 0.0)


def fit_voice_head(
    views: Tensor,
    n_statistics: int,
    teacher: Tensor,
    true: Tensor,
    persons: Sequence[str],
    config: VoiceHeadConfig,
    *,
    n_face: int,
) -> VoiceHead:
    """Regress codes on voices.

    Args:
        views: of the training voices, statistics, then embedding, `[M_voices, V]`.
        n_statistics: how many of the V numbers are statistics.
        teacher: codes of what the teacher made of them, `[M_voices, D]`.
        true: codes of the canonical true faces, `[M_voices, D]`.
        persons: who speaks, M_voices names; a person is never in two folds.
        config: ridges, gain and folds.
        n_face: how many coordinates of a code, the first ones, are of the face.

    Returns:
        The map, which sends the mean of `views` to the mean of `true`, and the spread of true
        faces around what folds without their person predict.
    """
    views, teacher, true = views.double(), teacher.double(), true.double()
    sizes = (n_statistics, views.shape[1] - n_statistics)
    shares = (1.0 - config.embedding_share, config.embedding_share)
    scale = standard_scale(views, tuple(zip(sizes, shares, strict=True)))  # [V]
    features = views * scale
    unseen_teacher = predict_unseen(features, teacher, persons, config.teacher_ridge, config)
    unseen_true = predict_unseen(features, true, persons, config.true_ridge, config)
    summed = ridge_weights(features, teacher, config.teacher_ridge) + (
        config.true_share * ridge_weights(features, true, config.true_ridge)
    )  # [V, D]
    unseen = unseen_teacher + config.true_share * unseen_true
    gain = torch.full((true.shape[1],), config.surround_share, dtype=torch.float64)  # [D]
    gain[:n_face] = config.face_share * restoring_gain(
        unseen[:, :n_face], true[:, :n_face], config.gain
    )
    weight = scale[:, None] * summed * gain
    mean_face = true.mean(dim=0)  # [D]
    bias = mean_face - views.mean(dim=0) @ weight
    residual = true - mean_face - unseen_true  # [M_voices, D]
    return VoiceHead(weight.T.float(), bias.float(), spread_factor(residual).float())


def ridge_weights(features: Tensor, codes: Tensor, ridge: float) -> Tensor:
    """Weights `[V, D]` of the ridge regression of centred codes on centred features.

    Args:
        features: `[M_voices, V]`.
        codes: `[M_voices, D]`.
        ridge: added to the diagonal of the Gram matrix; the dual form, as voices are fewer than
            features.
    """
    centred = features - features.mean(dim=0)
    kernel = centred @ centred.T  # [M_voices, M_voices]
    identity = torch.eye(len(kernel), dtype=kernel.dtype)
    weight: Tensor = centred.T @ torch.linalg.solve(
        kernel + ridge * identity, codes - codes.mean(dim=0)
    )
    return weight


def predict_unseen(
    features: Tensor, codes: Tensor, persons: Sequence[str], ridge: float, config: VoiceHeadConfig
) -> Tensor:
    """Deviation from the mean code that folds without the person predict, `[M_voices, D]`.

    What is left of it on voices that were not fitted shows how far ridge shrinks, and what a voice
    leaves open; on its own training voices a regression shows neither.
    """
    fold = person_folds(persons, config.n_folds, config.seed)
    predicted = torch.zeros_like(codes)
    for number in range(config.n_folds):
        kept, held = fold != number, fold == number
        weight = ridge_weights(features[kept], codes[kept], ridge)
        predicted[held] = (features[held] - features[kept].mean(dim=0)) @ weight
    return predicted


def person_folds(persons: Sequence[str], n_folds: int, seed: int) -> Tensor:
    """Fold of every voice `[M_voices]`, one fold a person."""
    names = sorted(set(persons))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {name: int(place) % n_folds for name, place in zip(names, order, strict=True)}
    return torch.tensor([fold_of[person] for person in persons])


def restoring_gain(predicted: Tensor, true: Tensor, exponent: float) -> Tensor:
    """Factor a coordinate, `[D]`: its lost spread restored in part, the total spread unchanged."""
    gain = (true.std(dim=0) / predicted.std(dim=0)) ** exponent  # [D]
    variance = predicted.var(dim=0)  # [D]
    return gain * (variance.sum() / (gain.square() * variance).sum()).sqrt()


def spread_factor(residual: Tensor, shrinkage: float = 0.05) -> Tensor:
    """S `[D, D]` with S^T S the covariance of residuals `[M_voices, D]`, shrunk to be definite."""
    covariance = torch.cov(residual.T)  # [D, D]
    diagonal = torch.diag(torch.diagonal(covariance))
    lower: Tensor = torch.linalg.cholesky((1 - shrinkage) * covariance + shrinkage * diagonal)
    return lower.T

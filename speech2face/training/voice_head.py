"""The head of the compact voice encoder, in closed form, and the spread around its prediction.

Two ridge regressions share the random features of a voice: one learns what a large model made of
the same voice (a teacher: little noise, little bias for 700 people to correct), one what the true
face is (unbiased, and so noisy that it shrinks to the mean). Their sum, each coordinate given back
part of the variance that shrinking took, is the prediction.
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

    gamma: float = 0.1  # of the kernel exp(-gamma |x - y|^2 / 1024) of standardised statistics
    n_components: int = 128  # of the statistics that the kernel looks at
    n_fourier: int = 2048
    teacher_ridge: float = 0.15
    true_ridge: float = 1.0
    true_share: float = 1.0  # weight of the true faces' regression beside the teacher's
    gain: float = 0.5  # 0: predictions as they are, 1: every coordinate with its true variance
    n_folds: int = 5  # for what can only be measured on voices that were not fitted
    seed: int = 0


@dataclass(frozen=True)
class VoiceHead:
    """A linear map of Fourier features `[M]` to codes `[D]`, and what it leaves open."""

    weight: Tensor  # [D, M]
    bias: Tensor  # [D]
    spread: Tensor  # [D, D]: normal draws times it have the covariance of the residual


def principal_components(statistics: Tensor, n_components: int) -> tuple[Tensor, Tensor]:
    """Mean `[S]` and projection `[S, P]` to principal components of standardised statistics.

    (x - mean) @ projection are the first P coordinates of x, each statistic first brought to unit
    deviation, on orthonormal axes: distances are those of all statistics, less what is left out.

    Args:
        statistics: of the training voices, `[M_voices, S]`. One that never changes (a channel
            behind a ReLU that stays closed) is left out, whatever a new voice does to it.
        n_components: P, at most S.
    """
    statistics = statistics.double()
    mean, deviation = statistics.mean(dim=0), statistics.std(dim=0, correction=0)  # [S] both
    scale = torch.where(deviation > _DEAD, 1.0 / deviation.clamp(min=_DEAD), 0.0)  # [S]
    standard = (statistics - mean) * scale  # [M_voices, S]
    _, axes = torch.linalg.eigh(standard.T @ standard)  # [S, S], the largest last
    projection = scale[:, None] * axes.flip(1)[:, :n_components]
    return mean.float(), projection.float()


def fit_voice_head(
    features: Tensor,
    teacher: Tensor,
    true: Tensor,
    persons: Sequence[str],
    config: VoiceHeadConfig,
) -> VoiceHead:
    """Regress codes on Fourier features.

    Args:
        features: of the training voices, `[M_voices, M]`.
        teacher: codes of what the teacher made of them, `[M_voices, D]`.
        true: codes of the canonical true faces, `[M_voices, D]`.
        persons: who speaks, M_voices names; a person is never in two folds.
        config: ridges, gain and folds.

    Returns:
        The map, which sends the mean of `features` to the mean of `true`, and the spread of true
        faces around what folds without their person predict.
    """
    features, teacher, true = features.double(), teacher.double(), true.double()
    unseen_teacher = predict_unseen(features, teacher, persons, config.teacher_ridge, config)
    unseen_true = predict_unseen(features, true, persons, config.true_ridge, config)
    parts = (
        (teacher, config.teacher_ridge, restoring_gain(unseen_teacher, teacher, config.gain)),
        (
            true,
            config.true_ridge,
            config.true_share * restoring_gain(unseen_true, true, config.gain),
        ),
    )
    weight = sum(
        (ridge_weights(features, codes, ridge) * gain for codes, ridge, gain in parts),
        start=torch.zeros(features.shape[1], teacher.shape[1], dtype=torch.float64),
    )  # [M, D]
    mean_face = true.mean(dim=0)  # [D]
    bias = mean_face - features.mean(dim=0) @ weight
    residual = true - mean_face - unseen_true  # [M_voices, D]
    return VoiceHead(weight.T.float(), bias.float(), spread_factor(residual).float())


def ridge_weights(features: Tensor, codes: Tensor, ridge: float) -> Tensor:
    """Weights `[M, D]` of the ridge regression of centred codes on centred features.

    Args:
        features: `[M_voices, M]`.
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

"""The head of the compact voice encoder, in closed form, and the spread of faces around it.

Two ridge regressions learn from the same standardised voices. The target of one is the face that a
large model, the teacher, made from the same voice; it has little noise, but the bias of that model.
The target of the other is the true face; it has no bias, but so much noise that ridge shrinks it
towards the mean. Both are fitted so that distorted copies of a voice (a telephone, noise, a room)
give nearly the same face. The prediction is their sum, and each coordinate of the face gets back
the variance that ridge took from it. Without that, little more than skin tone and gender would be
left of a face.

The spread is the covariance of true faces around the predictions of this head, for people to whom
it was not fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speech2face.configuration import MAX_INTEGER, require
from speech2face.training.language_head import LanguageHead, fit_language_head

_CONSTANT = 1e-6  # standard deviation over voices; statistics that vary have 1e-3 and more
SHRINKAGES = (0.01, 0.02, 0.05, *(number / 10 for number in range(1, 11)))


@dataclass(frozen=True)
class VoiceHeadConfig:
    """Chosen on the train and val splits; see docs/experiments.md for what else was tried."""

    inner_share: float = 0.3  # of the variance of a voice: statistics of the trunk's inner layer
    embedding_share: float = 0.4  # the same of the embedding; the last layer's have the rest
    language_share: float = 0.2  # of the probabilities of languages, where the others have 1
    language_ridge: float = 0.02  # of the regression that hears languages
    teacher_ridge: float = 1.5
    true_ridge: float = 3.0
    true_share: float = 1.0  # weight of the true faces' regression, where the teacher's has 1
    gain: float = 1.0  # of the face; 0: predictions as they are, 1: in proportion to true spreads
    face_share: float = 0.7  # factor on both sums together, for the face
    surround_share: float = 1.3  # and for hair, shoulders and background
    distortion_penalty: float = 100.0  # on what distorted copies of a voice differ in
    shift_penalty: float = 1000.0  # the same, on the mean difference of each kind of distortion
    n_folds: int = 5  # folds of people, for everything that is measured on held-out people
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("inner_share", "embedding_share"):
            is_share = 0 <= getattr(self, name) <= 1
            require(is_share, name, getattr(self, name), "a number in 0..1")
        total = self.inner_share + self.embedding_share
        require(total <= 1, "inner_share", self.inner_share, "at most 1 with embedding_share")
        for name in ("language_share", "distortion_penalty", "shift_penalty"):
            value = getattr(self, name)
            require(value >= 0, name, value, "0 or a positive number")
        for name in ("language_ridge", "teacher_ridge", "true_ridge"):
            value = getattr(self, name)
            require(value > 0, name, value, "a positive number")
        require(2 <= self.n_folds <= 1000, "n_folds", self.n_folds, "2..1000")
        require(0 <= self.seed <= MAX_INTEGER, "seed", self.seed, "0 or a positive number")


@dataclass(frozen=True)
class VoicesAndFaces:
    """M voices, and the codes of the faces that belong to them."""

    descriptors: Tensor  # [M, V], statistics, then embedding
    distorted: Tensor  # [M, K, V]: of K distorted copies, less those of the voice itself
    sizes: tuple[int, int, int]  # of inner statistics, last statistics and embedding; V together
    languages: Tensor  # [M, L], how probable the teacher finds each language; L may be 0
    teacher: Tensor  # [M, D], codes of the faces that the teacher made of the voices
    true: Tensor  # [M, D], codes of the canonical true faces
    n_face: int  # how many coordinates of a code, the first ones, are of the face
    persons: tuple[str, ...]  # who speaks; a person is never in two folds

    def take(self, rows: Tensor) -> "VoicesAndFaces":
        """Those voices for which `rows` `[M]` is true."""
        return VoicesAndFaces(
            self.descriptors[rows],
            self.distorted[rows],
            self.sizes,
            self.languages[rows],
            self.teacher[rows],
            self.true[rows],
            self.n_face,
            tuple(person for person, is_kept in zip(self.persons, rows, strict=True) if is_kept),
        )

    def double(self) -> "VoicesAndFaces":
        """The same voices in float64."""
        return VoicesAndFaces(
            self.descriptors.double(),
            self.distorted.double(),
            self.sizes,
            self.languages.double(),
            self.teacher.double(),
            self.true.double(),
            self.n_face,
            self.persons,
        )


class VoiceMap(NamedTuple):
    """From a voice's descriptors `[..., V]` to codes `[..., D]`."""

    languages: LanguageHead  # L languages
    weight: Tensor  # [V + L, D]
    bias: Tensor  # [D]

    def codes(self, descriptors: Tensor) -> Tensor:
        """The map itself: linear in the descriptors and in the roots of probabilities."""
        roots = self.languages.roots(descriptors)
        return torch.cat([descriptors, roots], dim=-1) @ self.weight + self.bias


@dataclass(frozen=True)
class VoiceHead:
    """A map from a voice's descriptors `[V]` to codes `[D]`, and the spread around it."""

    language_weight: Tensor  # [L, V]
    language_bias: Tensor  # [L]
    weight: Tensor  # [D, V + L]
    bias: Tensor  # [D]
    spread: Tensor  # [D, D]: normal draws times it have the covariance of the residual


def fit_voice_head(voices: VoicesAndFaces, config: VoiceHeadConfig) -> VoiceHead:
    """Regress codes on voices.

    Returns:
        The map, which maps the mean descriptors to the mean true code, and the spread of true codes
        around it: at exaggeration 0, `prediction + z @ spread` with standard normal z has the
        distribution of the true codes of people to whom the map was not fitted.
    """
    voices = voices.double()
    found = fit_map(voices, config)
    residual = unseen_residual(voices, config)
    fold = person_folds(voices.persons, config.n_folds, config.seed)
    return VoiceHead(
        found.languages.weight.T.float(),
        found.languages.bias.float(),
        found.weight.T.float(),
        found.bias.float(),
        spread_factor(residual, fold).float(),
    )


def fit_map(voices: VoicesAndFaces, config: VoiceHeadConfig) -> VoiceMap:
    """The map that ships, without the spread."""
    inner, embedding = config.inner_share, config.embedding_share
    shares = (inner, 1.0 - inner - embedding, embedding)
    scale = standard_scale(voices.descriptors, tuple(zip(voices.sizes, shares, strict=True)))  # [V]
    scaled, moved = voices.descriptors * scale, voices.distorted * scale
    heard = hear_languages(scaled, moved, voices, config)
    n_languages = heard.roots.shape[1]
    language_scale = standard_scale(heard.roots, ((n_languages, config.language_share),))  # [L]
    scaled = torch.cat([scaled, heard.roots * language_scale], dim=1)  # [M, V + L]
    moved = torch.cat([moved, heard.moved_roots * language_scale], dim=-1)  # [M, K, V + L]
    tolerance = distortion_tolerance(scaled, moved, config)  # [V + L, V + L]
    features = scaled @ tolerance
    summed = ridge_weights(features, voices.teacher, config.teacher_ridge) + (
        config.true_share * ridge_weights(features, voices.true, config.true_ridge)
    )  # [V + L, D]
    unseen = predict_unseen(
        features, voices.teacher, voices.persons, config.teacher_ridge, config
    ) + config.true_share * predict_unseen(
        features, voices.true, voices.persons, config.true_ridge, config
    )  # [M, D]
    n_face = voices.n_face
    gain = torch.full_like(voices.true[0], config.surround_share)  # [D]
    gain[:n_face] = config.face_share * restoring_gain(
        unseen[:, :n_face], voices.true[:, :n_face], config.gain
    )
    weight = torch.cat([scale, language_scale])[:, None] * (tolerance @ summed) * gain
    languages = LanguageHead(scale[:, None] * heard.head.weight, heard.head.bias)
    mean = torch.cat([voices.descriptors.mean(dim=0), heard.roots.mean(dim=0)])
    return VoiceMap(languages, weight, voices.true.mean(dim=0) - mean @ weight)


class HeardLanguages(NamedTuple):
    """What a head that did not know the speaker hears in M voices, and the head of all of them."""

    roots: Tensor  # [M, L], square roots of probabilities
    moved_roots: Tensor  # [M, K, L]: of distorted copies, less those of the voice
    head: LanguageHead  # fitted to all voices


def hear_languages(
    scaled: Tensor, moved: Tensor, voices: VoicesAndFaces, config: VoiceHeadConfig
) -> HeardLanguages:
    """Languages of voices by heads that have not learned from the person who speaks.

    On the voices that it learned from, a head is surer than it will be of a new one, and a map to
    faces that learned from such sureness would trust it too much.

    Args:
        scaled: descriptors of one scale, `[M, V]`.
        moved: those of distorted copies, less those of the voice, `[M, K, V]`.
        voices: their languages, and who speaks.
        config: the folds, and how the heads are fitted.
    """
    n_languages = voices.languages.shape[1]
    roots = scaled.new_zeros(len(scaled), n_languages)
    moved_roots = scaled.new_zeros(*moved.shape[:2], n_languages)
    if n_languages == 0:
        deaf = LanguageHead(scaled.new_zeros(scaled.shape[1], 0), scaled.new_zeros(0))
        return HeardLanguages(roots, moved_roots, deaf)
    tolerance = distortion_tolerance(scaled, moved, config)  # [V, V]
    features, copies = scaled @ tolerance, (scaled[:, None] + moved) @ tolerance
    fold = person_folds(voices.persons, config.n_folds, config.seed)
    for number in range(config.n_folds):
        kept, held = fold != number, fold == number
        head = fit_language_head(features[kept], voices.languages[kept], config.language_ridge)
        roots[held] = head.roots(features[held])
        moved_roots[held] = head.roots(copies[held]) - roots[held][:, None]
    head = fit_language_head(features, voices.languages, config.language_ridge)
    return HeardLanguages(roots, moved_roots, LanguageHead(tolerance @ head.weight, head.bias))


def unseen_residual(voices: VoicesAndFaces, config: VoiceHeadConfig) -> Tensor:
    """True codes less the predictions of the whole map, each fitted without the person, `[M, D]`.

    The map of each fold is made as the one that ships: languages, two regressions, their sum and
    the gain.
    """
    fold = person_folds(voices.persons, config.n_folds, config.seed)  # [M]
    residual = torch.zeros_like(voices.true)
    for number in range(config.n_folds):
        held = fold == number
        found = fit_map(voices.take(~held), config)
        residual[held] = voices.true[held] - found.codes(voices.descriptors[held])
    return residual


def standard_scale(descriptors: Tensor, shares: Sequence[tuple[int, float]]) -> Tensor:
    """Factors `[V]` that give each part its share of a variance of 1, evenly over its numbers.

    Args:
        descriptors: of the training voices, `[M_voices, V]`. A number that is the same for all of
            them (a channel after a ReLU that is always 0) gets factor 0, whatever a new voice has.
        shares: size and share of each part, in order.
    """
    centred = descriptors - descriptors.mean(dim=0)
    deviation = centred.square().mean(dim=0).sqrt()  # [V]; not `std`, which warns of empty parts
    weight = torch.cat(
        [descriptors.new_full((size,), (share / max(size, 1)) ** 0.5) for size, share in shares]
    )
    return torch.where(deviation > _CONSTANT, weight / deviation.clamp(min=_CONSTANT), 0.0)


def distortion_tolerance(features: Tensor, distorted: Tensor, config: VoiceHeadConfig) -> Tensor:
    """Matrix A `[V, V]` such that features times A hardly depend on distortions.

    With C the weighted second moment of the differences between distorted copies and their voices,
    A A^T is in proportion to (1 + C)^-1: a ridge regression then pays for every direction in which
    distortions move a voice, the more the farther they move it. The total variance is unchanged.

    Args:
        features: of voices, `[M, V]`.
        distorted: of K distorted copies, less those of the voice, `[M, K, V]`.
        config: the weights of all differences, and of their mean for each of the K kinds.
    """
    rows, shifts = distorted.flatten(0, 1), distorted.mean(dim=0)  # [M * K, V], [K, V]
    moment = config.distortion_penalty * _second_moment(rows)
    moment = moment + config.shift_penalty * shifts.T @ shifts  # [V, V]
    identity = torch.eye(len(moment), dtype=moment.dtype)
    lower = torch.linalg.cholesky(identity + moment)
    tolerance = torch.linalg.solve_triangular(lower.T, identity, upper=True)  # L^-T
    total = features.var(dim=0).sum() / (features @ tolerance).var(dim=0).sum()
    tolerant: Tensor = tolerance * total.sqrt()
    return tolerant


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

    On voices that were not fitted, it shows how much ridge shrinks and how much a voice does not
    determine. On its own training voices a regression shows neither.
    """
    fold = person_folds(persons, config.n_folds, config.seed)
    predicted = torch.zeros_like(codes)
    for number in range(config.n_folds):
        kept, held = fold != number, fold == number
        weight = ridge_weights(features[kept], codes[kept], ridge)
        predicted[held] = (features[held] - features[kept].mean(dim=0)) @ weight
    return predicted


def person_folds(persons: Sequence[str], n_folds: int, seed: int) -> Tensor:
    """Fold of every voice `[M_voices]`, one fold per person."""
    names = sorted(set(persons))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {name: int(place) % n_folds for name, place in zip(names, order, strict=True)}
    return torch.tensor([fold_of[person] for person in persons])


def restoring_gain(predicted: Tensor, true: Tensor, exponent: float) -> Tensor:
    """Factor per coordinate, `[D]`: restores a part of its spread, the total spread unchanged."""
    gain = (true.std(dim=0) / predicted.std(dim=0)) ** exponent  # [D]
    variance = predicted.var(dim=0)  # [D]
    return gain * (variance.sum() / (gain.square() * variance).sum()).sqrt()


def spread_factor(residual: Tensor, fold: Tensor) -> Tensor:
    """S `[D, D]` with S^T S the covariance of residuals, their correlations shrunk.

    Hundreds of people are too few for the correlations of hundreds of coordinates: the plain
    covariance of 685 people in 384 coordinates makes the true face of the next person look
    impossible. Variances are kept, and correlations are shrunk by the amount that makes people of
    other folds most likely.

    Args:
        residual: around zero, of people not fitted to, `[M, D]`.
        fold: of each row, people apart, `[M]`.
    """
    deviation = residual.square().mean(dim=0).sqrt()  # [D]
    standardised = residual / deviation
    correlation = _second_moment(standardised)
    shrinkage = best_shrinkage(standardised, fold)
    identity = torch.eye(len(correlation), dtype=correlation.dtype)
    shrunk = (1 - shrinkage) * correlation + shrinkage * identity
    lower: Tensor = torch.linalg.cholesky(shrunk)
    return lower.T * deviation


def best_shrinkage(standardised: Tensor, fold: Tensor) -> float:
    """Of `SHRINKAGES`, the one under which held-out rows of each fold are most likely.

    Args:
        standardised: residuals with variance 1, `[M, D]`.
        fold: of each row, `[M]`.
    """
    shrinkages = torch.tensor(SHRINKAGES, dtype=standardised.dtype)  # [S]
    cost = torch.zeros_like(shrinkages)  # -2 log likelihood
    for number in fold.unique():
        held = fold == number
        values, vectors = torch.linalg.eigh(_second_moment(standardised[~held]))
        variance = (1 - shrinkages[:, None]) * values.clamp(min=0) + shrinkages[:, None]  # [S, D]
        squared = (standardised[held] @ vectors).square().sum(dim=0)  # [D]
        cost += held.sum() * variance.log().sum(dim=1) + (squared / variance).sum(dim=1)
    return SHRINKAGES[int(cost.argmin())]


def _second_moment(rows: Tensor) -> Tensor:
    """`[M, D]` to `[D, D]`."""
    return rows.T @ rows / len(rows)

"""The recipe of the matcher: from voices and photos of the same clips to two linear maps.

The voice side is the model's description of a voice, the face side the features of two frozen
recognisers. Regularised canonical correlation finds the space in which the two sides of a pair
agree; the more a coordinate correlates, the more it counts in the cosine. All of it has a closed
form, and the only seed is that of the folds.

No name, gender or age has a part in the maps. The apparent genders of the photos are used
afterwards, for what a score means: the chance that a pair of this score is a true one, and not the
voice and the face of two people of one apparent gender. That is measured on people of folds to
which the maps were not fitted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speech2face.configuration import MAX_INTEGER, require, require_sizes
from speech2face.errors import Speech2FaceError
from speech2face.face.instruments import Readings
from speech2face.models.matching_maps import Calibration, MatchingMaps, rounded, unit_rows
from speech2face.training.correlation import fit_correlation
from speech2face.training.voice_head import person_folds, standard_scale

UNCALIBRATED = Calibration(0.0, 1.0)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class MatcherConfig:
    """Chosen on train and val; docs/experiments.md says how, and what else was tried."""

    voice_shares: tuple[float, ...] = (0.1, 0.3, 0.6)  # of the variance, by part of a description
    language_share: float = 0.1  # of all, where the model hears languages: they are the last part
    face_shares: tuple[float, ...] = (0.6, 0.4)  # the same by recogniser: dlib, SFace
    voice_ridge: float = 0.01  # where the variances of all numbers of a side add up to 1
    face_ridge: float = 0.018
    n_components: int = 64  # K
    n_folds: int = 5  # of people, for the calibration
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("voice_shares", "face_shares"):
            shares = getattr(self, name)
            is_good = bool(shares) and min(shares) >= 0 and 0.99 < sum(shares) < 1.01
            require(is_good, name, shares, "numbers of 0 or more that add up to 1")
        for name in ("voice_ridge", "face_ridge"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        is_share = 0 <= self.language_share < 1
        require(is_share, "language_share", self.language_share, "a number from 0 to below 1")
        require_sizes(self, "n_components")
        require(2 <= self.n_folds <= 1000, "n_folds", self.n_folds, "2..1000")
        require(0 <= self.seed <= MAX_INTEGER, "seed", self.seed, "0 or a positive number")


@dataclass(frozen=True, eq=False)
class Pairs:
    """M clips, each with a voice and a photo, as a model and the recognisers describe them."""

    descriptors: Matrix  # [M, V], of the voices
    sizes: tuple[int, ...]  # of the parts of a description; V together
    features: Mapping[str, Matrix]  # of the photos by name of the recogniser, [M, D] each
    persons: tuple[str, ...]  # who speaks; a person is never in two folds
    genders: NDArray[np.str_]  # apparent in the photos, [M]: for the calibration only

    def __len__(self) -> int:
        return len(self.persons)

    @classmethod
    def of(
        cls,
        descriptors: NDArray[Any],
        sizes: tuple[int, ...],
        readings: Readings,
        persons: Sequence[str],
    ) -> "Pairs":
        """Voices as a model describes them, and photos as the instruments read them."""
        return cls(
            descriptors.astype(np.float64),
            sizes,
            readings.features,
            tuple(persons),
            readings.apparent_gender,
        )

    def take(self, rows: NDArray[np.intp]) -> "Pairs":
        """The clips at `rows`."""
        return Pairs(
            self.descriptors[rows],
            self.sizes,
            {name: feature[rows] for name, feature in self.features.items()},
            tuple(self.persons[row] for row in rows),
            self.genders[rows],
        )


def fit_matcher(pairs: Pairs, hearing_sha256: str, config: MatcherConfig) -> MatchingMaps:
    """The maps that ship, rounded as in their file, with the calibration of their scores.

    Args:
        pairs: of the clips to learn from.
        hearing_sha256: of the hearing graph that described the voices.
        config: every choice.

    Raises:
        Speech2FaceError: too few people, or shares for other parts than there are.
    """
    _refuse_too_few(pairs, config)
    calibration = fit_calibration(*unseen_scores(pairs, config))
    maps = fit_maps(pairs, config)
    return replace(rounded(maps), calibration=calibration, hearing_sha256=hearing_sha256)


def fit_maps(pairs: Pairs, config: MatcherConfig) -> MatchingMaps:
    """The two maps, without what their scores mean.

    Raises:
        Speech2FaceError: shares for other parts than there are.
    """
    names = tuple(pairs.features)
    _refuse_other_parts("face_shares", config.face_shares, names)
    shares = tuple(zip(pairs.sizes, voice_shares(pairs.sizes, config), strict=True))
    voice_scale = standard_scale(torch.from_numpy(pairs.descriptors), shares).numpy()  # [V]
    faces = [unit_rows(pairs.features[name]) for name in names]
    face_scale = np.concatenate(
        [common_scale(*part) for part in zip(faces, config.face_shares, strict=True)]
    )  # [D]
    photos = np.concatenate(faces, axis=1)  # [M, D]
    voice_mean, face_mean = pairs.descriptors.mean(axis=0), photos.mean(axis=0)
    found = fit_correlation(
        (pairs.descriptors - voice_mean) * voice_scale,
        (photos - face_mean) * face_scale,
        first_ridge=config.voice_ridge,
        second_ridge=config.face_ridge,
        n_components=config.n_components,
    )
    voice_weight = _of_size_one(voice_scale[:, None] * found.first * found.correlations).T  # [K, V]
    face_weight = _of_size_one(face_scale[:, None] * found.second * found.correlations).T  # [K, D]
    return MatchingMaps(
        voice_weight=voice_weight.astype(np.float32),
        voice_bias=(-voice_weight @ voice_mean).astype(np.float32),
        face_weight=face_weight.astype(np.float32),
        face_bias=(-face_weight @ face_mean).astype(np.float32),
        recognisers=names,
        calibration=UNCALIBRATED,
        hearing_sha256="",
    )


def voice_shares(sizes: Sequence[int], config: MatcherConfig) -> tuple[float, ...]:
    """The share of the variance of each part of a description, with languages last if any.

    Raises:
        Speech2FaceError: the settings name shares of another number of parts.
    """
    if len(sizes) != len(config.voice_shares) + 1:
        _refuse_other_parts("voice_shares", config.voice_shares, sizes)
        return config.voice_shares
    rest = 1.0 - config.language_share
    return (*(rest * share for share in config.voice_shares), config.language_share)


def common_scale(features: Matrix, share: float) -> Matrix:
    """One factor for all numbers `[D]` of features `[M, D]`: their variances then add up to it."""
    total = float(features.var(axis=0).sum())
    return np.full(features.shape[1], np.sqrt(share / total) if total > 0 else 0.0)


def fold_maps(
    pairs: Pairs, config: MatcherConfig
) -> Iterator[tuple[NDArray[np.intp], MatchingMaps]]:
    """Fold after fold: the rows of its people, and maps that were fitted to all other people."""
    fold = person_folds(pairs.persons, config.n_folds, config.seed).numpy()  # [M]
    for number in range(config.n_folds):
        held, kept = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        yield held, fit_maps(pairs.take(kept), config)


def unseen_scores(pairs: Pairs, config: MatcherConfig) -> tuple[Matrix, Matrix]:
    """Scores of people of folds to which the maps were not fitted.

    Returns:
        Of all true pairs, and of all voices with the faces of other people of the fold whose
        apparent gender is that of the speaker.
    """
    true, strange = [], []
    for held, maps in fold_maps(pairs, config):
        unseen = pairs.take(held)
        voices = maps.of_voices(unseen.descriptors).astype(np.float64)  # [m, K]
        scores = voices @ maps.of_faces(unseen.features).T  # [m, m]
        persons = np.array(unseen.persons)
        is_stranger = (persons[:, None] != persons) & (unseen.genders[:, None] == unseen.genders)
        true.append(scores.diagonal())
        strange.append(scores[is_stranger])
    return np.concatenate(true), np.concatenate(strange)


def fit_calibration(true: Matrix, strange: Matrix) -> Calibration:
    """The most likely calibration, as if there were as many strangers' scores as true ones.

    Logistic regression of one number. The scores of both kinds have weights of equal sum.

    Raises:
        Speech2FaceError: a kind has no scores.
    """
    from scipy.optimize import minimize

    if not (len(true) and len(strange)):
        problem = "no two people of one apparent gender are in one fold"
        raise Speech2FaceError(problem, "give a larger corpus")
    scores = np.concatenate([true, strange])
    sign = np.concatenate([np.ones(len(true)), -np.ones(len(strange))])
    weight = np.concatenate([np.full(len(kind), 0.5 / len(kind)) for kind in (true, strange)])

    def cost(line: Matrix) -> tuple[float, Matrix]:
        """Mean surprise of intercept and slope, and its gradient."""
        margin = sign * (line[0] + line[1] * scores)
        pull = -weight * sign / (1.0 + np.exp(margin))
        return float(weight @ np.logaddexp(0.0, -margin)), np.array([pull.sum(), pull @ scores])

    intercept, slope = minimize(cost, np.zeros(2), jac=True, method="BFGS").x
    return Calibration(float(intercept), float(slope))


def _of_size_one(weight: Matrix) -> Matrix:
    """The map in the unit in which its numbers are about 1, what half precision holds best.

    The cosine does not depend on the unit of either side.
    """
    return np.asarray(weight / np.sqrt(np.mean(weight**2)))


def _refuse_other_parts(name: str, shares: Sequence[float], parts: Sequence[object]) -> None:
    if len(shares) != len(parts):
        problem = f"{name} = {shares} for {len(parts)} parts: {parts}"
        raise Speech2FaceError(problem, f"give {len(parts)} shares")


def _refuse_too_few(pairs: Pairs, config: MatcherConfig) -> None:
    n_people, wanted = len(set(pairs.persons)), 2 * config.n_folds
    if n_people < wanted:
        problem = f"{n_people} people with a voice and a photo that can be used"
        raise Speech2FaceError(problem, f"give a corpus of at least {wanted}")

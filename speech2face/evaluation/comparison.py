"""What is compared: systems x recognisers x clips x distractors, all with their labels.

A `Comparison` holds numbers and names only. It is made from two feature files (`of_features`), or
from what instruments read in pictures (`TrueFaces.of_readings`, `System.of_readings`). Every
protocol is a function of it (`protocols`), so our system, others and published images are judged by
the same code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.controls import shares_group
from speech2face.evaluation.features import (
    MISSING_LABEL,
    FeatureSet,
    Provenance,
    align,
    check_comparable,
)
from speech2face.evaluation.scores import Distance, as_features
from speech2face.evaluation.uncertainty import PersonBootstrap, as_names
from speech2face.face.instruments import DISTANCES, Readings

GENDER = "gender"  # the label that the gender oracle and the same-gender figures read
GENDERS = ("female", "male")  # the attribute classifier's words

Features = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueFaces:
    """True photos of the clips or of distractors, each with its person and labels.

    Attributes:
        ids: names of the clips or photos, `[N]`.
        persons: whose they are, `[N]`.
        features: of each recogniser by its name, `[N, D]`.
        labels: columns by name, `""` where unknown, `[N]` each.
        readings: what the instruments read in the photos; None if only features are known.
        pictures: the files, `[N]`; empty if only features are known.
    """

    ids: NDArray[np.str_]
    persons: NDArray[np.str_]
    features: Mapping[str, Features]
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    readings: Readings | None = None
    pictures: Sequence[Path] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        as_names(self.persons, n, "persons")
        for name, column in self.labels.items():
            as_names(column, n, f"labels {name!r}")
        _check_rows(self.features, n, "true")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_readings(
        cls,
        ids: ArrayLike,
        persons: ArrayLike,
        readings: Readings,
        labels: Mapping[str, NDArray[np.str_]] | None = None,
        pictures: Sequence[Path] = (),
    ) -> TrueFaces:
        """True photos as the instruments read them.

        The gender of each is the label `gender` if every photo has one of the classifier's two
        words, else the classifier's reading.
        """
        known = dict(labels or {})
        if not set(known.get(GENDER, np.array([""])).tolist()) <= set(GENDERS):
            known[GENDER] = readings.apparent_gender
        return cls(
            np.asarray(ids, np.str_),
            np.asarray(persons, np.str_),
            readings.features,
            known,
            readings,
            pictures,
        )

    @classmethod
    def of_strangers(cls, readings: Readings, pictures: Sequence[Path]) -> TrueFaces:
        """Photos of people outside the clips, each a person whose name no clip can have."""
        names = np.array([f"distractor/{picture.stem}" for picture in pictures])
        return cls.of_readings(names, names, readings, pictures=pictures)


@dataclass(frozen=True, eq=False)
class System:
    """What one system made from the clips: features, and faces if it draws any.

    Attributes:
        name: as in the tables.
        features: of each recogniser by its name, `[Q, D]`, in the order of the clips.
        trained_with: recognisers that had a part in its training; they do not judge independently.
        is_ceiling: whether it saw the true photo (F2F) instead of hearing the voice.
        readings: what the instruments read in its faces, `[Q]`.
        pictures: its faces, `[Q]`.
    """

    name: str
    features: Mapping[str, Features]
    trained_with: frozenset[str] = frozenset()
    is_ceiling: bool = False
    readings: Readings | None = None
    pictures: Sequence[Path] = ()

    @classmethod
    def of_readings(
        cls,
        name: str,
        readings: Readings,
        pictures: Sequence[Path] = (),
        *,
        trained_with: frozenset[str] = frozenset(),
        is_ceiling: bool = False,
    ) -> System:
        """A system of which only the faces are known."""
        return cls(name, readings.features, trained_with, is_ceiling, readings, pictures)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Systems on the same clips, in one gallery of true photos.

    Attributes:
        clips: the true photo of each clip, `[Q]`.
        systems: the first is ours; a ceiling comes last.
        distractors: photos of further people; with the clips' own they are the gallery, `[G]`.
        training: features of true photos that a model learned from, for the mean face, by
            recogniser, `[T, D]`.
        frontal: faces made from the true photos, for the craniofacial measures.
        distances: of recognisers, where it is not the one of `face.instruments.DISTANCES`.
        seed: of resamples, shuffles and trial lists.
    """

    clips: TrueFaces
    systems: tuple[System, ...]
    distractors: TrueFaces | None = None
    training: Mapping[str, Features] = field(default_factory=dict)
    frontal: System | None = None
    distances: Mapping[str, Distance] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.systems:
            raise Speech2FaceError("nobody to judge", "give at least one system's features")
        if not len(self.clips):
            raise Speech2FaceError("there is no clip to judge on", "give at least one clip")
        for system in self.systems:
            _check_rows(system.features, len(self.clips), system.name)

    @classmethod
    def of_features(
        cls,
        predicted: FeatureSet,
        reference: FeatureSet,
        *,
        distractors: FeatureSet | None = None,
        training: FeatureSet | None = None,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        distance: Distance = "cosine",
        seed: int = 0,
    ) -> Comparison:
        """One system's predicted features against those of the true photos of the same clips.

        Args:
            predicted: from voices.
            reference: of the true photos.
            distractors: of further people's photos.
            training: of true photos that the model learned from.
            labels: columns by name, each the value by the id of a clip or of a distractor.
            distance: of the figures that take one; retrieval gives all three.
            seed: of resamples, shuffles and trial lists.

        Raises:
            Speech2FaceError: ids or persons that do not match, features that cannot be compared,
                or one person only.
        """
        made, true = align(predicted, reference)
        if len(np.unique(made.persons)) < 2:
            raise Speech2FaceError(
                f"all {len(made)} clips are of one person",
                "give clips of at least two persons",
                predicted.path,
            )
        for other in (distractors, training):
            if other is not None:
                check_comparable(made, other)
        recogniser = made.provenance.recogniser or true.provenance.recogniser or "features"

        def faces(features: FeatureSet) -> TrueFaces:
            columns = {
                name: np.array([column.get(one, MISSING_LABEL) for one in features.ids.tolist()])
                for name, column in (labels or {}).items()
            }
            return TrueFaces(features.ids, features.persons, _by(recogniser, features), columns)

        return cls(
            faces(true),
            (System("from voices", _by(recogniser, made)),),
            None if distractors is None else faces(distractors),
            {} if training is None else _by(recogniser, training),
            distances={recogniser: distance},
            seed=seed,
        )

    @property
    def recognisers(self) -> tuple[str, ...]:
        """Names of the judges."""
        return tuple(self.clips.features)

    @property
    def persons(self) -> NDArray[np.str_]:
        """Who speaks in each clip, `[Q]`."""
        return self.clips.persons

    @property
    def rivals(self) -> tuple[System, ...]:
        """Systems whose input is a voice: all but the ceilings."""
        return tuple(one for one in self.systems if not one.is_ceiling)

    @property
    def genders(self) -> NDArray[np.str_] | None:
        """Apparent gender of each clip's person, `[Q]`, where it is known."""
        return self.clips.labels.get(GENDER)

    def shared_genders(self) -> NDArray[np.str_] | None:
        """The same, or None where no two persons share a gender."""
        genders = self.genders
        return genders if genders is not None and shares_group(self.persons, genders) else None

    def distance(self, recogniser: str) -> Distance:
        """How features of this recogniser are compared."""
        return self.distances.get(recogniser) or DISTANCES.get(recogniser, "cosine")

    def closed(self) -> Comparison:
        """The same with the clips' own photos only, where a constant scores chance (P17)."""
        return replace(self, distractors=None)

    def gallery_features(self, recogniser: str) -> Features:
        """`[G, D]`, the clips' own photos first."""
        own = self.clips.features[recogniser]
        if self.distractors is None:
            return own
        return np.concatenate([own, self.distractors.features[recogniser]])

    def gallery_persons(self) -> NDArray[np.str_]:
        """`[G]`."""
        if self.distractors is None:
            return self.persons
        return np.concatenate([self.persons, self.distractors.persons])

    def gallery_labels(self, name: str) -> NDArray[np.str_] | None:
        """A label of every face of the gallery, `""` where unknown, `[G]`; None: nobody has it."""
        own = self.clips.labels.get(name)
        if own is None or self.distractors is None:
            return own
        unknown = np.full(len(self.distractors), MISSING_LABEL)
        return np.concatenate([own, self.distractors.labels.get(name, unknown)])

    def oracle_genders(self) -> NDArray[np.str_] | None:
        """Gender of every face of the gallery, `[G]`; None unless all of them are known.

        An oracle that knows the gender of some faces only would reject all the others, and would
        look far better than gender is.
        """
        genders = self.gallery_labels(GENDER)
        return None if genders is None or (genders == MISSING_LABEL).any() else genders

    def gallery_pictures(self) -> list[Path]:
        """`[G]`."""
        others = [] if self.distractors is None else self.distractors.pictures
        return [*self.clips.pictures, *others]

    def bootstrap(self) -> PersonBootstrap:
        """The same resamples of persons for every figure."""
        return PersonBootstrap.draw(self.persons, self.gallery_persons(), seed=self.seed)

    def feature_set(self, features: Mapping[str, Features], recogniser: str) -> FeatureSet:
        """Features of the clips, `[Q, D]`, under the clips' ids and persons, for trial lists."""
        provenance = Provenance(recogniser=recogniser)
        values = features[recogniser].astype(np.float32)
        return FeatureSet(self.clips.ids, self.persons, values, provenance)


def _by(recogniser: str, features: FeatureSet) -> dict[str, Features]:
    return {recogniser: features.values.astype(np.float64)}


def _check_rows(features: Mapping[str, Features], n: int, what: str) -> None:
    for recogniser, values in features.items():
        if len(as_features(values, f"{what} {recogniser}")) != n:
            raise Speech2FaceError(
                f"{len(values)} features of {what} by {recogniser} for {n} clips",
                "give one for every clip, in the order of the clips",
            )

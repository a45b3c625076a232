"""Folders of faces, read by fixed instruments (P17).

Readings are stored under the hash of the picture's content and the names of the instruments, so a
second report reads only what is new, and a killed one continues. The instruments themselves are in
`face.instruments`; reading with a store is here because the store of a run is above that room.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.face.image import RGBImage, open_image
from speech2face.face.instruments import Instruments, Reading, Readings
from speech2face.files import write_whole

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

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
    instruments = instruments or Instruments()
    return PictureList(list(paths), [_read_one(path, cache, instruments) for path in paths])


def read_lists(
    lists: Mapping[str, Sequence[Path]],
    *,
    cache: Path,
    workers: int = 1,
    instruments: Instruments | None = None,
) -> dict[str, PictureList]:
    """`read_pictures` of several lists, each by one of `workers` processes.

    Every process opens its own instruments; the readings do not depend on how many there are.
    """
    instruments = instruments or Instruments()
    if workers > 1:
        # The longest list first, so that no process is left with it at the end.
        order = sorted(lists, key=lambda name: -len(lists[name]))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting = {
                name: pool.submit(read_pictures, lists[name], cache=cache, instruments=instruments)
                for name in order
            }
            done = {name: future.result() for name, future in waiting.items()}
    else:
        done = {
            name: read_pictures(paths, cache=cache, instruments=instruments)
            for name, paths in lists.items()
        }
    for name in lists:
        n_unreadable = int((~done[name].readable).sum())
        _log.info("%s: %d pictures read, %d unreadable", name, len(lists[name]), n_unreadable)
    return {name: done[name] for name in lists}


def _read_one(
    path: Path, cache: Path | None, instruments: Instruments
) -> Reading | Speech2FaceError:
    stored = None
    try:
        if cache is not None:
            stored = cache / instruments.name / f"{_sha256(path)}.npz"
            if (kept := _stored_reading(stored)) is not None:
                return kept
        image: RGBImage = open_image(path)
    except Speech2FaceError as error:  # of this picture; an instrument that is missing raises below
        return error
    reading = instruments.read(image)
    if stored is not None:
        content = BytesIO()
        np.savez(content, **reading)  # type: ignore[arg-type]
        write_whole(stored, content.getvalue())
    return reading


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Speech2FaceError("the picture cannot be read", "check the path", str(path)) from error


def _stored_reading(stored: Path) -> Reading | None:
    """What is in the store; None if it is not there, or damaged."""
    try:
        with stored.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
        return None

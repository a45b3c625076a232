"""Features on disk, computed by a model from clips or by a recogniser from photos.

A `FeatureSet` is one safetensors file: the matrix `values`, and in its header the ids, the persons
and where the features come from. A file is untrusted until it has been read whole: unequal
lengths, repeated ids, NaN or zero vectors are errors that name the file and the remedy.

`Labels` is a JSONL or CSV file of further columns (gender, age group, language) by id or person.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole
from speech2face.records import csv_rows, jsonl_rows, parse_json_object, shown
from speech2face.tensor_files import content_of_arrays, read_arrays

FORMAT = 1
MAKE_AGAIN = "make the file again with `speech2face extract`"
MISSING_LABEL = ""  # a person without a label is left out of strata that need it
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Provenance:
    """Where features come from; empty or None means unknown, and is shown as such.

    Attributes:
        model: name of the voice model, or the recogniser itself for true photos.
        model_sha256: of the model file.
        recogniser: which recogniser the features belong to, such as `dlib-resnet-128`.
        exaggeration: alpha of the model, None for true photos.
        clip_seconds: length of speech heard, None for true photos.
        corpus: which clips.
        licence: what may be done with the features, in words.
    """

    model: str = ""
    model_sha256: str = ""
    recogniser: str = ""
    exaggeration: float | None = None
    clip_seconds: float | None = None
    corpus: str = ""
    licence: str = ""

    @classmethod
    def from_json(cls, record: object, path: str) -> Provenance:
        """Checked against the fields above: an unknown or ill-typed entry is an error."""
        known = {entry.name for entry in fields(cls)}
        numbers = {"exaggeration", "clip_seconds"}
        if not isinstance(record, dict) or not record.keys() <= known:
            raise Speech2FaceError("the provenance in the header is malformed", MAKE_AGAIN, path)
        for name, value in record.items():
            allowed = (int, float, type(None)) if name in numbers else (str,)
            if not isinstance(value, allowed) or isinstance(value, bool):
                raise Speech2FaceError(f"{name} is {shown(value)} in the header", MAKE_AGAIN, path)
        return cls(**record)


@dataclass(frozen=True)
class FeatureSet:
    """Features with the id and the person of each.

    Attributes:
        ids: distinct names of clips or photos, `[N]`.
        persons: whose they are, `[N]`.
        values: float32, `[N, D]`, finite, no row of zeros.
        provenance: where they come from.
        path: file they were read from, for messages only.
    """

    ids: NDArray[np.str_]
    persons: NDArray[np.str_]
    values: NDArray[np.float32]
    provenance: Provenance = field(default_factory=Provenance)
    path: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", np.asarray(self.ids, dtype=np.str_))
        object.__setattr__(self, "persons", np.asarray(self.persons, dtype=np.str_))
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float32))
        if problem := self._problem():
            raise Speech2FaceError(problem, MAKE_AGAIN, self.path)

    def __len__(self) -> int:
        return len(self.ids)

    def _problem(self) -> str | None:
        if self.values.ndim != 2 or 0 in self.values.shape:
            return f"features have shape {self.values.shape}, expected `[N, D]` with N, D > 0"
        if not self.ids.shape == self.persons.shape == (len(self.values),):
            lengths = f"{self.ids.size} ids, {self.persons.size} persons"
            return f"{lengths}, {len(self.values)} features: the lengths differ"
        names, counts = np.unique(self.ids, return_counts=True)
        if (counts > 1).any():
            return f"ids appear more than once: {_first(names[counts > 1])}"
        if len(bad := self.ids[~np.isfinite(self.values).all(axis=1)]):
            return f"NaN or infinite features: {_first(bad)}"
        if len(bad := self.ids[~self.values.any(axis=1)]):
            return f"features of norm zero: {_first(bad)}"
        return None

    def rows(self, ids: ArrayLike) -> NDArray[np.intp]:
        """Row of each id, in the order asked for.

        Raises:
            Speech2FaceError: an id is not in this set; names the first few.
        """
        wanted = np.asarray(ids, dtype=np.str_)
        order = np.argsort(self.ids)
        place = np.searchsorted(self.ids, wanted, sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        if len(absent := np.unique(wanted[self.ids[row] != wanted])):
            raise Speech2FaceError(
                f"no features for {_first(absent)}",
                "extract these too, or leave them out of the list",
                self.path,
            )
        return np.asarray(row)

    def at(self, rows: ArrayLike) -> FeatureSet:
        """The items of these rows (or where a mask is true), in their order."""
        index = np.asarray(rows)
        return FeatureSet(
            self.ids[index], self.persons[index], self.values[index], self.provenance, self.path
        )

    def joined(self, other: FeatureSet) -> FeatureSet:
        """This set followed by `other`, such as true faces followed by distractors.

        Raises:
            Speech2FaceError: different feature sizes or recognisers, or a shared id.
        """
        check_comparable(self, other)
        return FeatureSet(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.persons, other.persons]),
            np.concatenate([self.values, other.values]),
            self.provenance,
            self.path,
        )

    def save(self, path: Path | str) -> None:
        """Write one safetensors file.

        Raises:
            Speech2FaceError: it cannot be written; names the file.
        """
        header = {
            "format": FORMAT,
            "ids": self.ids.tolist(),
            "persons": self.persons.tolist(),
            "provenance": asdict(self.provenance),
        }
        values = {"values": self.values}
        write_whole(path, content_of_arrays(values, json.dumps(header), extra="evaluate"))

    @classmethod
    def load(cls, path: Path | str) -> FeatureSet:
        """Read and check a file that `save` wrote.

        Raises:
            Speech2FaceError: absent, damaged, foreign or unusable; names the file.
        """
        name = str(path)
        if not os.path.isfile(path):  # False also for a name that cannot be
            raise Speech2FaceError("there is no such feature file", MAKE_AGAIN, name)
        try:
            said, arrays = read_arrays(name, ["values"], extra="evaluate")
        except ValueError as damage:
            problem = f"not a readable feature file ({damage})"
            raise Speech2FaceError(problem, MAKE_AGAIN, name) from damage
        values = arrays["values"]
        header = parse_json_object(said, name, remedy=MAKE_AGAIN, part="its header")
        if header.get("format") != FORMAT:
            raise Speech2FaceError("written in another format", MAKE_AGAIN, name)
        if values.dtype.kind != "f":
            raise Speech2FaceError(f"features are {values.dtype}, not floats", MAKE_AGAIN, name)
        return cls(
            _names(header, "ids", name),
            _names(header, "persons", name),
            values,
            Provenance.from_json(header.get("provenance", {}), name),
            name,
        )


def align(
    predicted: FeatureSet, reference: FeatureSet, *, partial: bool = False
) -> tuple[FeatureSet, FeatureSet]:
    """Both sets on the ids of `predicted`, sorted, so that rows correspond.

    Args:
        predicted: features made from voices.
        reference: features of the true faces of the same clips.
        partial: leave out reference items without a prediction, instead of refusing them.

    Raises:
        Speech2FaceError: ids without a partner, another person under one id, other feature sizes.
    """
    check_comparable(predicted, reference)
    ids = np.sort(predicted.ids)
    if len(unmatched := np.setdiff1d(ids, reference.ids)):
        raise Speech2FaceError(
            f"no reference feature for {_first(unmatched)}",
            f"extract these from the true faces too ({reference.path or 'reference'}), "
            "or leave them out",
            predicted.path,
        )
    if not partial and len(unheard := np.setdiff1d(reference.ids, ids)):
        raise Speech2FaceError(
            f"no prediction for {_first(unheard)}",
            "extract these too: dropping failed clips flatters a system; or say partial",
            predicted.path,
        )
    first, second = predicted.at(predicted.rows(ids)), reference.at(reference.rows(ids))
    if len(mixed := ids[first.persons != second.persons]):
        raise Speech2FaceError(
            f"predicted and reference name different persons for {_first(mixed)}",
            "extract both from one manifest",
            predicted.path,
        )
    return first, second


def check_comparable(first: FeatureSet, second: FeatureSet) -> None:
    """Refuse features of different sizes or of different recognisers."""
    sizes = first.values.shape[1], second.values.shape[1]
    names = first.provenance.recogniser, second.provenance.recogniser
    if sizes[0] != sizes[1] or (all(names) and names[0] != names[1]):
        raise Speech2FaceError(
            f"features of {names[0] or 'unknown'} ({sizes[0]} numbers) cannot be compared with "
            f"those of {names[1] or 'unknown'} ({sizes[1]} numbers) in {second.path or 'memory'}",
            "extract both with one recogniser",
            first.path,
        )


@dataclass(frozen=True)
class Labels:
    """Columns of a JSONL or CSV file by their key; a missing value is `""`.

    Attributes:
        rows: columns and values of each key.
        key: name of the key column, `id` or `person`.
        path: the file.
    """

    rows: Mapping[str, Mapping[str, str]]
    key: str
    path: str

    @classmethod
    def read(cls, path: Path | str, *, key: str = "id") -> Labels:
        """Read `path` (`.jsonl`, or `.csv` with a header line).

        Raises:
            Speech2FaceError: absent, malformed, without the key column, or a key with two values.
        """
        name = str(path)
        rows: dict[str, dict[str, str]] = {}
        for where, record in _records(Path(path)):
            if not record.get(key):
                raise Speech2FaceError(f"has no {key!r}", f"give every row a {key!r}", where)
            value = record.pop(key)
            if rows.setdefault(value, record) != record:
                raise Speech2FaceError(
                    f"{key} {value!r} has two different sets of labels", "keep one of them", name
                )
        return cls(rows, key, name)

    @property
    def columns(self) -> list[str]:
        """Every column that some row has, sorted."""
        return sorted({column for row in self.rows.values() for column in row})

    def column(self, name: str, keys: ArrayLike) -> NDArray[np.str_]:
        """Values of one column for each key, `""` where there is none, `[n]`.

        Raises:
            Speech2FaceError: the file has no such column, or knows none of the keys.
        """
        if name not in self.columns:
            raise Speech2FaceError(
                f"no label column {name!r}", f"known columns are {self.columns}", self.path
            )
        wanted = np.asarray(keys, dtype=np.str_)
        if not any(str(key) in self.rows for key in wanted):
            raise Speech2FaceError(
                f"none of the {len(wanted)} {self.key}s is in the file, asked for {_first(wanted)}",
                f"check that its column {self.key!r} uses the same names as the features",
                self.path,
            )
        nothing: Mapping[str, str] = {}
        return np.array(
            [self.rows.get(str(key), nothing).get(name, MISSING_LABEL) for key in wanted],
            dtype=np.str_,
        )


def _records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and columns of every record; numbers become text, null becomes `""`."""
    if path.suffix == ".csv":
        for where, row in csv_rows(path):
            yield where, {column: value.strip() for column, value in row.items()}
        return
    for where, record in jsonl_rows(path):
        yield where, {column: _text(value) for column, value in record.items()}


def _text(value: object) -> str:
    return MISSING_LABEL if value is None else str(value)


def _names(header: Mapping[str, Any], entry: str, path: str) -> NDArray[np.str_]:
    names = header.get(entry)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Speech2FaceError(f"the header holds no list of {entry}", MAKE_AGAIN, path)
    return np.array(names, dtype=np.str_)


def _first(names: Sequence[str] | Iterable[str]) -> str:
    """The first few names and how many more there are."""
    every = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in every[:_NAMES_SHOWN])
    return shown + (f" and {len(every) - _NAMES_SHOWN} more" if len(every) > _NAMES_SHOWN else "")

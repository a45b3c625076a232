"""A corpus as a file: one sample per line, in JSON, with paths relative to the file itself."""

import json
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from speech2face.data.sample import Sample
from speech2face.data.splits import check_disjoint
from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole
from speech2face.records import jsonl_rows, shown

_PATHS = ("voice", "face", "canonical", "landmarks")
_KNOWN = {attribute.name for attribute in fields(Sample)}
_REQUIRED = ("id", "person", "voice")


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples in the given order. The file is complete or absent.

    Raises:
        Speech2FaceError: an id occurs twice, or a person or a video is in two splits.
    """
    write_whole(path, manifest_content(path, samples))


def manifest_content(path: Path, samples: Iterable[Sample]) -> bytes:
    """The bytes that `write_manifest` writes; it raises the same errors."""
    samples = list(samples)
    _check_unique(samples, str(path))
    check_disjoint(samples, str(path))
    lines = [json.dumps(_as_json(sample, path.parent), sort_keys=True) for sample in samples]
    return "".join(line + "\n" for line in lines).encode()


def read_manifest(path: Path) -> list[Sample]:
    """Samples in the order of the file.

    Raises:
        Speech2FaceError: a line is wrong, an id occurs twice, or a person or a video is in two
            splits. The error names the file and the line.
    """
    samples = [_sample_of(record, path.parent, where) for where, record in jsonl_rows(path)]
    if not samples:
        raise Speech2FaceError("the manifest is empty", "write one sample per line", str(path))
    _check_unique(samples, str(path))
    check_disjoint(samples, str(path))
    return samples


def _as_json(sample: Sample, folder: Path) -> dict[str, Any]:
    """The fields that are set, with paths relative to `folder` and in POSIX form."""
    record: dict[str, Any] = {}
    for name in (attribute.name for attribute in fields(Sample)):
        value = getattr(sample, name)
        if name == "teachers":
            value = {teacher: _relative(file, folder) for teacher, file in value.items()}
        elif name in _PATHS and value is not None:
            value = _relative(value, folder)
        elif name == "labels":
            value = dict(value)
        if value not in (None, {}):
            record[name] = value
    return record


def _sample_of(record: dict[str, Any], folder: Path, where: str) -> Sample:
    if unknown := sorted(record.keys() - _KNOWN):
        raise Speech2FaceError(f"unknown keys {unknown}", f"known are {sorted(_KNOWN)}", where)
    if absent := [name for name in _REQUIRED if name not in record]:
        needed = ", ".join(_REQUIRED)
        raise Speech2FaceError(f"no {', no '.join(absent)}", f"every sample needs {needed}", where)
    _check_types(record, where)
    for name in _PATHS:
        if name in record:
            record[name] = folder / record[name]
    teachers = record.get("teachers", {})
    record["teachers"] = {teacher: folder / file for teacher, file in teachers.items()}
    try:
        return Sample(**record)
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, where) from error


def _check_types(record: dict[str, Any], where: str) -> None:
    for name, value in record.items():
        if name in ("teachers", "labels"):
            good = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
            expected = "an object of strings"
        elif name == "seconds":
            good = isinstance(value, int | float) and not isinstance(value, bool)
            expected = "a number"
        else:
            good, expected = isinstance(value, str), "a string"
        if not good:
            raise Speech2FaceError(f"{name} is {shown(value)}", f"{name} must be {expected}", where)


def _check_unique(samples: Iterable[Sample], path: str) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise Speech2FaceError(
                f"sample id {sample.id!r} occurs twice", "give every clip its own id", path
            )
        seen.add(sample.id)


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()

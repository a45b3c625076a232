"""Strict reading of JSON, JSON lines, CSV and TOML that somebody else may have written.

Such a file can be huge, cut off, of another alphabet, nested a thousand times or full of numbers
that no float holds. Here everything about it is bounded before a parser sees it, and whatever is
wrong becomes one `Speech2FaceError` that names the file, the line and what to do. Values are not
judged here: which keys a record needs is the business of whoever reads it.
"""

import csv
import json
import math
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO, NoReturn

from speech2face.errors import Speech2FaceError

MAX_BYTES = 2**26  # of a document that is read whole: 64 MiB, the header of a million features
MAX_LINE_BYTES = 2**24  # of one row: 16 MiB
MAX_FIELD = 2**17  # characters of one field of a CSV file; the limit of the csv module
MAX_TOML_BYTES = 2**20  # of a file of settings: 1 MiB
MAX_DEPTH = 64  # brackets within brackets
MAX_BRACKETS = 2**20  # opened in one JSON document: each becomes an object of 56 bytes or more
MAX_DIGITS = 40  # of an integer: 128 bits, so that every integer is also a finite float

WRITE_AGAIN = "write the file again, or correct it by hand"

PathName = str | os.PathLike[str]

# A string, or one bracket. The closing quote is optional: without it a broken string would be
# searched again from each of its quotes, in quadratic time.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_STRING_OR_BRACKET = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_NO_BRACKET = re.compile(r'[^\[\]{}"]++|' + _STRING, re.DOTALL)
_MANY_DIGITS = re.compile(rf"(?:^|[\s,:\[-])[0-9]{{{MAX_DIGITS + 1}}}")  # a number, not a key
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89abAB])|\\u[dD][c-fC-F]")


def open_file(path: PathName) -> BinaryIO:
    """A file opened for reading its bytes.

    Raises:
        Speech2FaceError: no such file, a folder, no right to read it, or no possible name.
    """
    name = os.fspath(path)
    try:
        return open(name, "rb")
    except FileNotFoundError as error:
        raise Speech2FaceError("there is no such file", "check the path", name) from error
    except IsADirectoryError as error:
        raise Speech2FaceError("is a folder", "give a file", name) from error
    except PermissionError as error:
        remedy = "give yourself the right to read it"
        raise Speech2FaceError("may not be read", remedy, name) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise Speech2FaceError(f"cannot be opened ({error})", "check the path", name) from error


def read_text(path: PathName, *, max_bytes: int = MAX_BYTES) -> str:
    """The whole text of a UTF-8 file, without a byte order mark.

    Raises:
        Speech2FaceError: cannot be opened, larger than `max_bytes`, not UTF-8, or with NUL bytes.
    """
    name = os.fspath(path)
    with open_file(path) as file:
        content = _read(file, max_bytes + 1, name)
    if len(content) > max_bytes:
        problem = f"is larger than {max_bytes:,} bytes"
        raise Speech2FaceError(problem, "check that this is the right file", name)
    return _decoded(content, name)


def lines(path: PathName) -> Iterator[tuple[str, str]]:
    """The lines of a UTF-8 file one by one, each after where it stands: `("file, line 3", "...")`.

    Only a line feed ends a line, with or without a carriage return: other separators of Unicode
    are ordinary characters in JSON. Files of any length take the memory of one line.

    Raises:
        Speech2FaceError: cannot be opened, a line above `MAX_LINE_BYTES`, not UTF-8, a NUL byte.
    """
    name = os.fspath(path)
    with open_file(path) as file:
        number = 0
        while content := _read(file, MAX_LINE_BYTES + 1, name, line=True):
            number += 1
            where = f"{name}, line {number}"
            if len(content) > MAX_LINE_BYTES:
                problem = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
                raise Speech2FaceError(problem, "check that this is the right file", where)
            yield where, _decoded(content, name, number).removesuffix("\n").removesuffix("\r")


def can_be_stored(text: str) -> bool:
    """Whether the readers of this module would take the text back.

    They refuse NUL characters and, as in a name of a file that is not UTF-8, halves of surrogate
    pairs.
    """
    return not _IMPOSSIBLE.search(text)


def parse_json(text: str, path: PathName, *, remedy: str = WRITE_AGAIN, part: str = "") -> Any:
    """The value that a JSON text stands for.

    Stricter than the standard library: NaN and infinity, a key that occurs twice in one object
    (readers disagree about which one counts), NUL characters and half of a surrogate pair (no
    file name and no output can hold them) are refused.

    Args:
        text: one JSON document.
        path: of the file, for messages; "FILE, line 3" for one line of it.
        remedy: what to do, for messages.
        part: which part of the file this is, for messages, such as "its header".

    Raises:
        Speech2FaceError: not JSON, or beyond `MAX_BYTES`, `MAX_BRACKETS`, `MAX_DEPTH` or
            `MAX_DIGITS`.
    """
    problem: str | None = _too_much(text)
    if problem is None:
        try:
            value = _decoder(has_many_digits=bool(_MANY_DIGITS.search(text))).decode(text)
            if _SUSPECT_ESCAPE.search(text):
                _refuse_impossible_text(value)
            return value
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            problem = f"is not JSON ({error.msg}: {place})"
        except ValueError as error:  # of the functions below
            problem = str(error)
    raise Speech2FaceError(f"{part} {problem}".strip(), remedy, os.fspath(path))


def parse_json_object(
    text: str, path: PathName, *, remedy: str = WRITE_AGAIN, part: str = ""
) -> dict[str, Any]:
    """As `parse_json`, for a text that must be an object: keys and values in braces."""
    value = parse_json(text, path, remedy=remedy, part=part)
    if not isinstance(value, dict):
        problem = f"{part} is not a JSON object".strip()
        raise Speech2FaceError(problem, remedy, os.fspath(path))
    return value


def read_json(path: PathName, *, remedy: str = WRITE_AGAIN) -> Any:
    """The value of a JSON file; errors as of `read_text` and `parse_json`."""
    return parse_json(read_text(path), path, remedy=remedy)


def read_json_object(path: PathName, *, remedy: str = WRITE_AGAIN) -> dict[str, Any]:
    """As `read_json`, for a file that must hold an object: keys and values in braces."""
    return parse_json_object(read_text(path), path, remedy=remedy)


def jsonl_rows(
    path: PathName, *, remedy: str = "write one JSON object per line"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON lines, each after where it stands; blank lines are skipped.

    Raises:
        Speech2FaceError: as of `lines` and `parse_json_object`, naming the line.
    """
    for where, line in lines(path):
        if line.strip():
            yield where, parse_json_object(line, where, remedy=remedy)


def csv_rows(path: PathName) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file whose first row names the columns, each after where it stands.

    Raises:
        Speech2FaceError: as of `lines`; or columns without a name or of one name, a row of
            another length, an open quote, or a field above `MAX_FIELD`.
    """
    name = os.fspath(path)
    reader = csv.reader((line + "\n" for _, line in lines(path)), strict=True)
    columns: list[str] | None = None
    remedy = "write as many fields in each row as there are columns in the first"
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = f"{name}, line {reader.line_num}"
            raise Speech2FaceError(f"is not CSV ({error})", remedy, where) from error
        where = f"{name}, line {reader.line_num}"
        if not fields:
            continue
        if columns is None:
            columns = fields
            if len(set(columns)) < len(columns) or "" in columns:
                problem = "two columns have one name, or one has none"
                raise Speech2FaceError(problem, "give each column its own name", where)
            continue
        if len(fields) != len(columns):
            problem = f"has {len(fields)} fields in {len(columns)} columns"
            raise Speech2FaceError(problem, remedy, where)
        yield where, dict(zip(columns, fields, strict=True))


def parse_toml(text: str, path: PathName | None = None) -> dict[str, Any]:
    """The tables of a TOML text: settings.

    Raises:
        Speech2FaceError: not TOML, nested above `MAX_DEPTH`, longer than `MAX_TOML_BYTES`, or
            with a number that is not finite or above `MAX_DIGITS`.
    """
    where = None if path is None else os.fspath(path)
    remedy = "write `key = value` in TOML"
    if len(text) > MAX_TOML_BYTES:
        raise Speech2FaceError(f"is longer than {MAX_TOML_BYTES:,} characters", remedy, where)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib is Python: its recursion ends safely
        raise Speech2FaceError(f"is not TOML ({error})", remedy, where) from error
    _refuse_extremes(tables, remedy, where)
    return tables


def read_toml(path: PathName) -> dict[str, Any]:
    """The tables of a TOML file; errors as of `read_text` and `parse_toml`."""
    return parse_toml(read_text(path, max_bytes=MAX_TOML_BYTES), path)


def _read(file: BinaryIO, n_bytes: int, name: str, *, line: bool = False) -> bytes:
    try:
        return file.readline(n_bytes) if line else file.read(n_bytes)
    except OSError as error:
        raise Speech2FaceError(f"cannot be read ({error})", "check the disk", name) from error


def _decoded(content: bytes, name: str, first_line: int = 1) -> str:
    """UTF-8 text; an error names the line and the byte in it."""
    if (place := content.find(b"\0")) >= 0:
        where = _line_of(content[:place], name, first_line)
        remedy = "give a text file in UTF-8; this one is binary, damaged or UTF-16"
        raise Speech2FaceError("holds a NUL byte", remedy, where)
    try:
        return content.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        before, bad = error.object[: error.start], error.object[error.start]
        column = len(before) - before.rfind(b"\n")  # from 1; without a byte order mark
        problem = f"is not UTF-8 (byte {column} of the line is 0x{bad:02x})"
        where = _line_of(before, name, first_line)
        raise Speech2FaceError(problem, "save the file as UTF-8", where) from error


def _line_of(before: bytes, name: str, first_line: int) -> str:
    newlines = before.count(b"\n")
    return f"{name}, line {first_line + newlines}"


def _too_much(text: str) -> str | None:
    """What about a JSON text would cost a parser too much memory or stack, if anything."""
    if len(text) > MAX_BYTES:
        return f"is longer than {MAX_BYTES:,} characters"
    n_brackets = text.count("[") + text.count("{")
    if n_brackets > MAX_BRACKETS:
        return f"holds more than {MAX_BRACKETS:,} lists and objects"
    if n_brackets <= MAX_DEPTH or _is_flat(text):
        return None
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = text[match.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} deep"
    return None


def _is_flat(text: str) -> bool:
    """Whether the brackets of a JSON text are nested no deeper than allowed, found quickly.

    False does not say that they are. Each round removes the innermost pairs of brackets.
    """
    brackets = _NO_BRACKET.sub("", text)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return True
        brackets = brackets.replace("[]", "").replace("{}", "")
    return not brackets


@cache
def _decoder(*, has_many_digits: bool) -> json.JSONDecoder:
    """One for all texts: `json.loads` would make a new one each time, and each is a cycle."""
    return json.JSONDecoder(
        object_pairs_hook=_object,
        parse_int=_integer if has_many_digits else int,  # which is faster
        parse_float=_finite,
        parse_constant=_no_number,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"holds the key {shown(counts.most_common(1)[0][0])} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"holds an integer of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"holds the number {shown(digits)}, which is beyond every float")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no number of JSON")


def _refuse_impossible_text(value: Any) -> None:
    """Refuse NUL and halves of surrogate pairs in any string of a value, keys included."""
    if isinstance(value, str):
        if _IMPOSSIBLE.search(value):
            raise ValueError(f"holds the impossible text {shown(value)}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_impossible_text(key)
            _refuse_impossible_text(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_impossible_text(item)


def _refuse_extremes(value: Any, remedy: str, where: str | None, depth: int = 0) -> None:
    """Refuse too deep tables and numbers that are not finite or too long."""
    if depth > MAX_DEPTH:
        raise Speech2FaceError(f"is nested more than {MAX_DEPTH} deep", remedy, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise Speech2FaceError(f"holds {value}, which is not finite", remedy, where)
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise Speech2FaceError(f"holds an integer above {MAX_DIGITS} digits", remedy, where)
    if isinstance(value, str) and "\0" in value:
        raise Speech2FaceError("holds a NUL character", remedy, where)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_extremes(item, remedy, where, depth + 1)


def shown(value: object) -> str:
    """At most sixty characters of a value, as a message may carry it."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Settings as frozen dataclasses: built from untrusted values, changed by name, written as text.

This is the one door for settings, whether they come from a checkpoint, a TOML file or the command
line. Every value is compared with the type of its field, then the class itself checks the bounds.
Whatever does not fit is a `Speech2FaceError`, so that no setting is ever misspelt in silence.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from speech2face.errors import Speech2FaceError
from speech2face.records import parse_toml, read_toml

C = TypeVar("C")
MAX_INTEGER = 2**53  # every integer up to here is exact in JSON, TOML and a float
MAX_SIZE = 2**16  # of a layer: larger ones are mistakes, and would not fit into any memory


def restored(config_class: type[C], values: object, path: str | None = None) -> C:
    """The dataclass that `values`, from JSON, were written from; each field must be there.

    Args:
        config_class: a dataclass of numbers, texts, tuples, dictionaries and further dataclasses.
        values: as `to_json` gives them.
        path: where they come from, for messages.

    Raises:
        Speech2FaceError: a field is missing, unknown, of another type or out of range.
    """
    return _built(config_class, values, None, path)


def with_differences(config: C, differences: object, path: str | None = None) -> C:
    """Copy of `config` changed by nested tables of differences, which came from `path`.

    Raises:
        Speech2FaceError: a setting is unknown, of another type, or out of range.
    """
    return _built(type(config), differences, config, path)


def read_differences(paths: Sequence[Path], settings: Sequence[str]) -> dict[str, Any]:
    """Differences of TOML files and of `key.key=value` settings; the later ones win.

    Raises:
        Speech2FaceError: a file is missing or not TOML, or a setting has no `=`.
    """
    differences: dict[str, Any] = {}
    for path in paths:
        differences = _merged(differences, read_toml(path))
    for setting in settings:
        differences = _merged(differences, _parse_setting(setting))
    return differences


def to_json(config: Any) -> dict[str, Any]:
    """All settings as nested dictionaries of JSON types, which `restored` reads back."""
    values = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    return {name: _as_json(value) for name, value in values.items()}


def to_toml(config: Any) -> str:
    """All settings as TOML that `with_differences` reads back."""
    return "\n".join(_toml_lines(config, prefix=""))


def require(is_good: bool, name: str, value: object, expected: str) -> None:
    """Raise a `Speech2FaceError` about the setting `name` unless `is_good`."""
    if not is_good:
        raise Speech2FaceError(f"{name} = {value!r}", f"expected {expected}")


def require_sizes(config: Any, *names: str, most: int = MAX_SIZE) -> None:
    """Raise unless these fields, integers or tuples of them, are in 1..`most`."""
    for name in names:
        value = getattr(config, name)
        sizes = value if isinstance(value, tuple) else (value,)
        require(all(1 <= one <= most for one in sizes), name, value, f"sizes in 1..{most}")


def _built(config_class: type[C], values: object, base: C | None, path: str | None) -> C:
    """An object of `config_class`; a field that `values` lacks is taken from `base`, if given."""
    known = [setting.name for setting in fields(cast(Any, config_class))]
    if not isinstance(values, Mapping):
        raise Speech2FaceError(f"{values!r:.60}", f"expected {_described(config_class)}", path)
    if unknown := sorted(str(name) for name in values.keys() - set(known)):
        raise Speech2FaceError(f"unknown settings {unknown}", f"known are {sorted(known)}", path)
    if base is None and (missing := [name for name in known if name not in values]):
        raise Speech2FaceError(f"the settings lack {missing}", "write all of them", path)
    types = get_type_hints(config_class)
    arguments = {name: getattr(base, name) for name in known if base is not None}
    for name, value in values.items():
        arguments[name] = _fitted(value, types[name], arguments.get(name), name, path)
    try:
        return config_class(**arguments)
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, error.path or path) from error


def _fitted(value: Any, expected: Any, base: Any, name: str, path: str | None) -> Any:
    """`value` as a field of type `expected` holds it: JSON and TOML know lists and no tuples."""
    if is_dataclass(expected) and isinstance(value, Mapping):
        return _built(cast(type[Any], expected), value, base, path)
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_fitted(one, arguments[0], None, name, path) for one in value)
    if origin is dict and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _fitted(one, arguments[1], None, name, path) for key, one in value.items()}
    if not _is_of_type(value, expected):
        raise Speech2FaceError(f"{name} = {value!r:.60}", f"expected {_described(expected)}", path)
    return float(value) if expected is float else value


def _is_of_type(value: Any, expected: Any) -> bool:
    if isinstance(expected, UnionType):
        return any(_is_of_type(value, choice) for choice in get_args(expected))
    if get_origin(expected) is Literal:
        return value in get_args(expected)
    if expected is float:
        return _is_number(value, int | float) and math.isfinite(value)
    if expected is int:
        return _is_number(value, int) and abs(value) <= MAX_INTEGER
    return expected is Any or (isinstance(expected, type) and isinstance(value, expected))


def _is_number(value: Any, kind: Any) -> bool:
    """`math.isfinite` takes integers up to the largest float only; `bool` is an `int` in Python."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return isinstance(value, float) or abs(value) < 10**300


def _described(expected: Any) -> str:
    if is_dataclass(expected):
        return f"a table of {', '.join(setting.name for setting in fields(expected))}"
    if isinstance(expected, UnionType):
        return " or ".join(_described(one) for one in get_args(expected) if one is not NoneType)
    return getattr(expected, "__name__", str(expected)) if not get_args(expected) else str(expected)


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _toml_lines(config: Any, prefix: str) -> list[str]:
    values = {setting.name: getattr(config, setting.name) for setting in fields(config)}
    tables = {name: value for name, value in values.items() if is_dataclass(value)}
    plain = [
        f"{name} = {json.dumps(value)}"  # JSON writes these types as TOML does
        for name, value in values.items()
        if name not in tables
    ]
    lines = [f"[{prefix.removesuffix('.')}]", *plain, ""] if prefix and plain else plain
    for name, table in tables.items():
        lines += _toml_lines(table, f"{prefix}{name}.")
    return lines


def _parse_setting(setting: str) -> dict[str, Any]:
    """`adam.beta1=0.9` as nested dictionaries; a value that is no TOML is taken as text."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise Speech2FaceError(f"setting {setting!r}", "write key=value, as in adam.beta1=0.9")
    value: Any = text
    if "\n" not in text:
        try:
            value = parse_toml(f"value = {text}", "--set")["value"]
        except Speech2FaceError:
            value = text
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged

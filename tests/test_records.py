"""Text files of unknown origin: read as JSON, JSON lines, CSV and TOML, or refused with a line."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2face import records
from speech2face.errors import Speech2FaceError
from speech2face.records import (
    MAX_DEPTH,
    MAX_DIGITS,
    csv_rows,
    jsonl_rows,
    lines,
    parse_json,
    parse_toml,
    read_json,
    read_json_object,
    read_text,
    read_toml,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(10**39), 10**39) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_what_the_standard_library_writes_is_read_unchanged(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only), "a.json") == value


@given(st.text() | st.text(alphabet='[]{}",:\\u0dD8e+-. 19'))
def test_any_text_is_either_json_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        value = parse_json(text, "a.json")
    except Speech2FaceError as error:
        assert error.path == "a.json" and error.remedy
        return
    assert json.dumps(value) == json.dumps(json.loads(text))


@given(TEXT, st.integers(0, 60))
def test_brackets_within_strings_are_not_depth(text: str, depth: int) -> None:
    value: Any = "[" * 100 + text + '"\\'
    for _ in range(depth):
        value = [value]
    assert parse_json(json.dumps(value), "a.json") == value


JSON_PROBLEMS = {
    "": "not JSON",
    "{": "not JSON .*line 1, column 2",
    "{}\n{}": "not JSON .*line 2, column 1",
    "[" * 100_000: "nested more than 64 deep",
    '{"a":' * 65 + "1" + "}" * 65: "nested more than 64 deep",
    "[" * 65 + "]" * 65: "nested more than 64 deep",
    "[],".join(["["] + [""] * (2**20 + 1)) + "1]": "more than 1,048,576 lists and objects",
    "1" * 41: "integer of 41 digits",
    f"[{'9' * 5_000}]": "integer of 5000 digits",
    "NaN": "holds NaN",
    "[Infinity]": "holds Infinity",
    "-Infinity": "holds -Infinity",
    "1e999": "beyond every float",
    '{"a": 1, "b": 2, "a": 3}': "key 'a' twice",
    r'"\ud800"': "impossible text",
    r'{"\udfff": 1}': "impossible text",
    r'{"a": ["\u0000"]}': "impossible text",
    '"' + '\\"' * 200_000 + "[" * 65: "not JSON",  # in linear time
}


@pytest.mark.parametrize("text", JSON_PROBLEMS, ids=range(len(JSON_PROBLEMS)))
def test_json_that_is_no_use_is_refused_by_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(Speech2FaceError, match=JSON_PROBLEMS[text]) as caught:
        read_json(file, remedy="make it again")
    assert caught.value.path == str(file) and caught.value.remedy == "make it again"
    assert len(str(caught.value)) < 400  # a message never carries the file


def test_the_limits_themselves_are_allowed() -> None:
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(nested, "a")) == nested
    number = int("9" * MAX_DIGITS)
    assert parse_json(str(number), "a") == number and math.isfinite(float(number))
    assert parse_json(r'"\ud83d\ude00"', "a") == "\U0001f600"


def test_a_value_that_is_no_object_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(Speech2FaceError, match="not a JSON object"):
        read_json_object(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_text, lambda path: list(lines(path))])
def test_files_that_cannot_be_opened_or_are_no_text_are_named(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "nul").write_bytes(b"a\nb\0")
    (tmp_path / "latin").write_bytes(b"a\nbcd\n1234\xe9\n")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfab\xff")
    (tmp_path / "utf16").write_text("text", encoding="utf-16")
    expected = {
        "missing": ("", "no such file"),
        "folder": ("", "is a folder"),
        "a\0b": ("", "cannot be opened"),
        "a" * 300: ("", "cannot be opened"),
        "nul": (", line 2", "NUL byte"),
        "latin": (", line 3", r"not UTF-8 \(byte 5 of the line is 0xe9\)"),
        "marked": (", line 1", r"not UTF-8 \(byte 3 of the line is 0xff\)"),
        "utf16": (", line 1", "NUL byte"),
    }
    for name, (place, problem) in expected.items():
        with pytest.raises(Speech2FaceError, match=problem) as caught:
            read(tmp_path / name)
        assert caught.value.path == str(tmp_path / name) + place


def test_a_file_beyond_the_limit_is_refused_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte
    with pytest.raises(Speech2FaceError, match="larger than 67,108,864 bytes"):
        read_text(tmp_path / "huge")
    with pytest.raises(Speech2FaceError, match="longer than 16,777,216 bytes"):
        list(lines(tmp_path / "huge"))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a": 1}\n')
    assert read_json(tmp_path / "a") == {"a": 1}
    assert [record for _, record in jsonl_rows(tmp_path / "a")] == [{"a": 1}]


def test_rows_come_with_their_lines_and_only_a_line_feed_ends_one(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes('{"a": "x\u2028y\x85z"}\r\n\n  \n{"b": 2}'.encode())
    assert list(jsonl_rows(file)) == [
        (f"{file}, line 1", {"a": "x\u2028y\x85z"}),
        (f"{file}, line 4", {"b": 2}),
    ]


def test_a_bad_row_is_named_after_the_good_ones_were_given(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n[2]\n')
    rows = jsonl_rows(file)
    assert next(rows)[1] == {"a": 1}
    with pytest.raises(Speech2FaceError, match=r"a\.jsonl, line 2: is not a JSON object"):
        next(rows)


def test_csv_is_read_with_quotes_and_lines_in_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes('\ufeffid,note\r\n1,"a ""b"",\nc"\r\n\r\n2,\u00e9\n'.encode())
    assert list(csv_rows(file)) == [
        (f"{file}, line 3", {"id": "1", "note": 'a "b",\nc'}),
        (f"{file}, line 5", {"id": "2", "note": "\u00e9"}),
    ]


@pytest.mark.parametrize(
    "content, problem",
    [
        ("a,b\n1\n", "line 2: has 1 fields in 2 columns"),
        ("a,b\n1,2,3\n", "line 2: has 3 fields in 2 columns"),
        ("a,a\n", "line 1: two columns have one name"),
        ("a,\n1,2\n", "line 1: two columns"),
        ('a\n"b\nc', "line 3: is not CSV"),
        ('a\n"b"c\n', "line 2: is not CSV"),
        ("a\n" + "x" * 140_000, "line 2: is not CSV .*field limit"),
        ("a\n1\rb\n", "line 2: is not CSV"),
    ],
)
def test_csv_that_is_no_table_is_refused_by_line(
    content: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode())
    with pytest.raises(Speech2FaceError, match=problem):
        list(csv_rows(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a = ", "not TOML"),
        ("a = " + "[" * 5_000, "not TOML"),
        ("a" + ".a" * 5_000 + " = 1", "(nested more than|not TOML)"),
        ("a = " + "9" * 5_000, "not TOML"),
        ("a = " + "9" * 41, "above 40 digits"),
        ("a = nan", "not finite"),
        ("[a]\nb = [1, inf]", "not finite"),
        ("a = 1\na = 2", "not TOML"),
        ("a = '" + "x" * 2**20 + "'", "longer than 1,048,576"),
        (r'a = "\u0000"', "NUL"),
    ],
)
def test_toml_that_is_no_use_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Speech2FaceError, match=problem) as caught:
        parse_toml(text, "a.toml")
    assert caught.value.path == "a.toml"


def test_toml_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("steps = 3\n[adam]\nbeta1 = 0.5\n")
    assert read_toml(tmp_path / "a.toml") == {"steps": 3, "adam": {"beta1": 0.5}}


def test_nothing_waits_on_the_recursion_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("the parser has seen it")

    monkeypatch.setattr(records.json, "loads", parsed)
    with pytest.raises(Speech2FaceError, match="nested"):
        parse_json("[" * 70, "a.json")

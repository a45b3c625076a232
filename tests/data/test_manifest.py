"""Manifests: what is written is read again, and every mistake is named with its line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from speech2face.data.manifest import read_manifest, write_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError


def clip(root: Path, name: str, person: str, **more: object) -> Sample:
    return replace(Sample(id=name, person=person, voice=root / "voice" / f"{name}.wav"), **more)


def written_line(path: Path, record: dict[str, object]) -> Path:
    good = {"id": "first", "person": "p", "voice": "a.wav"}
    path.write_text(json.dumps(good) + "\n" + json.dumps(record) + "\n")
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    full = Sample(
        id="a.b",
        person="somebody",
        voice=tmp_path / "voice" / "a.b.wav",
        face=tmp_path / "face" / "a.b.jpg",
        canonical=tmp_path / "canonical" / "a.b.jpg",
        landmarks=tmp_path / "a.b.json",
        teachers={"s2f_exg0": tmp_path / "s2f" / "a.b.jpg"},
        video="v",
        seconds=4.25,
        split="train",
        labels={"gender": "female"},
    )
    samples = [full, clip(tmp_path, "second", "other")]
    write_manifest(tmp_path / "manifest.jsonl", samples)
    assert read_manifest(tmp_path / "manifest.jsonl") == samples


def test_a_moved_folder_is_still_readable(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write_manifest(here / "manifest.jsonl", [clip(here, "a", "p")])
    here.rename(there)
    assert read_manifest(there / "manifest.jsonl") == [clip(there, "a", "p")]


def test_paths_outside_the_folder_are_relative_too(tmp_path: Path) -> None:
    outside = Sample(id="a", person="p", voice=tmp_path / "elsewhere" / "a.wav")
    write_manifest(tmp_path / "lists" / "manifest.jsonl", [outside])
    text = (tmp_path / "lists" / "manifest.jsonl").read_text()
    assert json.loads(text)["voice"] == "../elsewhere/a.wav"
    read = read_manifest(tmp_path / "lists" / "manifest.jsonl")[0]
    assert read.voice.resolve() == outside.voice.resolve()


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [clip(tmp_path, "a", "p")])
    before = path.read_bytes()
    with pytest.raises(Speech2FaceError, match="occurs twice"):
        write_manifest(path, [clip(tmp_path, "a", "p"), clip(tmp_path, "a", "q")])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.jsonl"]


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({"id": "b", "person": "p"}, "no voice"),
        ({"id": "b", "person": "p", "voice": "b.wav", "age": 3}, r"unknown keys \['age'\]"),
        ({"id": "b", "person": 7, "voice": "b.wav"}, "person is 7"),
        ({"id": "b", "person": "p", "voice": "b.wav", "seconds": True}, "seconds is True"),
        ({"id": "b", "person": "p", "voice": "b.wav", "seconds": -1}, "lasts -1 seconds"),
        ({"id": "b", "person": "p", "voice": "b.wav", "split": "dev"}, "in split 'dev'"),
        ({"id": "b", "person": "p", "voice": "b.wav", "labels": {"name": "x"}}, "unknown labels"),
        ({"id": "b", "person": "p", "voice": "b.wav", "teachers": ["x"]}, "teachers is"),
        ({"id": "../b", "person": "p", "voice": "b.wav"}, "cannot name a file"),
        ({"id": "b", "person": "", "voice": "b.wav"}, "names no person"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, record: dict[str, object], complaint: str) -> None:
    path = written_line(tmp_path / "manifest.jsonl", record)
    with pytest.raises(Speech2FaceError, match=complaint) as caught:
        read_manifest(path)
    assert caught.value.path == f"{path}, line 2"


@pytest.mark.parametrize("line", ["{broken", "[1, 2]", '"text"'])
def test_a_line_that_is_not_an_object_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(Speech2FaceError, match="line 1: is not"):
        read_manifest(tmp_path / "manifest.jsonl")


def test_no_manifest_and_an_empty_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        read_manifest(tmp_path / "manifest.jsonl")
    (tmp_path / "manifest.jsonl").write_text("\n")
    with pytest.raises(Speech2FaceError, match="is empty"):
        read_manifest(tmp_path / "manifest.jsonl")


@pytest.mark.parametrize("shared", ["person", "video"])
def test_a_person_or_video_in_two_splits_is_found_when_reading(tmp_path: Path, shared: str) -> None:
    lines = [
        {"id": "a", "person": "p", "video": "v", "voice": "a.wav", "split": "train"},
        {"id": "b", "person": "q", "video": "w", "voice": "b.wav", "split": "test"},
    ]
    lines[1][shared] = lines[0][shared]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Speech2FaceError, match=f"{shared} '.' is in splits 'train' and 'test'"):
        read_manifest(path)


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "a", "person": "p", "voice": "v", "labels": ' + b"[" * 100_000,
        b'{"id": "a", "person": "p", "voice": "v", "seconds": ' + b"9" * 5000 + b"}",
        b'{"id": "a", "person": "p", "voice": "v", "seconds": 1e308}',
        b'{"id": "a", "person": "p", "voice": "v", "seconds": NaN}',
        b'{"id": "a", "person": "p", "voice": "\xff"}',
        b'{"id": "' + b"a" * 230 + b'", "person": "p", "voice": "v"}',
    ],
)
def test_a_hostile_line_is_one_error_that_names_it(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(Speech2FaceError) as caught:
        read_manifest(path)
    assert str(caught.value.path).startswith(f"{path}, line 1")

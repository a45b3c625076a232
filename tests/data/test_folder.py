"""Pairs in a folder."""

import os
from pathlib import Path

import pytest

from speech2face.data import folder
from speech2face.errors import Speech2FaceError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_pairs_are_matched_by_name_in_two_folders(tmp_path: Path) -> None:
    touch(tmp_path, "voice/anna__1.wav", "voice/bert.MP3", "voice/alone.wav", "voice/notes.txt")
    touch(tmp_path, "face/anna__1.jpg", "face/bert.png", "face/other.png")
    anna, bert = folder.read(tmp_path)
    assert (anna.id, anna.person, bert.person) == ("anna__1", "anna", "bert")
    assert bert.voice == tmp_path / "voice" / "bert.MP3"
    assert bert.face == tmp_path / "face" / "bert.png"


def test_pairs_are_matched_by_name_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "anna.wav", "anna.jpg")
    assert [sample.id for sample in folder.read(tmp_path)] == ["anna"]


def test_clips_of_a_person_share_a_split(tmp_path: Path) -> None:
    names = [f"anna__{number}" for number in range(20)]
    touch(tmp_path, *(f"{name}.wav" for name in names), *(f"{name}.jpg" for name in names))
    assert len({sample.split for sample in folder.read(tmp_path)}) == 1


def test_two_voices_with_the_same_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "anna.wav", "anna.mp3", "anna.jpg")
    with pytest.raises(Speech2FaceError, match="anna.mp3 and anna.wav have the same name"):
        folder.read(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff")
    touch(tmp_path, f"{name}.wav", f"{name}.jpg")
    with pytest.raises(Speech2FaceError, match=r"'\\udcff' is not UTF-8") as refused:
        folder.read(tmp_path)
    str(refused.value).encode()


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "anna.wav", "bert.jpg")
    with pytest.raises(Speech2FaceError, match="there is no voice and face of the same name"):
        folder.read(tmp_path)

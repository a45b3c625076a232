"""LibriSpeech in both layouts, on invented trees."""

import json
from pathlib import Path

import pytest

from speech2face.data import librispeech
from speech2face.errors import Speech2FaceError

SPEAKERS = """\
; ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-100  | 25.03 | Nobody Here
7021 | M | dev-clean        | 8.02  | Nobody There
"""


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    names = ("train-clean-100/14/208/14-208-0000", "dev-clean/7021/79730/7021-79730-0003",
             "test-other/3005/163389/3005-163389-0001")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}.flac").touch()
    (tmp_path / "SPEAKERS.TXT").write_text(SPEAKERS)
    return tmp_path


def test_the_unpacked_corpus_is_read(unpacked: Path) -> None:
    by_person = {sample.person: sample for sample in librispeech.read(unpacked)}
    assert by_person["14"].labels == {"language": "English", "gender": "female"}
    assert by_person["7021"].labels["gender"] == "male"
    assert "gender" not in by_person["3005"].labels
    assert {person: sample.split for person, sample in by_person.items()} == {
        "14": "train",
        "7021": "val",
        "3005": "test",
    }
    assert by_person["14"].video == "14-208" and by_person["14"].face is None


def test_the_flat_layout_is_read(tmp_path: Path) -> None:
    lines = [
        {"file": "14-208-0000.ogg", "speaker": "14", "subset": "train-clean-100"},
        {"file": "3005-163389-0001.ogg", "speaker": "3005", "subset": "test-other"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "manifest.jsonl").write_text(text)
    first, second = librispeech.read(tmp_path)
    assert (first.person, first.split) == ("14", "train")
    assert (second.person, second.split) == ("3005", "test")
    assert second.voice == tmp_path / "3005-163389-0001.ogg"


def test_an_unknown_folder_line_or_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no LibriSpeech utterances"):
        librispeech.read(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(Speech2FaceError, match="line 1"):
        librispeech.read(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.ogg", "subset": "test-other"}\n')
    with pytest.raises(Speech2FaceError, match="not <speaker>-<chapter>-<number>"):
        librispeech.read(tmp_path)


def test_the_shared_utterances_are_read_whole(shared_data: Path) -> None:
    samples = librispeech.read(shared_data / "librispeech")
    assert len(samples) == 351
    assert len({sample.person for sample in samples if sample.split == "test"}) == 10
    assert all(sample.voice.is_file() for sample in samples)

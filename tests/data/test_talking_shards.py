"""Prepared videos as batches: the sound and the feature of the clip that was asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from talking import levels_of, record, wav, write

from speech2face.audio.spectrogram import complex_spectrogram
from speech2face.data.prepared import CLIPS
from speech2face.data.store import Record, Rejected
from speech2face.data.talking_shards import TalkingShards, open_voices
from speech2face.errors import Speech2FaceError


def one_clip(number: int) -> Record | Rejected:
    return Rejected("no_face", "none") if number == 6 else record(number)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write(tmp_path / "prepared", one_clip)


def test_a_batch_is_the_sound_and_the_feature_of_its_clips(shards: Path) -> None:
    train = TalkingShards(shards, "train")
    assert len(train) == 5 and train.shards.tolist() == [0, 0, 1, 2, 2]
    batch = train.voice_batch([4, 0], n_frames=298)  # 3 s; clips 5 and 0
    assert batch.face_feature.tolist() == [[5.0] * 3, [0.0] * 3]
    n_samples = 400 + 297 * 160
    assert np.array_equal(batch.levels[0].numpy(), levels_of(5)[:n_samples])
    repeated = np.concatenate([levels_of(0)] * 2)[:n_samples]  # it has two seconds
    assert np.array_equal(batch.levels[1].numpy(), repeated)
    assert train.read("face_feature", [1]).tolist() == [[1.0] * 3]


def test_the_spectrogram_is_that_of_the_sound(shards: Path) -> None:
    batch = TalkingShards(shards, "val").voice_batch([0], n_frames=298)
    voice = batch.to(torch.device("cpu"))
    waveform = torch.from_numpy(levels_of(2).astype(np.float32) / 32767)[None, : 400 + 297 * 160]
    assert voice.spectrogram.shape == (1, 2, 257, 298)
    torch.testing.assert_close(voice.spectrogram, complex_spectrogram(waveform))


def test_what_describes_a_run_changes_with_the_clips(shards: Path) -> None:
    before = open_voices(shards, "train").description
    assert before["face_feature"] == "recogniser" and before["feature_size"] == 3
    (shards / CLIPS).write_text((shards / CLIPS).read_text().replace('"val"', '"train"'))
    after = open_voices(shards, "train").description
    assert {name for name in before if before[name] != after[name]} == {"clips_sha256"}
    assert len(open_voices(shards, "train")) == 6


def test_a_feature_is_chosen_by_name_if_there_are_several(tmp_path: Path) -> None:
    def with_two(number: int) -> Record | Rejected:
        return {**record(number), "second": np.full(2, -number, np.float32)}

    folder = write(tmp_path, with_two)
    with pytest.raises(Speech2FaceError, match="recogniser, second; choose with --set face_feat"):
        len(TalkingShards(folder, "train"))
    assert TalkingShards(folder, "train", "second").read("face_feature", [1]).tolist() == [[-1, -1]]
    with pytest.raises(Speech2FaceError, match="lacks the face feature 'third'"):
        len(TalkingShards(folder, "train", "third"))


def test_clips_without_a_feature_name_the_command_that_adds_one(tmp_path: Path) -> None:
    def without(number: int) -> Record | Rejected:
        return {name: value for name, value in record(number).items() if name != "recogniser"}

    with pytest.raises(Speech2FaceError, match="--add-feature"):
        len(TalkingShards(write(tmp_path, without), "train"))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "shard-00001.tar").unlink(), "missing or cut off"),
        (lambda folder: (folder / "shard-00001.json").write_text("{}"), "in no shard"),
        (lambda folder: (folder / "shard-00001.json").unlink(), "1 of 5 clips are in no shard"),
        (lambda folder: (folder / CLIPS).unlink(), "filled to its end"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(
    shards: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(shards)
    with pytest.raises(Speech2FaceError, match=complaint):
        len(TalkingShards(shards, "train"))


def test_a_sound_of_another_rate_is_refused(tmp_path: Path) -> None:
    def slow(number: int) -> Record | Rejected:
        return {**record(number), "wav": wav(levels_of(number), rate=8000)}

    train = TalkingShards(write(tmp_path, slow), "train")
    with pytest.raises(Speech2FaceError, match="16 kHz"):
        train.voice_batch([0], n_frames=298)


@pytest.mark.parametrize("place", [[[], 4], [0, 10**30], [-1, 9], [True, 4], ["0", 4], [0, 2**40]])
def test_a_ledger_whose_members_can_lie_nowhere_is_refused(shards: Path, place: list[Any]) -> None:
    ledger = shards / "shard-00000.json"
    described = json.loads(ledger.read_text())
    described["rows"][0]["members"][-1][1:] = place
    ledger.write_text(json.dumps(described))
    with pytest.raises(Speech2FaceError, match="the ledger is damaged") as error:
        TalkingShards(shards, "train").voice_batch([0], n_frames=298)
    assert error.value.path == str(ledger)

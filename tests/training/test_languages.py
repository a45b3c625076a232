"""What the teacher of languages hears is kept, and asked for only once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.models.whisper import N_LANGUAGES
from speech2face.third_party import FILES, third_party_file
from speech2face.training import languages
from speech2face.training.languages import spoken_languages


class Teacher:
    """Finds a language the more probable the louder the voice; counts what it hears."""

    def __init__(self) -> None:
        self.n_heard = 0

    def __call__(self, network: object, waveform: Tensor) -> Tensor:
        self.n_heard += 1
        odds = torch.zeros(N_LANGUAGES)
        odds[3] = 10 * waveform.abs().mean()
        return odds.softmax(dim=0)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    world = tmp_path_factory.mktemp("world") / "world"
    return read_manifest(write_world(world, persons=3, clips_per_person=1, clip_seconds=(1.6, 2)))


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Teacher:
    teacher = Teacher()
    monkeypatch.setattr(languages, "language_probabilities", teacher)
    monkeypatch.setattr(languages, "_network", object)
    return teacher


def test_every_voice_is_heard_once_whatever_it_is_called(
    samples: list[Sample], teacher: Teacher, tmp_path: Path
) -> None:
    done: list[int] = []
    first = spoken_languages(samples, tmp_path / "kept", progress=done.append)
    assert first.shape == (3, N_LANGUAGES) and done == [1, 2, 3]
    np.testing.assert_allclose(first.sum(dim=1), 1, rtol=1e-5)
    renamed = [replace(sample, id=f"other-{sample.id}") for sample in reversed(samples)]
    again = spoken_languages(renamed, tmp_path / "kept", progress=done.append)
    assert torch.equal(again.flip(0), first)
    assert teacher.n_heard == 3


def test_another_teacher_hears_again(
    samples: list[Sample], teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken_languages(samples, tmp_path, progress=lambda done: None)
    name = languages.PARTS[1]
    monkeypatch.setitem(FILES, name, replace(FILES[name], sha256="0" * 64))
    spoken_languages(samples, tmp_path, progress=lambda done: None)
    assert teacher.n_heard == 6


def test_without_whisper_one_line_says_what_to_install(
    samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = languages.PARTS[0]
    monkeypatch.setitem(FILES, name, replace(FILES[name], module="no_such_package"))
    languages._network.cache_clear()
    third_party_file.cache_clear()
    with pytest.raises(Speech2FaceError, match=r"whisper-base-1 is not installed; run .*language"):
        spoken_languages(samples, tmp_path, progress=lambda done: None)
    third_party_file.cache_clear()

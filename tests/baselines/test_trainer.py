"""The one trainer: it learns a batch by heart, continues a run, and refuses what cannot work."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented_clips import invented_clips
from scipy.io.wavfile import write as write_wav
from tiny_systems import tiny

from speech2face.baselines.clips import Clips, descriptions, features
from speech2face.baselines.settings import Covariates
from speech2face.baselines.trainer import SYSTEMS, load_baseline, train_baseline
from speech2face.errors import Speech2FaceError
from speech2face.training.tracking import Run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return invented_clips(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_that_was_stopped_ends_with_the_same_weights(
    name: str, clips: Clips, tmp_path: Path
) -> None:
    whole = train_baseline(name, tiny(name), clips, tmp_path / "whole")
    train_baseline(name, tiny(name, updates=2), clips, tmp_path / "parts")
    continued = train_baseline(name, tiny(name), clips, tmp_path / "parts")
    for one in whole.modules:
        first, second = whole.modules[one].state_dict(), continued.modules[one].state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The game of a GAN amplifies rounding, and sums are rounded otherwise in several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.usefixtures("one_thread")
def test_every_system_learns_a_few_clips_by_heart(name: str, clips: Clips, tmp_path: Path) -> None:
    few = clips.take(np.arange(4))
    train_baseline(name, tiny(name, updates=150), few, tmp_path / "run")
    stats = Run(tmp_path / "run").stats()
    # The other terms of a GAN are those of a game, and need not fall.
    key = {"wav2pix": "identity", "voice2face-gan": "judge"}.get(name, "total")
    first, last = (np.mean([row[key] for row in part]) for part in (stats[:5], stats[-5:]))
    assert last < 0.5 * first, f"{key} {first} -> {last}"


def test_trained_towers_match_people_they_have_not_seen(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    many = invented_clips(tmp_path / "a", 120)
    train_baseline("kim", tiny("kim", updates=100, batch_size=32), many, tmp_path / "run")
    _, network = load_baseline("kim", tmp_path / "run")
    unseen = invented_clips(tmp_path / "b", 60, seed=1)
    with torch.no_grad():
        heard, seen = network.voice(descriptions(unseen)), network.face(features(unseen))
    apart = torch.cdist(heard, seen)
    right = (apart.diagonal()[:, None] < apart).float().mean()
    assert right > 0.8


def test_with_shuffled_voices_nothing_is_learned(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    many = invented_clips(tmp_path / "a", 120)
    order = np.random.default_rng(0).permutation(120)
    pairs = replace(many.pairs, descriptors=many.pairs.descriptors[order])
    shuffled = replace(many, pairs=pairs)
    train_baseline("kim", tiny("kim", updates=100, batch_size=32), shuffled, tmp_path / "run")
    _, network = load_baseline("kim", tmp_path / "run")
    unseen = invented_clips(tmp_path / "b", 60, seed=1)
    with torch.no_grad():
        apart = torch.cdist(network.voice(descriptions(unseen)), network.face(features(unseen)))
    assert 0.3 < (apart.diagonal()[:, None] < apart).float().mean() < 0.7


def test_a_loss_whose_label_is_missing_fails_at_the_start_and_names_the_column(
    clips: Clips, tmp_path: Path
) -> None:
    settings = replace(tiny("dimnet"), lambdas=Covariates(nationality=1.0))
    with pytest.raises(Speech2FaceError, match="'nationality'"):
        train_baseline("dimnet", settings, clips, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_continued_on_other_clips(clips: Clips, tmp_path: Path) -> None:
    train_baseline("kim", tiny("kim"), clips, tmp_path / "run")
    with pytest.raises(Speech2FaceError, match="other settings: clips"):
        train_baseline("kim", tiny("kim"), clips.take(np.arange(9)), tmp_path / "run")


def test_a_checkpoint_of_another_system_is_refused(clips: Clips, tmp_path: Path) -> None:
    train_baseline("kim", tiny("kim"), clips, tmp_path / "run")
    with pytest.raises(Speech2FaceError, match="checkpoint of the kim"):
        load_baseline("dimnet", tmp_path / "run")


@pytest.mark.parametrize("name", ["wav2pix", "voice2face-gan"])
def test_a_loaded_generator_draws_each_voice_by_itself(
    name: str, clips: Clips, tmp_path: Path
) -> None:
    train_baseline(name, tiny(name), clips, tmp_path / "run")
    _, network = load_baseline(name, tmp_path / "run")
    voices = descriptions(clips)
    together, alone = network.face(voices), network.face(voices[:1])
    assert together.shape == (24, 3, 64, 64) and together.abs().max() <= 1
    torch.testing.assert_close(together[:1], alone)


def paper_settings(name: str, **changes: Any) -> Any:
    """The size of the paper at a fiftieth of its widths, two updates of two samples."""
    settings: Any = SYSTEMS[name].settings
    plan = replace(settings.plan, batch_size=2, epochs=0.0, total_samples=4)
    return replace(settings, size="paper", width_share=0.02, plan=plan, **changes)


@pytest.fixture
def spoken(clips: Clips, tmp_path: Path) -> Clips:
    """Two clips with a recording each."""
    rng = np.random.default_rng(0)
    few = clips.take(np.arange(2))
    for number in range(2):
        sound = (3000 * rng.standard_normal(2 * 16_000)).astype(np.int16)
        write_wav(tmp_path / f"{number}.wav", 16_000, sound)
    samples = [
        replace(one, voice=tmp_path / f"{number}.wav") for number, one in enumerate(few.samples)
    ]
    return replace(few, samples=tuple(samples))


@pytest.mark.parametrize("name", [one for one in SYSTEMS if one != "voice2face-gan"])
@pytest.mark.usefixtures("everything_is_speech")
def test_the_size_of_the_paper_learns_from_recordings_and_photos(
    name: str, spoken: Clips, tmp_path: Path
) -> None:
    state = train_baseline(name, paper_settings(name), spoken, tmp_path / "run")
    assert state.iteration == 2 and np.isfinite(list(state.losses.values())).all()
    settings, _ = load_baseline(name, tmp_path / "run")
    assert settings.size == "paper"


@pytest.mark.usefixtures("everything_is_speech")
def test_the_gan_of_the_paper_takes_the_voice_network_of_a_trained_dimnet(
    spoken: Clips, tmp_path: Path
) -> None:
    with pytest.raises(Speech2FaceError, match="needs a trained voice network"):
        train_baseline("voice2face-gan", paper_settings("voice2face-gan"), spoken, tmp_path / "no")
    train_baseline("dimnet", paper_settings("dimnet"), spoken, tmp_path / "dimnet")
    settings = paper_settings("voice2face-gan", voice_run=str(tmp_path / "dimnet"))
    train_baseline("voice2face-gan", settings, spoken, tmp_path / "gan")
    of_dimnet = load_baseline("dimnet", tmp_path / "dimnet")[1].voice.state_dict()
    of_gan = load_baseline("voice2face-gan", tmp_path / "gan")[1].voice.state_dict()
    assert all(torch.equal(of_dimnet[name], of_gan[name]) for name in of_dimnet)
    other = replace(settings, width_share=0.03)
    with pytest.raises(Speech2FaceError, match="another size or width_share"):
        train_baseline("voice2face-gan", other, spoken, tmp_path / "other")

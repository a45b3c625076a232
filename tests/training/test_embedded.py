"""The recipe from end to end on drawn people: same bits, kills, files opened, settings refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_recipe
import torch
from torch import Tensor

from speech2face.configuration import to_toml, with_differences
from speech2face.data import authors_page
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import open_image
from speech2face.training import measurements
from speech2face.training.measurements import CANONICAL
from speech2face.training.recipes.embedded import (
    Embedded,
    EmbeddedConfig,
    load_embedded,
    train_embedded,
    usable,
)


class Stopped(Exception):
    """The process is killed."""


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Embedded:
    return load_embedded(tiny_run)[0]


@pytest.fixture
def measured_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A run directory in which everything is measured and nothing learned."""
    shutil.copytree(tiny_run / "measurements", tmp_path / "run" / "measurements")
    return tmp_path / "run"


def weights(embedded: Embedded) -> dict[str, Tensor]:
    photo = {"photo.weight": embedded.photo.weight, "photo.bias": embedded.photo.bias}
    return embedded.model.state_dict() | photo


def have_equal_bits(first: Embedded, second: Embedded) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def samples_of(page: Path, split: str) -> list[Sample]:
    return [sample for sample in authors_page.read(page) if sample.split == split]


def test_the_recipe_ends_with_a_model_from_waveform_to_face(trained: Embedded) -> None:
    speech = torch.randn(1, 96_000, generator=torch.Generator().manual_seed(0)) / 10
    with torch.no_grad():
        face = trained.model(speech, torch.zeros(1), torch.zeros(1, 6))
    assert face.image.shape == (1, 3, 224, 224) and face.feature.shape == (1, 6)
    assert all(part.isfinite().all() for part in face)


def test_the_decoder_knows_the_landmarks_of_the_faces_it_learned_from(
    trained: Embedded, tiny_run: Path, tiny_page: Path
) -> None:
    """From photo to code to landmarks: they are nearer to the person's own than the mean is."""
    train = samples_of(tiny_page, "train")
    own = canonical_landmarks(tiny_run)  # [M, 68, 2]
    photos = DlibFaceEncoder().encode([open_image(sample.face) for sample in train if sample.face])
    codes = torch.from_numpy(photos) @ trained.photo.weight.T + trained.photo.bias
    with torch.no_grad():
        decoded, _ = trained.model.draws.face_decoder.decode_parts(codes)
    mean_error = (own - own.mean(dim=0)).norm(dim=-1).mean()
    assert (decoded - own).norm(dim=-1).mean() < 0.6 * mean_error


def canonical_landmarks(run_dir: Path) -> Tensor:
    from safetensors.torch import load_file

    (file,) = (run_dir / "measurements" / "train").glob("*.safetensors")
    return load_file(file)[f"landmarks.{CANONICAL}"]


def test_test_clips_are_never_opened(tiny_page: Path, tiny_run: Path) -> None:
    test = samples_of(tiny_page, "test")
    assert test and not any(sample.voice.exists() for sample in test)  # and yet it was trained
    measured = {path.name for path in (tiny_run / "measurements").iterdir()}
    assert measured == {"train"}


def test_the_same_measurements_give_the_same_weights(
    trained: Embedded, tiny_page: Path, measured_run: Path
) -> None:
    assert have_equal_bits(trained, tiny_recipe.train(tiny_page, measured_run))


def test_folds_of_another_seed_give_another_head(
    trained: Embedded, tiny_page: Path, measured_run: Path
) -> None:
    changed = with_differences(tiny_recipe.config(), {"voice": {"seed": 1}})
    assert not have_equal_bits(trained, tiny_recipe.train(tiny_page, measured_run, changed))


def test_a_run_that_was_killed_while_it_measured_ends_with_the_same_weights(
    trained: Embedded, tiny_page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"
    monkeypatch.setattr(measurements, "GROUP", 3)  # 8 clips: three files
    with monkeypatch.context() as patch:
        patch.setattr(measurements, "_measure_clip", killed_after(4, measurements._measure_clip))
        with pytest.raises(Stopped):
            tiny_recipe.train(tiny_page, run_dir)
    assert len(list((run_dir / "measurements" / "train").iterdir())) == 1
    assert not (run_dir / "model").exists()
    again = tiny_recipe.train(tiny_page, run_dir)
    assert weights(again).keys() == weights(trained).keys()
    for name, value in weights(again).items():
        torch.testing.assert_close(value, weights(trained)[name], rtol=1e-3, atol=1e-3)


def killed_after(n_clips: int, measure_clip: Callable[..., object]) -> Callable[..., object]:
    """The same measurement, until the process is killed."""
    n_done = 0

    def measured(*arguments: object) -> object:
        nonlocal n_done
        n_done += 1
        if n_done > n_clips:
            raise Stopped
        return measure_clip(*arguments)

    return measured


def test_a_finished_run_is_read_and_not_measured_again(
    trained: Embedded, tiny_page: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "_measure_clip", killed_after(0, measurements._measure_clip))
    assert have_equal_bits(trained, tiny_recipe.train(tiny_page, tiny_run))


def test_a_run_is_not_continued_with_settings_that_do_not_fit_its_files(
    tiny_page: Path, tiny_run: Path
) -> None:
    renders = {"renders": ["canonical", "s2f_exg0", "s2f_exg1.4"]}
    changed = with_differences(tiny_recipe.config(), renders)
    with pytest.raises(Speech2FaceError, match="started with other settings"):
        tiny_recipe.train(tiny_page, tiny_run, changed)


def test_settings_of_the_closed_form_stages_may_change_in_a_run(
    trained: Embedded, tiny_page: Path, tiny_run: Path
) -> None:
    kept = shutil.copytree(tiny_run, tiny_run.with_name("changed"))
    changed = with_differences(tiny_recipe.config(), {"voice": {"gain": 0.5}})
    other = tiny_recipe.train(tiny_page, kept, changed)
    differing = {
        name
        for name, value in weights(other).items()
        if not torch.equal(value, weights(trained)[name])
    }
    assert differing == {"hears.head.weight", "hears.head.bias", "draws.spread"}


def test_a_run_keeps_the_model_and_its_settings(tiny_run: Path, trained: Embedded) -> None:
    again, config = load_embedded(tiny_run)
    assert config == tiny_recipe.config()
    assert have_equal_bits(trained, again)


def test_clips_that_lack_a_file_are_left_out_and_counted(
    tiny_page: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = samples_of(tiny_page, "train")
    config = tiny_recipe.config()
    assert usable(samples, "train", config) == samples and usable(samples, "val", config) == []
    lacking = [
        replace(samples[0], face=None),
        replace(samples[1], canonical=None),
        replace(samples[2], teachers={}),
        replace(samples[3], teachers={"s2f_exg1.4": tiny_page / "missing.jpg"}),
        replace(samples[4], voice=tiny_page / "missing.ogg"),
        *samples[5:],
    ]
    assert usable(lacking, "train", config) == samples[5:]
    said = sorted(record.getMessage() for record in caplog.records)
    assert said == [
        "1 train clips are left out: no canonical face",
        "1 train clips are left out: no photo",
        "1 train clips are left out: no voice file",
        "2 train clips are left out: no teacher's image",
    ]


@pytest.mark.parametrize(
    ("split", "n_kept", "words"),
    [
        ("train", 5, "5 people in the train split; give a corpus of at least 6"),
        ("train", 6, "12 faces for a code of 22 coordinates"),
    ],
)
def test_too_few_clips_are_refused_before_anything_is_measured(
    split: str, n_kept: int, words: str, tiny_page: Path, tmp_path: Path
) -> None:
    samples = authors_page.read(tiny_page)
    kept = [sample for sample in samples if sample.split == split][:n_kept]
    others = [sample for sample in samples if sample.split != split]
    config = replace(tiny_recipe.config(), n_face=4 if n_kept < 6 else 20)
    with pytest.raises(Speech2FaceError, match=words):
        train_embedded([*kept, *others], tmp_path / "run", speaker_encoder={}, config=config)
    assert not (tmp_path / "run").exists()


def test_renders_without_the_teacher_or_the_true_face_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"lack \['canonical'\]"):
        EmbeddedConfig(renders=("s2f_exg1.4",))
    with pytest.raises(Speech2FaceError, match=r"lack \['other'\]"):
        EmbeddedConfig(teacher="other")


@pytest.mark.parametrize("change", [{"n_face": 0}, {"n_surround": -1}])
def test_a_code_without_face_or_surround_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(Speech2FaceError, match=r"expected sizes in 1\.\."):
        EmbeddedConfig(**change)


def test_a_recipe_is_written_as_differences_and_read_back() -> None:
    import tomllib

    written = tomllib.loads(to_toml(EmbeddedConfig()))
    assert with_differences(EmbeddedConfig(), written) == EmbeddedConfig()
    with pytest.raises(Speech2FaceError, match="unknown settings"):
        with_differences(EmbeddedConfig(), {"voices": {}})

"""The recipe from end to end on drawn people: seeds, kills, what is opened and what is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_recipe
import torch
from torch import Tensor

from speech2face.data import authors_page
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import open_image
from speech2face.models.face_decoder import FaceDecoderConfig
from speech2face.training import embedded
from speech2face.training.config import to_toml, with_differences
from speech2face.training.embedded import (
    DECODER,
    SPLITS,
    Embedded,
    EmbeddedConfig,
    load_embedded,
    train_embedded,
    usable,
)
from speech2face.training.measurements import CANONICAL


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
    """Photo to code to landmarks: nearer to a person's own canonical face than the mean is."""
    train = samples_of(tiny_page, "train")
    own = canonical_landmarks(tiny_run)  # [M, 68, 2]
    photos = DlibFaceEncoder().encode([open_image(sample.face) for sample in train if sample.face])
    codes = torch.from_numpy(photos) @ trained.photo.weight.T + trained.photo.bias
    with torch.no_grad():
        decoded, _ = trained.model.face_decoder.decode_parts(codes)
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
    assert measured == set(SPLITS) == {"train", "val"}


def test_the_same_seed_gives_the_same_weights(
    trained: Embedded, tiny_page: Path, measured_run: Path
) -> None:
    assert have_equal_bits(trained, tiny_recipe.train(tiny_page, measured_run))


def test_another_seed_gives_other_weights(
    trained: Embedded, tiny_page: Path, measured_run: Path
) -> None:
    changed = with_differences(tiny_recipe.config(), {"drawing": {"plan": {"seed": 1}}})
    assert not have_equal_bits(trained, tiny_recipe.train(tiny_page, measured_run, changed))


@pytest.mark.parametrize(("stage", "n_updates"), [("autoencoder", 2), ("decoder", 3)])
def test_a_run_that_was_killed_ends_with_the_same_weights(
    stage: str,
    n_updates: int,
    trained: Embedded,
    tiny_page: Path,
    measured_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        name = f"{stage}_losses"
        patch.setattr(embedded, name, killed_after(n_updates, getattr(embedded, name)))
        with pytest.raises(Stopped):
            tiny_recipe.train(tiny_page, measured_run)
    assert not (measured_run / "model").exists()
    assert have_equal_bits(trained, tiny_recipe.train(tiny_page, measured_run))


def killed_after(
    n_updates: int, losses_of: Callable[..., dict[str, Tensor]]
) -> Callable[..., dict[str, Tensor]]:
    """The same losses, until the process is killed; validation does not count."""
    n_done = 0

    def losses(model: object, batch: object, **options: Tensor | None) -> dict[str, Tensor]:
        nonlocal n_done
        n_done += torch.is_grad_enabled()
        if n_done > n_updates:
            raise Stopped
        return losses_of(model, batch, **options)

    return losses


def test_a_finished_run_is_read_and_not_trained_again(
    trained: Embedded, tiny_page: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("autoencoder_losses", "decoder_losses"):
        monkeypatch.setattr(embedded, name, killed_after(0, getattr(embedded, name)))
    assert have_equal_bits(trained, tiny_recipe.train(tiny_page, tiny_run))


@pytest.mark.parametrize(
    "difference", [{"landmark_share": 0.5}, {"decoding": {"adam": {"learning_rate": 0.1}}}]
)
def test_a_run_is_not_continued_with_what_its_files_do_not_fit(
    difference: dict[str, object], tiny_page: Path, tiny_run: Path
) -> None:
    changed = with_differences(tiny_recipe.config(), difference)
    with pytest.raises(Speech2FaceError, match="started with other settings"):
        tiny_recipe.train(tiny_page, tiny_run, changed)


def test_what_has_a_closed_form_may_change_in_a_run(
    trained: Embedded, tiny_page: Path, tiny_run: Path
) -> None:
    kept = shutil.copytree(tiny_run, tiny_run.with_name("changed"))
    changed = with_differences(tiny_recipe.config(), {"voice": {"gain": 1.0}})
    other = tiny_recipe.train(tiny_page, kept, changed)
    differing = {
        name
        for name, value in weights(other).items()
        if not torch.equal(value, weights(trained)[name])
    }
    assert differing == {"voice_encoder.head.weight", "voice_encoder.head.bias"}


def test_what_is_kept_of_a_run_is_the_model_and_its_settings(
    tiny_run: Path, trained: Embedded
) -> None:
    again, config = load_embedded(tiny_run)
    assert config == tiny_recipe.config()
    assert have_equal_bits(trained, again)


def test_the_kernel_is_that_of_all_statistics_however_many_components_it_looks_at(
    trained: Embedded,
) -> None:
    voice = tiny_recipe.config().voice
    encoder = trained.model.voice_encoder
    frequencies, projection = encoder.get_buffer("frequencies"), encoder.get_buffer("projection")
    assert (projection.shape, len(frequencies)) == ((1024, voice.n_components), voice.n_components)
    # E cos(w (x - y)) = exp(-s^2 |x - y|^2 / 2) for w of deviation s, by definition of the kernel
    assert float(frequencies.square().mean()) == pytest.approx(2 * voice.gamma / 1024, rel=0.2)


def test_clips_that_lack_a_picture_are_left_out(tiny_page: Path) -> None:
    samples = samples_of(tiny_page, "train")
    config = tiny_recipe.config()
    assert usable(samples, "train", config) == samples and usable(samples, "val", config) == []
    lacking = [
        replace(samples[0], face=None),
        replace(samples[1], canonical=None),
        replace(samples[2], teachers={}),
        *samples[3:],
    ]
    assert usable(lacking, "train", config) == samples[3:]


@pytest.mark.parametrize(
    ("split", "n_kept", "words"),
    [
        ("train", 2, "2 people in the train split; give a corpus of at least 3"),
        ("train", 3, "6 faces for a code of 6 coordinates"),
        ("val", 0, "no clip in the val split"),
    ],
)
def test_too_few_clips_are_refused_before_anything_is_measured(
    split: str, n_kept: int, words: str, tiny_page: Path, tmp_path: Path
) -> None:
    samples = authors_page.read(tiny_page)
    kept = [sample for sample in samples if sample.split == split][:n_kept]
    others = [sample for sample in samples if sample.split != split]
    with pytest.raises(Speech2FaceError, match=words):
        train_embedded(
            [*kept, *others], tmp_path / "run", speaker_encoder={}, config=tiny_recipe.config()
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": 100},
        {"landmark_widths": (8,)},
        {"texture_branch": "linear"},
        {"texture_bias": False},
        {"channels": (96, 64, 32, 16)},
        {"base_size": 7},
    ],
)
def test_a_decoder_that_cannot_begin_as_a_linear_map_is_refused(
    change: dict[str, object],
) -> None:
    unfit: FaceDecoderConfig = replace(DECODER, **change)  # type: ignore[arg-type]
    with pytest.raises(Speech2FaceError, match="cannot start this face decoder"):
        EmbeddedConfig(decoder=unfit)


def test_renders_without_the_teacher_or_the_true_face_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"lack \['canonical'\]"):
        EmbeddedConfig(renders=("s2f_exg1.4",))
    with pytest.raises(Speech2FaceError, match=r"lack \['other'\]"):
        EmbeddedConfig(teacher="other")


def test_a_recipe_is_written_as_differences_and_read_back() -> None:
    import tomllib

    written = tomllib.loads(to_toml(EmbeddedConfig()))
    assert with_differences(EmbeddedConfig(), written) == EmbeddedConfig()
    with pytest.raises(Speech2FaceError, match="unknown settings"):
        with_differences(EmbeddedConfig(), {"voices": {}})

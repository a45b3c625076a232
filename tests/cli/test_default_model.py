"""`default-model` at toy size: what it refuses and keeps, and faces from photos by its model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe
from PIL import Image

from speech2face import load_model
from speech2face.cli import default_model
from speech2face.cli.main import main
from speech2face.configuration import read_differences, with_differences
from speech2face.data import authors_page
from speech2face.evaluation.features import FeatureSet
from speech2face.inference import release
from speech2face.models.hub import sha256_of
from speech2face.training.recipes.embedded import EmbeddedConfig

FILES = {"default.onnx", "default-face.onnx", "default.json", "default-photo.safetensors"}


def make(page: Path, run_dir: Path, out: Path, *further: object) -> int:
    """The command at toy size."""
    config = tiny_recipe.write_config(out.parent / "tiny.toml")
    places = ["--data", page, "--run-dir", run_dir, "--out", out, "--config", config]
    return main(["default-model", *map(str, [*places, *further])])


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a failing command prints."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_the_card_says_what_the_file_is_and_what_it_was_made_of(tiny_release: Path) -> None:
    assert {path.name for path in tiny_release.iterdir()} == FILES
    content = (tiny_release / "default.onnx").read_bytes()
    card = json.loads((tiny_release / "default.json").read_text())
    assert (card["name"], card["version"]) == ("default", 1)
    assert card["sha256"] == sha256_of(content) and card["size_bytes"] == len(content)
    face = (tiny_release / "default-face.onnx").read_bytes()
    assert card["face_sha256"] == sha256_of(face) and card["face_size_bytes"] == len(face)
    photo_map = (tiny_release / "default-photo.safetensors").read_bytes()
    assert card["photo_map_sha256"] == sha256_of(photo_map)
    assert card["licence"] == "research, non-commercial; see LICENSE-WEIGHTS"
    assert card["clips"] == {"train": {"clips": 8, "persons": 8}}
    assert card["seed"] == 0
    assert with_differences(EmbeddedConfig(), without_none(card["recipe"])) == tiny_recipe.config()
    assert card["largest_difference_from_torch"] < 1e-3
    assert {"torch", "commit", "frozen_networks", "trained_on"} <= card.keys()


def without_none(settings: dict) -> dict:  # type: ignore[type-arg]
    return {
        name: without_none(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None
    }


def test_the_file_itself_says_the_same_and_makes_faces(tiny_release: Path, tiny_page: Path) -> None:
    pipeline = load_model(tiny_release / "default.onnx")
    card = json.loads((tiny_release / "default.json").read_text())
    chosen = tiny_recipe.config().default_exaggeration
    assert pipeline.card.default_exaggeration == card["default_exaggeration"] == chosen
    assert (pipeline.card.feature_size, pipeline.card.draw_size) == (6, 6)
    said = {key: value for key, value in pipeline.card.details.items() if key != "part"}
    assert said.items() <= card.items()
    faces = [pipeline.reconstruct(sample.voice) for sample in authors_page.read(tiny_page)[:2]]
    assert np.abs(faces[0].feature - faces[1].feature).max() > 1e-3


def test_the_same_command_ends_with_the_same_bytes(
    tiny_release: Path, tiny_run: Path, tiny_page: Path, tmp_path: Path
) -> None:
    again = shutil.copytree(tiny_run / "measurements", tmp_path / "run" / "measurements").parent
    assert make(tiny_page, again, tmp_path / "out") == 0
    for name in ("default.onnx", "default-photo.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tiny_release / name).read_bytes()


def test_an_existing_model_is_kept_without_force_and_the_error_comes_before_the_work(
    tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run_dir = shutil.copytree(tiny_release, tmp_path / "out"), tmp_path / "run"
    line = complaint(
        capsys, "default-model", "--data", "absent", "--run-dir", run_dir, "--out", out
    )
    assert "default.json: there is a model already; give --force" in line
    line = complaint(
        capsys, "default-model", "--data", "absent", "--run-dir", run_dir, "--out", out, "--force"
    )
    assert line.startswith("absent: there are no clips of the authors' page here")
    assert not run_dir.exists()


def test_a_release_that_fails_leaves_the_model_that_was_there(
    tiny_release: Path,
    tiny_run: Path,
    tiny_page: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = shutil.copytree(tiny_release, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(release, "verify_parity", lambda *_: 0.5)
    assert make(tiny_page, tiny_run, out, "--force") == 1
    assert "differs from the model by 0.5" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_dry_run_prints_settings_that_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["default-model", "--set", "voice.gain=0.7", "--dry-run"]) == 0
    printed = tmp_path / "printed.toml"
    printed.write_text(capsys.readouterr().out)
    config = with_differences(EmbeddedConfig(), read_differences([printed], []))
    assert config == with_differences(EmbeddedConfig(), {"voice": {"gain": 0.7}})


def test_the_embedded_configuration_is_the_recipe_itself() -> None:
    path = Path(__file__).parents[2] / "configs" / "embedded.toml"
    assert with_differences(EmbeddedConfig(), read_differences([path], [])) == EmbeddedConfig()


def test_contradictory_options_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--data is missing" in complaint(capsys, "default-model")
    assert "unknown settings" in complaint(capsys, "default-model", "--set", "gain=1", "--dry-run")
    monkeypatch.setattr(default_model, "PACKAGE", tmp_path / "site-packages" / "speech2face")
    line = complaint(capsys, "default-model", "--data", tmp_path)
    assert "an installed package does not replace its own model; give --out" in line


# ---------------------------------------------------------------- reconstruct-photo, extract


@pytest.fixture
def photo(tiny_page: Path, tmp_path: Path) -> Path:
    """A drawn face in which dlib finds one."""
    face = authors_page.read(tiny_page)[0].face
    assert face is not None
    return Path(shutil.copy(face, tmp_path / "somebody.jpg"))


def test_each_photo_becomes_a_face_and_a_bad_one_is_named(
    tiny_release: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, out = tmp_path / "empty.png", tmp_path / "faces"
    Image.new("RGB", (100, 100), "white").save(empty)
    model = ["--model", str(tiny_release / "default.onnx"), "--out", str(out)]
    command = ["reconstruct-photo", str(photo), str(empty), str(tmp_path / "absent.jpg"), *model]
    assert main([*command, "--json"]) == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [("image" in line) for line in lines] == [True, False, False]
    assert np.shape(lines[0]["landmarks"]) == (68, 2)
    assert f"{empty}: no face was found" in printed.err and "absent.jpg" in printed.err
    with Image.open(out / "somebody.png") as face:
        assert (face.size, face.mode) == ((224, 224), "RGB")
        assert "not a picture of the person" in face.text["Description"]  # type: ignore[attr-defined]
    assert [path.name for path in out.iterdir()] == ["somebody.png"]
    assert "exists already" in complaint(capsys, "reconstruct-photo", photo, *model)
    assert main(["reconstruct-photo", str(photo), *model, "--force"]) == 0


def test_a_model_without_a_photo_map_says_so(
    stand_in_model: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = complaint(
        capsys, "reconstruct-photo", photo, "--model", stand_in_model, "--out", tmp_path / "faces"
    )
    assert "stand_in-photo.safetensors: the model came without a photo map" in line


def test_extract_writes_f2f_of_a_split_of_the_authors_page(
    tiny_release: Path, tiny_page: Path, tmp_path: Path
) -> None:
    out = tmp_path / "f2f"
    model = str(tiny_release / "default.onnx")
    arguments = ["--split", "val", "--pictures", "face"]
    assert main(["extract", model, str(tiny_page), str(out), *arguments]) == 0
    features = FeatureSet.load(out / "features.safetensors")
    val = [sample.id for sample in authors_page.read(tiny_page) if sample.split == "val"]
    assert features.ids.tolist() == val and features.values.shape == (2, 6)
    assert sorted(path.stem for path in (out / "faces").iterdir()) == sorted(val)

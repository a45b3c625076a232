"""`speech2face export`: a run directory of the recipe becomes a file that `reconstruct` takes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from media import EXAMPLES

from speech2face import load_model
from speech2face.cli.main import main
from speech2face.models.canonical_decoder import CanonicalFaceDecoder
from speech2face.models.checkpoint import Checkpoint, save_checkpoint
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.speech2face import FaceDrawing, Speech2Face
from speech2face.training.recipes.embedded import EmbeddedConfig, load_embedded
from speech2face.training.voice_head import VoiceHeadConfig

VOICE = str(EXAMPLES / "slt.ogg")
CONFIG = EmbeddedConfig(
    default_exaggeration=0.9,
    n_face=3,
    n_surround=1,
    voice=VoiceHeadConfig(gain=0.25),
)


@pytest.fixture(scope="module")
def untrained() -> Speech2Face:
    torch.manual_seed(0)
    encoder = CompactVoiceEncoder(CONFIG.encoder)
    decoder = CanonicalFaceDecoder(CONFIG.decoder)
    return Speech2Face(encoder, FaceDrawing(decoder, torch.randn(4), torch.randn(4, 4))).eval()


@pytest.fixture(scope="module")
def run_dir(untrained: Speech2Face, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory as the recipe leaves it, with a small and untrained model."""
    folder = tmp_path_factory.mktemp("run")
    photo = {"weight": torch.ones(4, 128), "bias": torch.zeros(4)}
    modules = {"speech2face": untrained.state_dict(), "photo_map": photo}
    checkpoint = Checkpoint("embedded", CONFIG, modules)
    save_checkpoint(checkpoint, folder / "model")
    return folder


def test_run_is_read_back_as_it_was(run_dir: Path, untrained: Speech2Face) -> None:
    embedded, config = load_embedded(run_dir)
    assert config.decoder == CONFIG.decoder
    assert config.default_exaggeration == CONFIG.default_exaggeration
    for name, value in untrained.state_dict().items():
        assert torch.equal(embedded.model.state_dict()[name], value)
    assert torch.equal(embedded.photo.weight, torch.ones(4, 128))


def test_exported_run_makes_faces_from_voices(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    assert main(["export", str(run_dir), str(out), "--check", VOICE]) == 0
    face = load_model(out).reconstruct(VOICE)
    assert face.exaggeration == CONFIG.default_exaggeration
    assert main(["reconstruct", VOICE, "--model", str(out), "--out", str(tmp_path / "faces")]) == 0
    assert (tmp_path / "faces" / "slt.png").exists()


def test_card_and_photo_map_are_written_beside_the_file(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    line = ["export", str(run_dir), str(out), "--licence", "CC0-1.0", "--trained-on", "nobody"]
    assert main(line) == 0
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"mine.onnx", "mine-face.onnx", "mine.json", "mine-photo.safetensors"}
    card = json.loads((tmp_path / "mine.json").read_text())
    assert card["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (card["name"], card["licence"], card["trained_on"]) == ("mine", "CC0-1.0", "nobody")
    assert card["recipe"]["voice"]["gain"] == CONFIG.voice.gain


def test_file_that_exists_is_kept_without_force(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine.onnx", "mine.json"):
        other = tmp_path / name
        other.write_text("dear")
        assert main(["export", str(run_dir), str(tmp_path / "mine.onnx")]) == 1
        assert f"{other}: the file exists already; give --force" in capsys.readouterr().err
        assert other.read_text() == "dear"
        other.unlink()
    (tmp_path / "mine.onnx").write_text("old")
    assert main(["export", str(run_dir), str(tmp_path / "mine.onnx"), "--force"]) == 0
    assert load_model(tmp_path / "mine.onnx").card.name == "mine"


def test_a_folder_that_is_not_a_finished_run_is_named(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "mine.onnx")
    assert main(["export", str(tmp_path), out]) == 1
    assert str(tmp_path / "model") in capsys.readouterr().err
    other = tmp_path / "other"
    save_checkpoint(
        Checkpoint("paper face decoder", CONFIG, {"face_decoder": {"weight": torch.ones(1)}}),
        other / "model",
    )
    assert main(["export", str(other), out]) == 1
    assert "a checkpoint of the paper face decoder" in capsys.readouterr().err
    assert main(["export", str(run_dir), str(tmp_path / "mine.png")]) == 1
    assert "give a name that ends in .onnx" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["other"]

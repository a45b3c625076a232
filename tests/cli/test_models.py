"""`speech2face models` on an invented package."""

import hashlib
import json
from pathlib import Path

import pytest

from speech2face.cli.main import main


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "default.onnx").write_bytes(b"weights")
    (folder / "default-face.onnx").write_bytes(b"textures")
    card = {
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "face_sha256": hashlib.sha256(b"textures").hexdigest(),
        "licence": "research only",
    }
    (folder / "default.json").write_text(json.dumps(card))
    monkeypatch.setattr("speech2face.models.hub.resources.files", lambda _: tmp_path)
    return folder


def test_list_names_every_model_with_licence_and_file(
    assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list"]) == 0
    line = f"default  0.0 MB  research only  {assets / 'default.onnx'}\n"
    assert capsys.readouterr().out == line


def test_verify_accepts_a_whole_model_and_refuses_a_changed_and_a_missing_one(
    assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify"]) == 0
    assert "default  whole" in capsys.readouterr().out
    (assets / "default.onnx").write_bytes(b"other weights")
    assert main(["models", "verify"]) == 1
    assert f"{assets / 'default.onnx'}: is not the model" in capsys.readouterr().err
    (assets / "default.onnx").unlink()
    assert main(["models", "verify"]) == 1
    assert "missing" in capsys.readouterr().err
    assert main(["models", "list"]) == 0
    assert "default  incomplete" in capsys.readouterr().out


def test_verify_checks_the_face_graph(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = assets / "default-face.onnx"
    face.write_bytes(b"other textures")
    assert main(["models", "verify"]) == 1
    assert f"{face}: is not the face graph that was shipped" in capsys.readouterr().err
    face.unlink()
    assert main(["models", "verify"]) == 1
    assert f"{face}: the face graph of the embedded model is missing" in capsys.readouterr().err


def test_verify_checks_the_photo_map_that_a_card_names(
    assets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((assets / "default.json").read_text())
    card["photo_map_sha256"] = hashlib.sha256(b"map").hexdigest()
    (assets / "default.json").write_text(json.dumps(card))
    photo_map = assets / "default-photo.safetensors"
    assert main(["models", "verify"]) == 1
    assert f"{photo_map}: the photo map of the embedded model is missing" in capsys.readouterr().err
    photo_map.write_bytes(b"other map")
    assert main(["models", "verify"]) == 1
    assert f"{photo_map}: is not the photo map" in capsys.readouterr().err
    photo_map.write_bytes(b"map")
    assert main(["models", "verify"]) == 0

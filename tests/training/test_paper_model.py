"""The paper's family at a narrow width: prepared, trained, exported, reconstructed, evaluated."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from media import EXAMPLES
from safetensors.torch import save_file

from speech2face import Speech2FaceError, load_model
from speech2face.audio.io import decode
from speech2face.cli.main import main
from speech2face.data.datasets import FeatureShards
from speech2face.face.vgg_face import VGGFace, VGGFaceConfig, header_of
from speech2face.inference.export import verify_parity
from speech2face.models.rounding import rounded_weights
from speech2face.training.paper_model import paper_model, spread_of, unexplained
from speech2face.training.recipes.paper import load_voice_encoder

SIZE = 16
NARROW = {
    "voice-encoder": ("model.channels=[4,4,4,4,4,4,4,4,4]", "clip_seconds=3"),
    "face-decoder": (
        "model.hidden_size=8",
        "model.landmark_widths=[8]",
        "model.channels=[4,4,4,4,4]",
    ),
}


def train(network: str, features: Path, run: Path, *settings: str) -> None:
    line = ["train", network, "--data", str(features), "--run-dir", str(run), "--device", "cpu"]
    every = (f"model.feature_size={SIZE}", "plan.batch_size=4", "plan.total_samples=8")
    for setting in (*NARROW[network], *every, *settings):
        line += ["--set", setting]
    assert main(line) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features, both runs and the exported model of an invented world."""
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    root = tmp_path_factory.mktemp("paper")
    torch.manual_seed(0)
    config = VGGFaceConfig(widths=(2, 2, 2, 2, 2), hidden=SIZE, n_identities=9, image_size=32)
    save_file(VGGFace(config).state_dict(), root / "vgg.safetensors", header_of(config))
    line = ["prepare", "invented", str(root / "world"), str(root / "features"), "--persons", "6"]
    line += ["--clip-seconds", "3", "--face-encoder", "vgg-face"]
    assert main([*line, "--vgg-face", str(root / "vgg.safetensors")]) == 0
    train("face-decoder", root / "features", root / "face")
    frozen = (f"face_decoder={root / 'face'}", f"vgg_face={root / 'vgg.safetensors'}")
    train("voice-encoder", root / "features", root / "voice", *frozen)
    assert main(export_line(root)) == 0
    return root


def export_line(root: Path, out: str = "paper.onnx") -> list[str]:
    line = ["export", str(root / "voice"), str(root / out)]
    return [*line, "--face-decoder", str(root / "face"), "--features", str(root / "features")]


def test_the_exported_files_make_faces_of_voices(folder: Path, tmp_path: Path) -> None:
    assert {path.name for path in folder.glob("paper*")} == {
        "paper.onnx",
        "paper-face.onnx",
        "paper.json",
    }
    line = ["reconstruct", str(EXAMPLES / "slt.ogg"), str(EXAMPLES / "rms.ogg"), "--spread", "2"]
    assert main([*line, "--model", str(folder / "paper.onnx"), "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.png"))) == 6
    card = json.loads((folder / "paper.json").read_text())
    assert (card["feature_size"], card["default_exaggeration"]) == (SIZE, 0.0)


def test_its_faces_are_evaluated_like_those_of_any_model(folder: Path, tmp_path: Path) -> None:
    """They are drawn from voices and compared with the true photos by another recogniser."""
    clips = str(folder / "features" / "manifest.jsonl")
    heard, drawn, photos = (str(tmp_path / name) for name in ("heard", "drawn", "photos"))
    assert main(["extract", str(folder / "paper.onnx"), clips, heard]) == 0
    assert main(["extract", "dlib", clips, drawn, "--pictures", f"{heard}/faces"]) == 0
    assert main(["extract", "dlib", clips, photos]) == 0
    sides = [f"{side}/features.safetensors" for side in (drawn, photos)]
    only = ["--protocols", "matching,retrieval,similarity"]  # all faces are nearly one
    assert main(["evaluate", *sides, *only, "--out", str(tmp_path / "report")]) == 0
    assert json.loads((tmp_path / "report" / "results.json").read_text())["sections"]


@pytest.mark.parametrize("seconds", [3.0, 6.0, 9.7])
def test_the_graphs_equal_torch(folder: Path, seconds: float) -> None:
    model = rounded_weights(paper_model(folder / "voice", folder / "face", folder / "features"))
    waveform = np.resize(decode(EXAMPLES / "rms.ogg").waveform, round(seconds * 16_000))
    draw = torch.randn(1, model.draw_size, generator=torch.Generator().manual_seed(0))
    difference = verify_parity(
        model, folder / "paper.onnx", torch.from_numpy(waveform)[None], exaggeration=1.4, draw=draw
    )
    assert difference <= 1 / 255
    pipeline = load_model(folder / "paper.onnx")
    (heard,) = pipeline.hearing.run(None, {"waveform": waveform[None]})
    with torch.no_grad():
        expected = model.hears(torch.from_numpy(waveform)[None])
    np.testing.assert_allclose(heard, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_the_mean_face_is_that_of_the_training_features(folder: Path) -> None:
    train_features = FeatureShards(folder / "features", "train")
    by_hand = train_features.read("face_feature", range(len(train_features))).float().mean(dim=0)
    model = paper_model(folder / "voice", folder / "face", folder / "features")
    torch.testing.assert_close(model.draws.mean_feature, by_hand)


def test_the_spread_has_the_covariance_of_what_the_encoder_leaves_unexplained(folder: Path) -> None:
    val = FeatureShards(folder / "features", "val")
    encoder = load_voice_encoder(folder / "voice")
    batch = val.voice_batch(range(len(val)))
    with torch.no_grad():
        residuals = batch.face_feature - encoder(batch.spectrogram)
    torch.testing.assert_close(unexplained(encoder, val), residuals)
    model = paper_model(folder / "voice", folder / "face", folder / "features")
    spread = model.draws.spread
    torch.testing.assert_close(spread.T @ spread, torch.cov(residuals.T), atol=1e-5, rtol=1e-3)


def test_a_short_spread_keeps_the_directions_in_which_residuals_differ_most() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([5.0, 3.0, 0.1, 0.1])
    residuals = torch.randn(500, 4, generator=generator) * scales
    spread = spread_of(residuals, 2)
    assert spread.shape == (2, 4)
    variance, directions = torch.linalg.eigh(torch.cov(residuals.T))
    kept = directions[:, 2:] @ torch.diag(variance[2:]) @ directions[:, 2:].T
    torch.testing.assert_close(spread.T @ spread, kept, atol=1e-3, rtol=1e-3)


def test_runs_and_features_that_do_not_belong_together_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["export", str(folder / "voice"), str(tmp_path / "a.onnx")]) == 1
    assert (
        "add --face-decoder, the run of its face decoder, and --features" in capsys.readouterr().err
    )
    with pytest.raises(Speech2FaceError, match="paper voice encoder"):
        paper_model(folder / "face", folder / "face", folder / "features")
    other = tmp_path / "features"
    shutil.copytree(folder / "features", other)
    description = json.loads((other / "features.json").read_text())
    (other / "features.json").write_text(json.dumps(description | {"clip_seconds": 6.0}))
    with pytest.raises(Speech2FaceError, match="trained on other features"):
        paper_model(folder / "voice", folder / "face", other)

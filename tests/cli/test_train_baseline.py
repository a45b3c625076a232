"""`speech2face train kim` and the like, from a manifest."""

from pathlib import Path

import numpy as np
import pytest
from fake_instruments import ColourEncoder, Eye, Labeller
from PIL import Image
from scipy.io.wavfile import write as write_wav
from stand_in import WITH_DESCRIPTORS, write_stand_in

from speech2face.baselines.trainer import load_baseline
from speech2face.cli.main import main
from speech2face.data.manifest import write_manifest
from speech2face.data.sample import Sample
from speech2face.face.instruments import Instruments
from speech2face.inference import pictures

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "kim-paper.toml"


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three people of train and one of val, of noise and one colour each."""
    instruments = Instruments(Eye(), (ColourEncoder(),), Labeller())  # type: ignore[arg-type]
    monkeypatch.setattr(pictures, "Instruments", lambda: instruments)
    rng = np.random.default_rng(0)
    samples = []
    for name in "abcd":
        voice, face = tmp_path / f"{name}.wav", tmp_path / f"{name}.png"
        write_wav(voice, 16_000, (3000 * rng.standard_normal(32_000)).astype(np.int16))
        Image.new("RGB", (48, 48), tuple(rng.integers(0, 256, 3))).save(face)
        split = "val" if name == "d" else "train"
        samples.append(Sample(id=name, person=name, voice=voice, face=face, split=split))
    write_manifest(tmp_path / "clips.jsonl", samples)
    return tmp_path / "clips.jsonl"


@pytest.mark.usefixtures("everything_is_speech")
def test_the_size_of_the_paper_is_trained_from_a_manifest(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_stand_in(tmp_path / "model.onnx", **WITH_DESCRIPTORS)
    places = ["--data", str(manifest), "--run-dir", str(tmp_path / "run"), "--model", str(model)]
    places += ["--readings", str(tmp_path / "readings")]
    settings = ["width_share=0.02", "plan.batch_size=2", "plan.epochs=2"]
    sets = [word for one in settings for word in ("--set", one)]
    assert main(["train", "kim", *places, "--config", str(CONFIG), *sets]) == 0
    assert "6 samples" in capsys.readouterr().out  # of three clips, twice
    trained, _ = load_baseline("kim", tmp_path / "run")
    assert trained.size == "paper" and trained.adam.learning_rate == 1e-4
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "kim.onnx")]) == 1
    assert "only compact ones are exported" in capsys.readouterr().err


def test_a_missing_place_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "kim", "--run-dir", "run"]) == 1
    assert "--data is missing" in capsys.readouterr().err

"""Fixtures that every room of the tests shares."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from speech2face.audio import recording
from speech2face.audio.speech import Speech
from speech2face.onnx_runtime import load_onnxruntime

load_onnxruntime()  # before a test imports it: no test run reports home either

ASSETS = Path(__file__).resolve().parents[1] / "speech2face" / "assets"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real clips beside the project; tests that need it skip elsewhere."""
    if not (SHARED_DATA / "authors_page" / "manifest.jsonl").exists():
        pytest.skip("the shared research data is not beside this checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def default_asset() -> Path:
    """File of the embedded model; tests that need it skip while it is being trained."""
    if not (ASSETS / "default.onnx").exists():
        pytest.skip("the embedded model is not there: make default-model")
    return ASSETS / "default.onnx"


@pytest.fixture(scope="session")
def stand_in_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny exported model of the same contract as the real one, without trained weights."""
    from stand_in import write_stand_in

    return write_stand_in(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(scope="session")
def tiny_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people in the layout of the authors' page, without the files of the test clips."""
    from tiny_recipe import write_page

    return write_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def tiny_run(tiny_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run directory of the whole recipe at toy size, trained once for all tests."""
    from tiny_recipe import train

    folder = tmp_path_factory.mktemp("tiny") / "run"
    train(tiny_page, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_release(tiny_page: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the toy model as `speech2face default-model` releases it."""
    from tiny_recipe import write_config

    from speech2face.cli.main import main

    out = tmp_path_factory.mktemp("release")
    config = write_config(out.parent / "tiny.toml")
    places = ["--data", str(tiny_page), "--run-dir", str(tiny_run), "--out", str(out)]
    assert main(["default-model", *places, "--config", str(config)]) == 0
    return out


@pytest.fixture
def everything_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hear noise and tones as if they were speech, where a test is about something else."""

    def whole(blocks: Iterable[NDArray[np.float32]], max_samples: int) -> Speech:
        waveform, truncated = recording._first_samples(blocks, max_samples)
        return Speech(waveform, recording._loudest(waveform), truncated)

    monkeypatch.setattr(recording, "find_speech", whole)

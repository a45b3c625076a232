"""Fixtures that every room of the tests shares."""

from pathlib import Path

import pytest

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

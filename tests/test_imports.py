"""The modules that are loaded when a face is made, measured in separate processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from media import EXAMPLES

import speech2face

HEAVY = ("torch", "ray", "fastapi", "matplotlib", "scipy", "sklearn", "dlib", "onnx", "soundfile")


def loaded_by(script: str) -> set[str]:
    """Names of the top-level modules that are loaded after `script` ran."""
    tell = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    finished = subprocess.run(
        [sys.executable, "-c", script + tell], capture_output=True, text=True, check=True
    )
    return set(finished.stdout.splitlines()[-1].split())


def test_the_public_names_are_these() -> None:
    names = {"Face", "Matcher", "Pipeline", "Speech2FaceError", "__version__"}
    names |= {"load_matcher", "load_model"}
    assert set(speech2face.__all__) == names  # taking one away breaks somebody's program
    assert all(hasattr(speech2face, name) for name in names)


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import speech2face")
    assert not loaded & {*HEAVY, "av", "onnxruntime", "PIL"}
    assert "numpy" not in loaded
    assert "speech2face" in loaded  # the measure works


@pytest.mark.parametrize("arguments", [["--help"], ["reconstruct", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"from speech2face.cli.main import main; assert main({arguments}) == 0"
    assert not loaded_by(script) & {*HEAVY, "av", "onnxruntime", "PIL"}


def test_a_real_reconstruction_loads_no_torch(stand_in_model: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", str(EXAMPLES / "slt.ogg"), "--spread", "1"]
    arguments += ["--out", str(tmp_path), "--model", str(stand_in_model)]
    script = f"from speech2face.cli.main import main; assert main({arguments}) == 0"
    loaded = loaded_by(script)
    assert not loaded & set(HEAVY)
    assert {"av", "onnxruntime", "PIL"} <= loaded

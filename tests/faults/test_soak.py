"""Many reconstructions in one process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def soak(n: int, *arguments: str) -> dict[str, object]:
    command = [sys.executable, str(SOAK), "--reconstructions", str(n), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    record: dict[str, object] = json.loads(finished.stdout)
    return record


def test_a_hundred_reconstructions_keep_memory_and_faces(stand_in_model: Path) -> None:
    assert soak(100, "--model", str(stand_in_model))["same_faces"] is True


@pytest.mark.slow
@pytest.mark.usefixtures("default_asset")
def test_five_thousand_reconstructions_keep_memory_and_faces() -> None:
    assert soak(5000)["same_faces"] is True

"""Data for the long commands, and each command after one uninterrupted run."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from long_commands import LongCommand, make
from media import EXAMPLES

from speech2face.cli.main import main

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # they look at processes through /proc

MADE = pytest.StashKey[dict[str, LongCommand]]()


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `world/manifest.jsonl` and the features that `prepare` makes of it."""
    pytest.importorskip("dlib", reason="the face extra is not installed")
    folder = tmp_path_factory.mktemp("world")
    line = ["prepare", "invented", str(folder / "world"), str(folder / "features")]
    assert main([*line, "--persons", "6", "--clip-seconds", "3"]) == 0
    return folder


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("voices")
    names = [str(folder / f"v{number:02d}.ogg") for number in range(20)]
    for number, name in enumerate(names):
        shutil.copy(sorted(EXAMPLES.glob("*.ogg"))[number % 4], name)
    return names


@pytest.fixture(scope="session")
def pair_of_features(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Features of forty clips, made from the voices and of the true photos."""
    from speech2face.evaluation.features import FeatureSet

    folder, chance = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    true = chance.normal(size=(40, 8)).astype(np.float32)
    made = true + chance.normal(scale=0.5, size=true.shape).astype(np.float32)
    ids = np.array([f"c{row:02d}" for row in range(40)])
    persons = np.array([f"p{row // 2:02d}" for row in range(40)])
    files = {"made": made, "true": true}
    for name, values in files.items():
        FeatureSet(ids=ids, persons=persons, values=values).save(folder / f"{name}.safetensors")
    return [str(folder / f"{name}.safetensors") for name in files]


@pytest.fixture
def long_command(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LongCommand:
    """One of the long commands, after one unbroken run of it."""
    cache = request.config.stash.setdefault(MADE, {})
    if request.param not in cache:
        cache[request.param] = make(
            request.param, request.getfixturevalue, tmp_path_factory.mktemp("unbroken")
        )
    return cache[request.param]

"""The conditions of the matcher: rows against hand-worked vectors, and photos that nobody needs."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matching import tiny_matcher, write_tiny_matcher

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    name = "matcher_conditions"
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_a_row_counts_what_is_used_and_what_is_nearest_to_its_own(benchmark: ModuleType) -> None:
    clean = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    changed = np.array([[0.8, 0.6], [np.nan, np.nan], [1.0, 0.0]])
    found = benchmark.row(clean, changed)
    # Of the two that are left, 0.8 0.6 is nearer to 0.6 0.8 (0.96) than to its own (0.8).
    assert (found.n_used, found.n_asked, found.n_own) == (2, 3, 0)
    assert found.cosine == pytest.approx((0.8 + 0.6) / 2)


def test_voices_that_are_not_changed_are_their_own_nearest(
    benchmark: ModuleType, tmp_path: Path, everything_is_speech: None
) -> None:
    matcher = tiny_matcher(write_tiny_matcher(tmp_path))
    rng = np.random.default_rng(0)
    speakers = [
        benchmark.Speaker(sound, sound)
        for sound in (scale * rng.standard_normal(64_000).astype("f4") for scale in (0.02, 0.2))
    ]
    found = benchmark.of_voices(matcher, speakers, ["4 s of it", "3 s of it", "60 s of it"])
    assert found["3 s of it"].n_used == found["3 s of it"].n_own == 2
    assert found["60 s of it"].n_asked == 0
    assert len(found) == 3  # and the two halves


def test_photos_lose_their_colour_only_where_they_should(
    benchmark: ModuleType, tmp_path: Path
) -> None:
    matcher = tiny_matcher(write_tiny_matcher(tmp_path))
    photos = [np.full((40, 40, 3), one, np.uint8) for one in ((200, 20, 20), (20, 200, 20))]
    black = np.zeros((40, 40, 3), np.uint8)  # nobody is found in it
    found = benchmark.of_photos(matcher, [*photos, black])
    assert found["mirrored"] == (2, 2, pytest.approx(1.0), 2)
    assert found["32 pixels"].n_own == 2 and found["grey"].cosine < 0.99

"""The table of conditions: its changes of a voice, its measures, and a run on sample voices."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEECH = np.random.default_rng(0).standard_normal(4 * 16_000).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conditions", ROOT / "benchmarks/conditions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conditions"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """LibriSpeech's flat layout with the four synthetic sample voices, one of them twice."""
    lines = []
    for number, voice in enumerate(sorted((ROOT / "examples").glob("*.ogg"))):
        for part in range(2 if voice.stem == "slt" else 1):
            file = f"{number}-1-{part}.ogg"
            shutil.copy(voice, tmp_path / file)
            lines.append(json.dumps({"file": file, "speaker": number, "subset": "test-clean"}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_silence_is_added_and_nothing_else_is_changed(benchmark: ModuleType, place: str) -> None:
    heard = benchmark.with_silence(SPEECH, place=place, multiple=0.5)
    assert len(heard) == 1.5 * len(SPEECH)
    np.testing.assert_array_equal(heard[heard != 0], SPEECH[SPEECH != 0])
    silent = np.flatnonzero(heard == 0)
    runs = 1 + int((np.diff(silent) > 1).sum())
    assert runs == (3 if place == "between" else 1)
    assert (silent[0] == 0, silent[-1] == len(heard) - 1) == (place == "before", place == "after")


def test_a_pause_is_put_where_it_is_quiet(benchmark: ModuleType) -> None:
    speech = SPEECH.copy()
    speech[30_000:30_400] *= 0.01
    assert 30_100 <= benchmark.quietest_near(speech, 32_000) <= 30_300


def test_noise_has_the_level_and_the_length_that_are_asked_for(benchmark: ModuleType) -> None:
    heard = benchmark.after_noise(SPEECH, dbfs=-40.0)
    noise, speech = np.split(heard, [2 * len(SPEECH)])
    np.testing.assert_array_equal(speech, SPEECH)
    assert 20 * np.log10(noise.std()) == pytest.approx(-40, abs=0.1)


def test_a_face_is_compared_with_those_of_everybody(benchmark: ModuleType) -> None:
    """Against a plain loop: three speakers, of whom one is refused and one becomes another."""
    clean = benchmark.Faces(
        np.array([[0, 0], [10, 10], [20, 20]], np.float32), np.eye(3, dtype=np.float32)
    )
    changed = benchmark.Faces(
        np.array([[1, 3], [np.nan, np.nan], [9, 9]], np.float32),
        np.array([[1, 0, 0], [np.nan] * 3, [0, 0, 0.5]], np.float32),
    )
    moved = benchmark.moved(changed, clean, n_asked=3)
    assert (moved.n_made, moved.n_own, moved.n_own_feature) == (2, 1, 2)
    assert moved.grey == pytest.approx((2 + 11) / 2)
    assert moved.feature == pytest.approx((0 + 0.5) / 2)


def test_all_conditions_of_a_voice_can_be_heard(benchmark: ModuleType) -> None:
    speaker = benchmark.Speaker(SPEECH, np.tile(SPEECH, 2))
    heard = {name: change(speaker) for name, change in benchmark.conditions().items()}
    assert [name for name, one in heard.items() if one is None] == ["30 s of it", "60 s of it"]
    assert len(heard["6 s of it"]) == 6 * 16_000
    assert heard["two channels, one inverted"].sum(axis=0).any() == np.False_


@pytest.mark.slow
def test_a_table_of_four_voices(
    benchmark: ModuleType,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = ("silence before, 2 times the speech", "12 s of it", "AMR, 12.2 kbit/s")
    every = benchmark.conditions() | {
        "12 s of it": lambda speaker: benchmark.cut(speaker, seconds=12.0),
    }
    rows = {name: every[name] for name in chosen}
    rows["noise alone"] = lambda speaker: SPEECH
    monkeypatch.setattr(benchmark, "conditions", lambda: rows)
    monkeypatch.setattr(sys, "argv", ["conditions.py", "--data", str(corpus), "--speakers", "4"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    table = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines[2:]}
    assert float(table["silence before, 2 times the speech"][1]) < 0.5
    assert table["silence before, 2 times the speech"][2] == "4"
    assert table["12 s of it"][2] == "1 of 1"  # only one says so much
    assert table["noise alone (4 refused)"][0] == "no face"
    assert table[benchmark.OTHER_HALF][1] == "1.00"

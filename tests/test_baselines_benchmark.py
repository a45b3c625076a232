"""The benchmark of the other systems: nobody is judged by a network that knows the person."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from invented_clips import invented_clips

from speech2face.baselines.clips import Clips, descriptions, features
from speech2face.baselines.settings import KimTraining
from speech2face.baselines.trainer import load_baseline
from speech2face.report.contestants import Contestant, Judges
from speech2face.training.voice_head import person_folds

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "baselines.py"
spec = importlib.util.spec_from_file_location("baselines_benchmark", FILE)
assert spec is not None and spec.loader is not None
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

KIM = KimTraining()
TINY = replace(
    KIM,
    width=8,
    view=replace(KIM.view, size=8),
    plan=replace(KIM.plan, batch_size=16, epochs=10),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return invented_clips(tmp_path_factory.mktemp("world"), 30)


def test_every_fold_is_judged_by_networks_that_learned_from_the_others(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def record(
        name: str, settings: KimTraining, train: Clips, judges: Judges, out: Path
    ) -> list[Contestant]:
        seen.append((set(train.pairs.persons), set(judges.clips.pairs.persons)))
        return []

    monkeypatch.setattr(benchmark, "contestants_of", record)
    list(benchmark.judged("kim", TINY, clips, None, range(benchmark.N_FOLDS), tmp_path))
    everybody = set(clips.pairs.persons)
    assert all(learned | held == everybody and not learned & held for learned, held in seen)
    assert sorted(name for _, held in seen for name in held) == sorted(everybody)


def test_the_figures_of_a_fold_are_those_of_a_plain_loop(
    clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = list(benchmark.judged("kim", TINY, clips, None, [1], tmp_path))
    ((_, (contestant,)),) = folds
    _, network = load_baseline("kim", tmp_path / "fold-1" / "runs" / "kim-voice-to-face")
    parts = person_folds(clips.pairs.persons, benchmark.N_FOLDS, benchmark.FOLD_SEED).numpy()
    held = clips.take(np.flatnonzero(parts == 1))
    with torch.no_grad():
        apart = torch.cdist(network.voice(descriptions(held)), network.face(features(held)))
    right = apart.diagonal()[:, None] < apart
    expected = right[~torch.eye(len(held), dtype=torch.bool)].float().mean().item()
    found = contestant.scores["V->F"]["1:2 U"].value
    assert found == pytest.approx(expected, abs=1e-6)
    benchmark.show([*folds, *folds])
    printed = capsys.readouterr().out
    assert f"mean of 2, {contestant.name}, V->F: 1:2 U {100 * expected:.1f}" in printed


def test_other_settings_have_another_folder() -> None:
    other = replace(TINY, width=9)
    assert benchmark.folder_of("kim", TINY) == benchmark.folder_of("kim", replace(other, width=8))
    assert benchmark.folder_of("kim", TINY) != benchmark.folder_of("kim", other)

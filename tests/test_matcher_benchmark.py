"""The benchmark of the matcher against plain loops, on people with common causes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from matching import invented_pairs

from speech2face.evaluation.protocols import judge
from speech2face.face.instruments import Readings
from speech2face.training.recipes.matcher import MatcherConfig, Pairs, fold_maps

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "matcher.py"
spec = importlib.util.spec_from_file_location("matcher_benchmark", FILE)
assert spec is not None and spec.loader is not None
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

CONFIG = MatcherConfig(voice_shares=(0.5, 0.5), face_shares=(0.7, 0.3), n_components=8)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return invented_pairs(30, noise=2.0)


@pytest.fixture(scope="module")
def others() -> Readings:
    made = invented_pairs(12, noise=2.0, seed=4)
    nothing = np.zeros(12)
    return Readings(nothing == 0, np.zeros((12, 68, 2)), made.features, made.genders, nothing)


def test_voices_are_asked_with_maps_that_do_not_know_them(pairs: Pairs, others: Readings) -> None:
    compared = benchmark.compared(pairs, [f"{n}" for n in range(30)], others, CONFIG)
    comparison = compared["voice to face"]
    scores = judge(comparison, comparison.systems[0], benchmark.SPACE)
    everybody, alike = [], []
    genders = np.concatenate([pairs.genders, others.apparent_gender])
    for held, maps in fold_maps(pairs, CONFIG):
        faces = np.concatenate([maps.of_faces(one) for one in (pairs.features, others.features)])
        for row in held:
            score = faces @ maps.of_voices(pairs.descriptors[[row]])[0]
            beaten = np.delete(score < score[row], row)
            everybody.append(beaten.mean())
            alike.append(beaten[np.delete(genders == genders[row], row)].mean())
    assert scores["1:2 U"].value == pytest.approx(np.mean(everybody), abs=1e-6)
    assert scores["1:2 G"].value == pytest.approx(np.mean(alike), abs=1e-6)
    assert scores["1:2 U"].n == 30 and len(comparison.gallery_persons()) == 42


def test_photos_are_asked_among_the_voices_of_the_clips(pairs: Pairs, others: Readings) -> None:
    compared = benchmark.compared(pairs, [f"{n}" for n in range(30)], others, CONFIG)
    comparison = compared["face to voice"]
    scores = judge(comparison, comparison.systems[0], benchmark.SPACE)
    found = []
    for held, maps in fold_maps(pairs, CONFIG):
        voices = maps.of_voices(pairs.descriptors)
        for row in held:
            score = voices @ maps.of_faces(pairs.features)[row]
            found.append(np.delete(score < score[row], row).mean())
    assert scores["1:2 U"].value == pytest.approx(np.mean(found), abs=1e-6)
    assert len(comparison.gallery_persons()) == 30


def test_the_figures_are_printed_with_their_controls(
    pairs: Pairs, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = benchmark.compared(pairs, [f"{n}" for n in range(30)], None, CONFIG)
    benchmark.show(compared["voice to face"])
    printed = capsys.readouterr().out
    assert "1:2 U" in printed and "gender alone" in printed and "constant output" in printed

"""Systems compared in one gallery: figures of one code, and a report that can be continued."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matching import invented_pairs

from speech2face.baselines.clips import Clips
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.report import compare as page
from speech2face.report.contestants import DIRECTIONS, Judges, embedded


def judges(n_people: int = 20) -> Judges:
    pairs = invented_pairs(n_people)
    samples = [
        Sample(id=str(number), person=name, voice=Path("none.wav"))
        for number, name in enumerate(pairs.persons)
    ]
    return Judges(Clips.of(pairs, samples, np.zeros((n_people, 68, 2))), None)


def sides(noise: float, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    faces = rng.standard_normal((n, 8))
    return faces + noise * rng.standard_normal((n, 8)), faces


def test_a_chooser_that_compares_vectors_has_the_figures_of_these_vectors() -> None:
    panel, (voices, faces) = judges(), sides(1.5)
    comparison = panel.comparison("V->F", "x", (voices, faces))
    by_vectors = protocols.judge(comparison, comparison.systems[0], "x")
    asked, shown = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (voices, faces))
    cosines = asked @ shown.T
    outcome = protocols.outcome_of_leads(comparison, cosines.diagonal()[:, None] - cosines)
    by_leads = protocols.scores_of(comparison, outcome)
    assert set(by_leads) == {"1:2 U", "1:2 G"}
    for name, score in by_leads.items():
        assert score.value == pytest.approx(by_vectors[name].value)
        assert score.interval == by_vectors[name].interval


def test_the_difference_of_systems_in_two_spaces_is_the_one_of_their_figures() -> None:
    panel = judges()
    good, poor = embedded("good", panel, sides(0.3)), embedded("poor", panel, sides(3.0))
    comparison = panel.comparison("V->F", "x", sides(0.3))
    found = protocols.difference_of(comparison, good.outcomes["V->F"], poor.outcomes["V->F"])
    for name in ("1:2 U", "R@10%"):
        apart = good.scores["V->F"][name].value - poor.scores["V->F"][name].value
        assert found[name].value == pytest.approx(apart)
    assert found["1:2 U"].interval is not None and found["1:2 U"].interval.excludes(0)


def test_a_perfect_system_is_right_in_both_directions_and_fails_with_other_voices() -> None:
    perfect = embedded("perfect", judges(), sides(0.0))
    for direction in DIRECTIONS:
        scores = perfect.scores[direction]
        assert scores["1:2 U"].value == scores["1:10 U"].value == scores["AUC U"].value == 1.0
    assert perfect.controls["shuffled voices"]["1:2 U"] < 0.5


def test_a_small_gallery_has_the_figures_that_it_can_have() -> None:
    scores = embedded("few people", judges(6), sides(0.3, 6)).scores["V->F"]
    assert "1:10 U" not in scores and scores["1:2 U"].n == 6


def test_an_unknown_system_is_refused_before_any_work(tmp_path: Path) -> None:
    pipeline: Any = None
    with pytest.raises(Speech2FaceError, match="unknown system 'nobody'"):
        page.compare(tmp_path, pipeline, tmp_path / "out", systems=["nobody"])
    assert not (tmp_path / "out").exists()


def test_a_split_without_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="0 clips of the split 'val'"):
        page._refuse_no_clips("val", 0, tmp_path)


def test_published_figures_of_machines_and_of_people_are_in_tables_of_their_own() -> None:
    machines = page.published_table("voice_face_matching")
    people = page.published_table("voice_face_humans")
    assert "crowd" not in json.dumps(machines.rows) and "crowd" in json.dumps(people.rows)
    assert "Differs" in machines.note and "Differs" in people.note

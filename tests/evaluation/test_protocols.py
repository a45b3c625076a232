"""Protocols by name: perfect features reach the ceiling, shuffled ones chance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2face.errors import Speech2FaceError
from speech2face.evaluation import protocols
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.evaluation.protocols import PROTOCOLS, Pairs, sections_of, training_section
from speech2face.evaluation.report import Report, Section, write_report
from speech2face.evaluation.uncertainty import Score

N_PERSONS = 12


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 10,000 trials is for reports."""
    monkeypatch.setattr(protocols, "N_TRIALS", 400)


def photos(n: int = N_PERSONS, prefix: str = "p", seed: int = 0) -> FeatureSet:
    generator = np.random.default_rng(seed)
    values = np.repeat(generator.normal(size=(n, 6)), 2, axis=0)  # both clips of a person alike
    values += generator.normal(scale=1e-3, size=values.shape)
    persons = [f"{prefix}{i // 2:02d}" for i in range(2 * n)]
    ids = [f"{person}_{i % 2}" for i, person in enumerate(persons)]
    return FeatureSet(np.array(ids), np.array(persons), values, Provenance(recogniser="r"))


def with_values(features: FeatureSet, values: np.ndarray) -> FeatureSet:
    return FeatureSet(features.ids, features.persons, values, features.provenance)


def genders(features: FeatureSet) -> np.ndarray:
    """The first half of the persons and the second."""
    return np.where(features.persons < "p06", "female", "male")


def perfect_pairs() -> Pairs:
    true = photos()
    return Pairs.of(true, true, distractors=photos(5, "d", 1), labels={"gender": genders(true)})


def scores_of(section: Section) -> dict[str, Score]:
    """Every score by table and name; a name alone may stand in several tables."""
    return {
        f"{table.caption}/{row[0]}": cell
        for table in section.tables
        for row in table.rows
        for cell in row
        if isinstance(cell, Score)
    }


def test_a_perfect_predictor_reaches_the_ceiling_of_every_protocol(tmp_path: Path) -> None:
    pairs = perfect_pairs()
    for protocol in ("retrieval", "matching", "verification"):
        for name, score in scores_of(PROTOCOLS[protocol](pairs, tmp_path)).items():
            measure = name.split("/")[1]
            if score.details.get("places") == 0:  # one percent of so small a gallery is nobody
                assert score.value == score.chance == 0
            elif measure.startswith("EER"):
                assert score.value == 0, name
            else:
                assert score.value == 1, name
    similarity = scores_of(PROTOCOLS["similarity"](pairs, tmp_path))
    angle = next(score for name, score in similarity.items() if name.endswith("/angle"))
    assert angle.value == pytest.approx(0, abs=1e-6)
    assert angle.controls["mean face"] > 30


def test_a_shuffled_predictor_stays_at_chance(tmp_path: Path) -> None:
    true = photos(150)
    pairs = Pairs.of(with_values(true, np.random.default_rng(9).normal(size=(300, 6))), true)
    for name, score in scores_of(PROTOCOLS["matching"](pairs, tmp_path)).items():
        assert score.value == pytest.approx(score.chance, abs=0.08), name


def test_every_protocol_runs_and_its_report_can_be_written(tmp_path: Path) -> None:
    pairs = perfect_pairs()
    pairs = replace(pairs, labels={**pairs.labels, "generated_gender": pairs.labels["gender"]})
    sections = sections_of(list(PROTOCOLS), pairs, tmp_path)
    assert [section.name for section in sections] == list(PROTOCOLS)
    write_report(Report("all", {}, tuple(sections)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "10.92" in text and "45.75" in text  # published tables stand beside ours


def test_matching_stores_its_trial_lists_and_draws_them_again_alike(tmp_path: Path) -> None:
    for folder in ("first", "again"):
        PROTOCOLS["matching"](perfect_pairs(), tmp_path / folder)
    first = sorted((tmp_path / "first" / "trials").iterdir())
    assert len(first) == 2
    for path in first:
        assert path.read_bytes() == (tmp_path / "again" / "trials" / path.name).read_bytes()


def test_the_gender_oracle_stands_beside_matching_where_gender_is_known(tmp_path: Path) -> None:
    scores = scores_of(PROTOCOLS["matching"](perfect_pairs(), tmp_path))
    unrestricted = next(s for n, s in scores.items() if n.endswith("person/1:2 U"))
    within = next(s for n, s in scores.items() if n.endswith("person/1:2 G"))
    # Half of everybody: 5 of the 11 others share the gender, so 1 - (5 / 11) / 2.
    assert unrestricted.oracle == pytest.approx(1 - 5 / 22)
    assert within.oracle == 0.5


def test_a_model_that_always_says_the_same_has_no_stability_gap(tmp_path: Path) -> None:
    true = photos()
    constant = with_values(true, np.ones((len(true), 6)))
    scores = scores_of(PROTOCOLS["stability"](Pairs.of(constant, true), tmp_path))
    found = {name.split("/")[1]: score for name, score in scores.items()}
    assert found["a"].value == pytest.approx(1)
    assert found["a - b"].value == pytest.approx(0)
    assert found["AUC U"].value == pytest.approx(0.5)


def test_any_label_column_is_compared_with_that_of_the_generated_faces(tmp_path: Path) -> None:
    true = photos()
    said = genders(true)
    heard = said.copy()
    heard[:6] = ["male", "", "male", "female", "female", "female"]  # of six female photos
    labels = {"gender": said, "generated_gender": heard}
    section = PROTOCOLS["labels"](Pairs.of(true, true, labels=labels), tmp_path)
    accuracy = scores_of(section)["gender: agreement with the true photo/gender accuracy"]
    assert accuracy.value == pytest.approx(21 / 24)
    assert accuracy.details["undetected"] == 1
    with pytest.raises(Speech2FaceError, match="generated_"):
        PROTOCOLS["labels"](Pairs.of(true, true, labels={"gender": said}), tmp_path)


def test_language_is_reported_for_bilingual_persons_and_excused_without(tmp_path: Path) -> None:
    true = photos()
    languages = np.array(["English", "Urdu"] * N_PERSONS)
    section = PROTOCOLS["stability"](Pairs.of(true, true, labels={"language": languages}), tmp_path)
    assert "left out: no pair" in section.text[-1]  # nobody has two clips of one language
    threes = np.array(["English", "English", "Urdu", "Urdu"] * (N_PERSONS // 2))
    both = FeatureSet(
        true.ids, np.repeat(np.unique(true.persons)[::2], 4), true.values, true.provenance
    )
    section = PROTOCOLS["stability"](Pairs.of(both, both, labels={"language": threes}), tmp_path)
    assert len(section.tables) == 2


def test_training_curves_become_a_section_with_their_last_losses(tmp_path: Path) -> None:
    stats = tmp_path / "stats.jsonl"
    stats.write_text(
        '{"samples_seen": 8, "split": "train", "total": 2.0}\n'
        '{"samples_seen": 16, "split": "train", "total": 1.0}\n'
        '{"samples_seen": 16, "split": "val", "total": 1.5}\n'
    )
    section = training_section({"pilot": stats}, tmp_path)
    assert section.tables[0].rows == (("pilot", "total", 16, 1.0),)
    assert section.pictures[0].path.is_file()


def test_one_person_other_ids_and_unknown_protocols_are_refused(tmp_path: Path) -> None:
    true = photos()
    one = true.at(np.flatnonzero(true.persons == "p00"))
    with pytest.raises(Speech2FaceError, match="one person"):
        Pairs.of(one, one)
    with pytest.raises(Speech2FaceError, match="no reference feature"):
        Pairs.of(true, true.at(np.arange(4)))
    with pytest.raises(Speech2FaceError, match="unknown protocol 'magic'"):
        sections_of(["magic"], perfect_pairs(), tmp_path)

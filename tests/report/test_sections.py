"""Sections by the names of their protocols: perfect features reach the ceiling, others chance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.errors import NotWrittenError, Speech2FaceError
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.evaluation.uncertainty import Score
from speech2face.face.instruments import Readings
from speech2face.report import recognition
from speech2face.report.document import Report, Section, write_report
from speech2face.report.recognition import summary_tables
from speech2face.report.sections import PROTOCOLS, section_or_reason, sections_of
from speech2face.report.tables import Table
from speech2face.report.training import training_section

N_PERSONS = 12


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 10,000 trials is for reports."""
    monkeypatch.setattr(recognition, "N_TRIALS", 400)


def photos(n: int = N_PERSONS, prefix: str = "p", seed: int = 0) -> FeatureSet:
    generator = np.random.default_rng(seed)
    values = np.repeat(generator.normal(size=(n, 6)), 2, axis=0)  # both clips of a person alike
    values += generator.normal(scale=1e-3, size=values.shape)
    persons = [f"{prefix}{i // 2:02d}" for i in range(2 * n)]
    ids = [f"{person}_{i % 2}" for i, person in enumerate(persons)]
    return FeatureSet(np.array(ids), np.array(persons), values, Provenance(recogniser="r"))


def with_values(features: FeatureSet, values: np.ndarray) -> FeatureSet:
    return FeatureSet(features.ids, features.persons, values, features.provenance)


def by_id(features: FeatureSet, column: list[str] | np.ndarray) -> dict[str, str]:
    return dict(zip(features.ids.tolist(), map(str, column), strict=True))


def genders(features: FeatureSet) -> np.ndarray:
    """The first half of the persons and the second."""
    return np.where(features.persons < "p06", "female", "male")


def perfect(generated: bool = False) -> Comparison:
    """A system whose features are those of the true photos; both clips of a person are alike."""
    true, strangers = photos(), photos(5, "d", 1)
    said = by_id(true, genders(true)) | by_id(strangers, ["male"] * 6 + ["female"] * 4)
    labels = {"gender": said, **({"generated_gender": said} if generated else {})}
    return Comparison.of_features(true, true, distractors=strangers, labels=labels)


def section_of(protocol: str, comparison: Comparison, out: Path) -> Section:
    return PROTOCOLS[protocol].section(comparison, out)


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
    comparison = perfect()
    for protocol in ("retrieval", "matching", "verification"):
        for name, score in scores_of(section_of(protocol, comparison, tmp_path)).items():
            measure = name.split("/")[1]
            if score.details.get("places") == 0:  # one percent of so small a gallery is nobody
                assert score.value == score.chance == 0
            elif measure.startswith("EER"):
                assert score.value == 0, name
            else:
                assert score.value == 1, name
    angles = scores_of(section_of("similarity", comparison, tmp_path))
    angle = next(score for name, score in angles.items() if name.endswith("/angle"))
    assert angle.value == pytest.approx(0, abs=1e-6)
    assert angle.controls["mean face"] > 30


def test_a_shuffled_predictor_stays_at_chance(tmp_path: Path) -> None:
    true = photos(150)
    comparison = Comparison.of_features(
        with_values(true, np.random.default_rng(9).normal(size=(300, 6))), true
    )
    for name, score in scores_of(section_of("matching", comparison, tmp_path)).items():
        assert score.value == pytest.approx(score.chance, abs=0.08), name


def test_every_protocol_runs_and_its_report_can_be_written(tmp_path: Path) -> None:
    names = [name for name, protocol in PROTOCOLS.items() if not protocol.needs_pictures]
    sections = sections_of(names, perfect(generated=True), tmp_path)
    assert [section.name for section in sections] == names
    assert not any(section.reason for section in sections)
    assert [section.title for section in sections] == [PROTOCOLS[name].title for name in names]
    write_report(Report("all", {}, tuple(sections)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "10.92" in text and "45.75" in text  # published tables stand beside ours


def test_matching_stores_its_trial_lists_and_draws_them_again_alike(tmp_path: Path) -> None:
    for folder in ("first", "again"):
        section_of("matching", perfect(), tmp_path / folder)
    first = sorted((tmp_path / "first" / "trials").iterdir())
    assert len(first) == 2
    for path in first:
        assert path.read_bytes() == (tmp_path / "again" / "trials" / path.name).read_bytes()


def test_the_gender_oracle_stands_beside_matching_where_gender_is_known(tmp_path: Path) -> None:
    scores = scores_of(section_of("matching", perfect(), tmp_path))
    unrestricted = next(s for n, s in scores.items() if n.endswith("person/1:2 U"))
    within = next(s for n, s in scores.items() if n.endswith("person/1:2 G"))
    # Half of everybody: 5 of the 11 others share the gender, so 1 - (5 / 11) / 2.
    assert unrestricted.oracle == pytest.approx(1 - 5 / 22)
    assert within.oracle == 0.5
    nested = next(s for n, s in scores.items() if "nested" in n and n.endswith("/1:2 U"))
    assert nested.oracle == pytest.approx(1 - 5 / 22, abs=0.1)  # a sample of the same trials
    verified = scores_of(section_of("verification", perfect(), tmp_path))
    oracles = {name.split("/")[1]: score.oracle for name, score in verified.items()}
    assert oracles["AUC U"] == pytest.approx(1 - 5 / 22, abs=0.1)
    assert oracles["AUC G"] == oracles["EER G"] == 0.5


def test_a_model_that_always_says_the_same_has_no_stability_gap(tmp_path: Path) -> None:
    true = photos()
    constant = with_values(true, np.ones((len(true), 6)))
    scores = scores_of(section_of("stability", Comparison.of_features(constant, true), tmp_path))
    found = {name.split("/")[1]: score for name, score in scores.items()}
    assert found["a"].value == pytest.approx(1)
    assert found["a - b"].value == pytest.approx(0)
    assert found["AUC U"].value == pytest.approx(0.5)


def test_any_label_column_is_compared_with_that_of_the_generated_faces(tmp_path: Path) -> None:
    true = photos()
    said = genders(true)
    heard = said.copy()
    heard[:6] = ["male", "", "male", "female", "female", "female"]  # of six female photos
    labels = {"gender": by_id(true, said), "generated_gender": by_id(true, heard)}
    section = section_of("labels", Comparison.of_features(true, true, labels=labels), tmp_path)
    accuracy = scores_of(section)["gender: agreement with the true photo/gender accuracy"]
    assert accuracy.value == pytest.approx(21 / 24)
    assert accuracy.details["undetected"] == 1
    with pytest.raises(Speech2FaceError, match="generated_"):
        section_of("labels", perfect(), tmp_path)


def test_language_is_reported_for_bilingual_persons_and_excused_without(tmp_path: Path) -> None:
    true = photos()
    languages = np.array(["English", "Urdu"] * N_PERSONS)
    labels = {"language": by_id(true, languages)}
    section = section_of("stability", Comparison.of_features(true, true, labels=labels), tmp_path)
    assert "left out: no pair" in section.text[-1]  # nobody has two clips of one language
    threes = np.array(["English", "English", "Urdu", "Urdu"] * (N_PERSONS // 2))
    both = FeatureSet(
        true.ids, np.repeat(np.unique(true.persons)[::2], 4), true.values, true.provenance
    )
    labels = {"language": by_id(both, threes)}
    section = section_of("stability", Comparison.of_features(both, both, labels=labels), tmp_path)
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
        Comparison.of_features(one, one)
    with pytest.raises(Speech2FaceError, match="no reference feature"):
        Comparison.of_features(true, true.at(np.arange(4)))
    with pytest.raises(Speech2FaceError, match="unknown protocol 'magic'"):
        sections_of(["magic"], perfect(), tmp_path)


def test_the_report_says_how_many_faces_of_the_gallery_lack_a_gender(tmp_path: Path) -> None:
    true = photos()
    labels = {"gender": by_id(true, genders(true))}
    comparison = Comparison.of_features(true, true, distractors=photos(5, "d", 1), labels=labels)
    section = section_of("retrieval", comparison, tmp_path)
    assert any("10 of 34 faces of the gallery have no label" in words for words in section.text)
    assert all(score.oracle is None for score in scores_of(section).values())


def test_a_protocol_that_cannot_be_computed_says_why_and_the_others_are_written(
    tmp_path: Path,
) -> None:
    names = ["labels", "similarity", "projection"]
    three = photos(2).at([0, 1, 2])
    sections = sections_of(names, Comparison.of_features(three, three), tmp_path)
    reasons = {section.name: section.reason for section in sections}
    assert "generated_NAME" in reasons["labels"] and "at least four" in reasons["projection"]
    assert reasons["similarity"] == "" and sections[1].tables
    write_report(Report("some", {}, tuple(sections)), tmp_path)


# ---------------------------------------------------------------- sections that look at pictures

N = 40
NAMES = [f"c{i:02d}" for i in range(N)]


def invented_readings(n: int = N, seed: int = 0, features: np.ndarray | None = None) -> Readings:
    generator = np.random.default_rng(seed)
    drawn = generator.normal(size=(n, 8))
    return Readings(
        np.ones(n, bool),
        generator.uniform(0, 200, (n, 68, 2)),
        {"colour": drawn if features is None else features},
        np.array(["female", "male"])[generator.integers(0, 2, n)],
        generator.integers(18, 80, n).astype(float),
    )


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Two rivals and a ceiling on forty clips of twenty people, with forty strangers."""
    files = []
    for i in range(N):
        files.append(tmp_path / f"c{i:02d}.png")
        Image.new("RGB", (32, 32), (6 * i, 255 - 6 * i, 90)).save(files[-1])
    true = invented_readings()
    persons = [f"p{i // 2:02d}" for i in range(N)]
    ceiling = System.of_readings("F2F", true, files, is_ceiling=True)
    return Comparison(
        TrueFaces.of_readings(NAMES, persons, true, pictures=files),
        (
            System.of_readings(
                "ours", invented_readings(seed=7), files, trained_with=frozenset({"colour"})
            ),
            System.of_readings("theirs", invented_readings(seed=8), files),
            ceiling,
        ),
        TrueFaces.of_strangers(invented_readings(seed=5), files),
        frontal=ceiling,
    )


def captioned(section: Section, words: str) -> Table:
    (found,) = (table for table in section.tables if words in table.caption)
    return found


def test_a_projection_of_a_constant_system_says_why_it_cannot_be_computed(tmp_path: Path) -> None:
    true = photos()
    constant = with_values(true, np.tile(true.values[:1], (len(true), 1)))
    comparison = Comparison.of_features(constant, true)
    projected, paired = sections_of(["projection", "similarity"], comparison, tmp_path)
    assert "all features to project are alike" in str(projected.reason)
    assert not projected.pictures and paired.tables


def test_a_judge_that_took_part_in_training_is_marked(
    comparison: Comparison, tmp_path: Path
) -> None:
    section = section_of("images", comparison, tmp_path)
    for words in ("matching and retrieval", "among the first K"):
        table = captioned(section, words)
        assert [row[0] for row in table.rows] == [
            "ours (not independent)",
            "theirs",
            "F2F",
            "chance",
            "gender oracle",
        ]
        assert "ours: trained with this recogniser" in table.note
    assert "which had a part in training ours" in summary_tables(comparison)[0].caption


def test_independent_judges_come_first_in_the_summary(comparison: Comparison) -> None:
    def seen_twice(readings: Readings) -> Readings:
        return replace(
            readings, features={**readings.features, "other": readings.features["colour"]}
        )

    def by_two(faces: TrueFaces | System) -> TrueFaces | System:
        assert faces.readings is not None
        read = seen_twice(faces.readings)
        return replace(faces, readings=read, features=read.features)

    assert comparison.distractors is not None
    both = Comparison(
        by_two(comparison.clips),  # type: ignore[arg-type]
        tuple(by_two(one) for one in comparison.systems),  # type: ignore[arg-type, misc]
        by_two(comparison.distractors),  # type: ignore[arg-type]
    )
    captions = [table.caption for table in summary_tables(both)]
    assert [caption.split()[4].strip(":,") for caption in captions] == ["other", "colour"]


def test_sections_carry_controls_paired_differences_and_published_rows(
    comparison: Comparison, tmp_path: Path
) -> None:
    section = section_of("images", comparison, tmp_path)
    captions = " | ".join(table.caption for table in section.tables)
    for words in ("controls", "paired differences", "Published", "found no face", "alone"):
        assert words in captions
    differences = captioned(section, "paired")
    assert [row[0] for row in differences.rows] == ["ours − theirs"]  # a ceiling is no rival
    assert all(picture.path.is_file() for picture in section.pictures)
    assert [row[0] for row in summary_tables(comparison)[0].rows][:3] == ["ours", "theirs", "F2F"]


def test_the_table_of_the_closed_gallery_leaves_the_distractors_out(
    comparison: Comparison, tmp_path: Path
) -> None:
    section = section_of("images", comparison, tmp_path)
    closed = captioned(section, "alone")
    assert closed.note.startswith("n = 40 queries of 20 persons. 40 photos.")
    chance = dict(
        zip(closed.columns, next(r for r in closed.rows if r[0] == "chance"), strict=True)
    )
    assert chance["R@10%"] == f"{100 * 3 / 39:.1f}"  # 3 of 39: the person's other photo is out
    (matching,) = (row[1] for row in closed.rows if row[0] == "theirs")
    assert isinstance(matching, Score) and matching.details["trials"] == N * (N - 2)
    open_gallery = captioned(section, "matching and retrieval").rows[1][1]
    assert isinstance(open_gallery, Score) and open_gallery.details["trials"] == N * (2 * N - 2)


def test_similarity_says_what_the_mean_face_was_fitted_on_and_uses_it(
    comparison: Comparison, tmp_path: Path
) -> None:
    assert comparison.distractors is not None
    section = section_of("similarity", comparison, tmp_path)
    assert "fitted on the distractors' photos" in section.text[0]
    outside = comparison.distractors.features["colour"].mean(axis=0)
    apart = np.linalg.norm(comparison.clips.features["colour"] - outside, axis=1)
    expected = np.mean([apart[i : i + 2].mean() for i in range(0, N, 2)])
    scores = {row[0]: row[1] for row in captioned(section, "theirs").rows}
    assert isinstance(scores["L2"], Score)
    assert scores["L2"].controls["mean face"] == pytest.approx(expected)
    closed = section_of("similarity", comparison.closed(), tmp_path)
    assert "these very photos" in closed.text[0]


def test_craniofacial_needs_faces_from_images(comparison: Comparison, tmp_path: Path) -> None:
    assert len(section_of("craniofacial", comparison, tmp_path).tables) == 3
    with pytest.raises(Speech2FaceError, match="--canonical"):
        section_of("craniofacial", replace(comparison, frontal=None), tmp_path)


def test_attributes_of_a_perfect_system_agree_entirely(
    comparison: Comparison, tmp_path: Path
) -> None:
    section = section_of("attributes", comparison, tmp_path)
    values = {row[0]: row[1] for row in captioned(section, "F2F: agreement").rows}
    for name in ("gender accuracy", "gender kappa", "age decade accuracy"):
        score = values[name]
        assert isinstance(score, Score) and score.value == pytest.approx(1)


@pytest.mark.parametrize(
    ("persons", "genders"),
    [
        (["p", "p", "q"], ["female", "female", "male"]),  # nobody shares a gender
        (["p", "q", "q"], ["male"] * 3),
        (list("pqrs"), ["female", "female", "male", "male"]),
        (["p"] * 3, ["male"] * 3),  # one person: no interval, so no figure
        (["p"], ["male"]),
    ],
)
def test_every_section_of_an_odd_small_list_is_written_or_says_why(
    persons: list[str], genders: list[str], comparison: Comparison, tmp_path: Path
) -> None:
    n = len(persons)

    def few(faces: System) -> System:
        assert faces.readings is not None
        return System.of_readings(faces.name, faces.readings.take(range(n)), faces.pictures[:n])

    true = replace(invented_readings(n), apparent_gender=np.array(genders))
    small = Comparison(
        TrueFaces.of_readings(NAMES[:n], persons, true, pictures=comparison.clips.pictures[:n]),
        tuple(few(one) for one in comparison.systems),
        comparison.distractors,
        frontal=few(comparison.systems[-1]),
    )
    sections = sections_of(list(PROTOCOLS), small, tmp_path)
    assert [section.name for section in sections] == list(PROTOCOLS)
    for section in sections:
        assert section.tables or section.reason, section.name
    could = {section.name for section in sections if not section.reason}
    if len(set(persons)) > 1:
        assert {"similarity", "retrieval", "matching", "images", "attributes"} <= could
        assert "craniofacial" in could
    write_report(Report("few", {}, tuple(sections), summary_tables(small)), tmp_path)


def test_a_full_disk_is_not_a_section_that_cannot_be_computed() -> None:
    def section() -> Section:
        raise NotWrittenError("cannot be written", "free some space", "trials.jsonl")

    with pytest.raises(NotWrittenError):
        section_or_reason("matching", "Matching", section)

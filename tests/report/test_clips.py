"""The whole report of a model on invented clips, read by invented instruments."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_instruments import INSTRUMENTS, ColourEncoder, Eye, Labeller
from stand_in import METADATA, write_stand_in

from speech2face.data import authors_page
from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.instruments import Instruments
from speech2face.inference.extract import Outcome
from speech2face.inference.photo import load_photo_pipeline
from speech2face.inference.pipeline import load_model
from speech2face.report.clips import (
    Clips,
    Settings,
    recognisers_in_training,
    report_on_clips,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    return read_manifest(write_world(folder / "world", persons=8, clips_per_person=2))


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_stand_in(folder / "model.onnx")


@pytest.fixture(scope="module")
def results(folder: Path, samples: list[Sample], model: Path) -> dict:  # type: ignore[type-arg]
    """The report on all clips of the world, of which one voice cannot be heard."""
    broken = folder / "broken.wav"
    broken.write_bytes(b"no sound")
    partly = [replace(samples[0], voice=broken), *samples[1:]]
    clips = Clips(partly, "an invented world", same_speaker=samples)
    settings = Settings(seconds=(1, 3), workers=1)
    report_on_clips(clips, load_model(model), folder / "out", settings, instruments=INSTRUMENTS)
    return json.loads((folder / "out" / "results.json").read_text())  # type: ignore[no-any-return]


def test_a_voice_that_cannot_be_heard_is_left_out_counted_and_explained(results: dict) -> None:  # type: ignore[type-arg]
    assert results["facts"]["clips"] == "15 of an invented world"
    assert results["facts"]["clips left out"].startswith("1 (")
    assert results["facts"]["persons"] == "8"


def test_ours_comes_first_at_both_factors_and_the_ceiling_last(
    results: dict,  # type: ignore[type-arg]
    model: Path,
) -> None:
    first = results["summary"][0]
    assert [row[0] for row in first["rows"]] == [
        "stand-in, exaggeration 0.5",
        "stand-in, exaggeration 0",
        "F2F (canonical)",
        "chance",
        "gender oracle",
    ]
    assert results["facts"]["model file, SHA-256"] == sha256(model.read_bytes()).hexdigest()


def test_every_protocol_of_the_paper_has_its_section(results: dict) -> None:  # type: ignore[type-arg]
    names = [section["name"] for section in results["sections"]]
    assert names == [
        "images",
        "similarity",
        "attributes",
        "craniofacial",
        "duration",
        "stability",
        "projection",
        "faces",
    ]
    stability = next(s for s in results["sections"] if s["name"] == "stability")
    assert "consistency.png" in stability["pictures"]


def test_a_second_run_extracts_nothing_again_and_says_the_same(
    folder: Path,
    samples: list[Sample],
    model: Path,
    results: dict,  # type: ignore[type-arg]
) -> None:
    partly = [replace(samples[0], voice=folder / "broken.wav"), *samples[1:]]
    outcomes: list[Outcome] = []
    report_on_clips(
        Clips(partly, "an invented world", same_speaker=samples),
        load_model(model),
        folder / "out",
        Settings(seconds=(1, 3), workers=1),
        instruments=INSTRUMENTS,
        report=lambda stage, outcome: outcomes.append(outcome),
    )
    assert all(outcome.was_kept or outcome.rejected for outcome in outcomes)
    assert json.loads((folder / "out" / "results.json").read_text()) == results


def test_what_is_known_to_fail_is_refused_before_anything_is_extracted(
    samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    pipeline = load_model(model)
    with pytest.raises(Speech2FaceError, match="2 usable clips"):
        report_on_clips(Clips(samples[:2], "two"), pipeline, tmp_path, instruments=INSTRUMENTS)
    with pytest.raises(Speech2FaceError, match="of 1 persons"):
        one = [replace(sample, person="p") for sample in samples]
        report_on_clips(Clips(one, "one"), pipeline, tmp_path, instruments=INSTRUMENTS)
    (tmp_path / "empty").mkdir()
    for settings in (Settings({"theirs": tmp_path / "empty"}), Settings(f2f=tmp_path / "empty")):
        with pytest.raises(Speech2FaceError, match="16 of 16 clips have no picture"):
            report_on_clips(
                Clips(samples, "all"), pipeline, tmp_path, settings, instruments=INSTRUMENTS
            )
    assert not (tmp_path / "extracted").exists()


def small(
    samples: list[Sample], model: Path, out: Path, distractors: Sequence[Path] = (), **changes: Any
) -> dict[str, Any]:
    """results.json of a report on a few clips; `changes` are settings."""
    settings = Settings(seconds=(1, 3), workers=1, **changes)
    clips = Clips(samples, "a few", distractors)
    report_on_clips(clips, load_model(model), out, settings, instruments=INSTRUMENTS)
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


def test_unreadable_pictures_leave_their_clips_out_and_the_others_are_judged(
    samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    photos = [sample.face for sample in samples if sample.face is not None]
    for sample, photo in zip(samples, photos, strict=True):
        (theirs / f"{sample.id}.png").write_bytes(photo.read_bytes())
    (theirs / f"{samples[3].id}.png").write_bytes(photos[3].read_bytes()[:200])
    given = [
        replace(samples[0], face=broken),
        replace(samples[1], canonical=broken),
        replace(samples[2], face=None),
        *samples[3:],
    ]
    told: list[Outcome] = []
    report_on_clips(
        Clips(given, "a few", [photos[0], broken, photos[2]]),
        load_model(model),
        tmp_path / "out",
        Settings({"theirs": theirs}, seconds=(1, 3), workers=1),
        instruments=INSTRUMENTS,
        report=lambda stage, outcome: told.append(outcome),
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    ids = [sample.id for sample in samples]
    assert results["left_out"].keys() == {*ids[:4], "broken.jpg"}
    for name, words in (
        (ids[0], "true face: "),
        (ids[1], "F2F (canonical): "),
        (ids[2], "no true photo"),
        (ids[3], "theirs: "),
        ("broken.jpg", "distractors: "),
    ):
        assert results["left_out"][name].startswith(words), name
        assert any(outcome.id == name and outcome.rejected for outcome in told)
    facts = results["facts"]
    assert facts["clips"] == "12 of a few" and facts["clips left out"].startswith("4 (")
    assert facts["further faces in the gallery"] == "2"
    assert facts["further faces left out"] == "1"
    assert not any(section["reason"] for section in results["sections"])
    # The same figures as without these clips and this stranger: nobody was mixed up. (The halves
    # need no picture: there the clips without one still take part.)
    alone = small(
        samples[4:],
        model,
        tmp_path / "alone",
        [photos[0], photos[2]],
        other_faces={"theirs": theirs},
    )
    assert alone["summary"] == results["summary"]
    for ours, others in zip(results["sections"], alone["sections"], strict=True):
        assert ours["name"] == "stability" or ours["tables"] == others["tables"]


def test_not_one_usable_clip_is_an_error_with_the_first_reason(
    samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"neither sound nor picture")
    deaf = [replace(sample, voice=broken) for sample in samples]
    with pytest.raises(Speech2FaceError, match="not one clip can be used"):
        small(deaf, model, tmp_path / "deaf")
    blind = [replace(sample, face=broken) for sample in samples]
    with pytest.raises(Speech2FaceError, match="not one clip can be used; .*true face: .*picture"):
        small(blind, model, tmp_path / "blind")


def labelled(sample: Sample, gender: str, person: str) -> Sample:
    return replace(sample, labels={"gender": gender}, person=person)


def test_three_clips_of_two_people_of_different_gender_make_a_report(
    samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    three = [
        labelled(samples[0], "female", "p"),
        labelled(samples[1], "female", "p"),
        labelled(samples[2], "male", "q"),
    ]
    results = small(three, model, tmp_path)
    sections = {section["name"]: section for section in results["sections"]}
    reasons = {name: section["reason"] for name, section in sections.items() if section["reason"]}
    assert reasons.keys() == {"projection", "stability"}
    assert "at least four" in reasons["projection"]
    assert "eligible impostor" in reasons["stability"]
    assert any("share a gender" in words for words in sections["images"]["text"])
    header, ours = results["summary"][0]["columns"], results["summary"][0]["rows"][0]
    assert ours[header.index("1:2 G")] is None and ours[header.index("1:2 U")]["n"] == 3
    assert "Not computed" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("genders", "persons", "uncomputed"),
    [
        ("ffff", "abcd", set()),
        ("fmfm", "abab", {"stability"}),  # one person of each gender
        ("ffmm", "abcd", set()),
        ("    ", "abcd", set()),  # no labels
    ],
)
def test_other_odd_lists_make_a_report_too(
    genders: str,
    persons: str,
    uncomputed: set[str],
    samples: list[Sample],
    model: Path,
    tmp_path: Path,
) -> None:
    words = {"f": "female", "m": "male", " ": ""}
    four = [
        replace(labelled(sample, words[gender], person), canonical=None)
        for sample, gender, person in zip(samples, genders, persons, strict=False)
    ]
    results = small(four, model, tmp_path)
    assert results["facts"]["clips"] == "4 of a few"
    names = [section["name"] for section in results["sections"]]
    assert "craniofacial" not in names and names[-1] == "faces"  # there are no frontal faces
    assert {s["name"] for s in results["sections"] if s["reason"]} == uncomputed


def test_clips_too_short_for_halves_cost_the_stability_section_alone(
    samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    short = [replace(sample, seconds=0.8) for sample in samples]  # halves of 0.4 s are refused
    results = small(short, model, tmp_path)
    assert results["facts"]["clips"] == "16 of a few"
    assert "stability" not in [section["name"] for section in results["sections"]]


def test_a_model_trained_with_a_judge_is_marked_wherever_that_judge_speaks(
    samples: list[Sample], tmp_path: Path
) -> None:
    metadata = {**METADATA, "trained_with": ["colour"]}
    partial = write_stand_in(tmp_path / "partial.onnx", metadata=metadata)
    results = small(samples, partial, tmp_path / "out")
    assert results["facts"]["judges that had a part in training our model"] == "colour"
    assert "which had a part in training ours" in results["summary"][0]["caption"]
    tables = {table["caption"]: table for table in results["sections"][0]["tables"]}
    for words in ("matching and retrieval", "among the first K"):
        (table,) = (table for caption, table in tables.items() if words in caption)
        assert [row[0] for row in table["rows"]][:3] == [
            "stand-in, exaggeration 0.5 (not independent)",
            "stand-in, exaggeration 0 (not independent)",
            "F2F (canonical)",
        ]


def test_a_model_says_which_recogniser_it_was_trained_with(tmp_path: Path) -> None:
    known = ("dlib_resnet_v1", "sface_2021dec_int8")
    said = {**METADATA, "trained_with": ["dlib_resnet_v1"]}
    pipeline = load_model(write_stand_in(tmp_path / "said.onnx", metadata=said))
    assert recognisers_in_training(pipeline, known) == {"dlib_resnet_v1"}
    silent = load_model(write_stand_in(tmp_path / "silent.onnx"))
    assert recognisers_in_training(silent, known) == frozenset()


def test_a_model_with_a_photo_map_brings_its_own_ceiling(
    tiny_release: Path, tiny_page: Path, tmp_path: Path
) -> None:
    samples = [one for one in authors_page.read(tiny_page) if one.split == "train"]
    photos = load_photo_pipeline(tiny_release / "default.onnx")
    report_on_clips(
        Clips(samples, "drawn people"),
        photos.pipeline,
        tmp_path,
        Settings(seconds=(1, 2), workers=1),
        photos=photos,
        instruments=Instruments(Eye(), (DlibNamedEncoder(),), Labeller()),  # type: ignore[arg-type]
    )
    results = json.loads((tmp_path / "results.json").read_text())
    names = [row[0] for row in results["summary"][0]["rows"]]
    assert names.index("F2F (ours)") == names.index("F2F (canonical)") - 1
    assert "F2F (ours) (not independent)" in json.dumps(results)
    faces = {path.stem for path in (tmp_path / "extracted" / "f2f" / "faces").iterdir()}
    assert faces == {sample.id for sample in samples}


class DlibNamedEncoder(ColourEncoder):
    """Stands for the recogniser that the photo map was fitted to."""

    name = "dlib_resnet_v1"

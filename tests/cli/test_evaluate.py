"""`evaluate` and `extract` by their command lines: whole runs, and one line for every bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_instruments import INSTRUMENTS
from PIL import Image
from safetensors.numpy import save_file
from stand_in import write_stand_in

from speech2face.cli.main import main
from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.evaluation.features import FeatureSet, Provenance
from speech2face.report.clips import Clips
from speech2face.report.document import Report

N = 12


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw short trial lists; lists of 10,000 trials are needed in reports only."""
    monkeypatch.setattr("speech2face.report.recognition.N_TRIALS", 200)


def feature_set(n: int = N, seed: int = 0, **changes: object) -> FeatureSet:
    values = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    fields: dict[str, object] = {
        "ids": np.array([f"c{i:02d}" for i in range(n)]),
        "persons": np.array([f"p{i // 2:02d}" for i in range(n)]),
        "values": values,
        "provenance": Provenance(model="m", model_sha256="ef" * 32, recogniser="r"),
    }
    return FeatureSet(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions near the true features of twelve clips of six people."""
    true = feature_set()
    noise = np.random.default_rng(1).normal(scale=0.3, size=true.values.shape)
    predicted = feature_set(values=true.values + noise.astype(np.float32))
    paths = tmp_path / "predicted.safetensors", tmp_path / "reference.safetensors"
    predicted.save(paths[0])
    true.save(paths[1])
    return paths


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def test_two_files_become_one_report_that_says_what_was_measured(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert evaluate(*files, "--out", out) == 0
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    results = json.loads((out / "results.json").read_text())
    assert results["facts"]["model file, SHA-256"] == "ef" * 32
    assert results["facts"]["persons"] == "6"
    names = [section["name"] for section in results["sections"]]
    assert names == ["similarity", "retrieval", "matching", "verification", "projection"]
    assert (out / "report.md").is_file()


def test_only_the_protocols_asked_for_are_run_with_labels_of_a_file(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    rows = "\n".join(f"p{i:02d},{'female' if i % 2 else 'male'},{i % 3}" for i in range(6))
    labels.write_text(f"person,gender,nationality\n{rows}\n")
    out = tmp_path / "report"
    arguments = ("--protocols", "matching", "--labels", labels, "--label-key", "person")
    assert evaluate(*files, *arguments, "--out", out) == 0
    text = (out / "report.md").read_text()
    assert "| 1:2 G |" in text and "| 1:2 N |" in text and "gender oracle" in text


def test_order_of_the_clips_in_a_file_changes_no_score(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    order = np.random.default_rng(3).permutation(N)
    shuffled = tmp_path / "shuffled.safetensors"
    FeatureSet.load(files[0]).at(order).save(shuffled)
    labels = tmp_path / "labels.csv"
    rows = "\n".join(f"c{i:02d},{'female' if i // 2 % 2 else 'male'}" for i in range(N))
    labels.write_text(f"id,gender\n{rows}\n")
    reports = []
    for name, predicted in (("first", files[0]), ("second", shuffled)):
        out = tmp_path / name
        arguments = ("--protocols", "similarity,retrieval,matching", "--labels", labels)
        assert evaluate(predicted, files[1], *arguments, "--out", out) == 0
        reports.append(json.loads((out / "results.json").read_text())["sections"])
    assert reports[0] == reports[1]


def test_an_existing_report_is_kept_without_force(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*files, "--protocols", "similarity", "--out", tmp_path / "report")
    assert evaluate(*arguments) == 0
    assert evaluate(*arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert evaluate(*arguments, "--force") == 0


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a failing command prints."""
    assert evaluate(*arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_every_bad_input_is_one_line_that_names_file_and_remedy(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted, reference = files
    out = ("--out", tmp_path / "report")

    shorter = tmp_path / "shorter.safetensors"
    feature_set(N - 2).save(shorter)
    said = complaint(capsys, predicted, shorter, *out)
    assert "predicted.safetensors" in said and "'c10'" in said and "shorter.safetensors" in said

    other_ids = tmp_path / "other.safetensors"
    feature_set(ids=np.array([f"x{i}" for i in range(N)])).save(other_ids)
    said = complaint(capsys, other_ids, reference, *out)
    assert "other.safetensors" in said and "no reference feature" in said

    nan = tmp_path / "nan.safetensors"
    header = {
        "format": 1,
        "ids": [f"c{i:02d}" for i in range(N)],
        "persons": ["p"] * N,
        "provenance": {},
    }
    save_file(
        {"values": np.full((N, 5), np.nan, np.float32)}, nan, {"speech2face": json.dumps(header)}
    )
    said = complaint(capsys, nan, reference, *out)
    assert "nan.safetensors" in said and "NaN" in said and "extract" in said

    one_person = tmp_path / "one.safetensors"
    feature_set(persons=np.array(["p"] * N)).save(one_person)
    said = complaint(capsys, one_person, one_person, *out)
    assert "one.safetensors" in said and "at least two persons" in said

    empty = tmp_path / "empty.safetensors"
    save_file(
        {"values": np.zeros((0, 5), np.float32)},
        empty,
        {"speech2face": json.dumps({**header, "ids": [], "persons": []})},
    )
    said = complaint(capsys, predicted, empty, *out)
    assert "empty.safetensors" in said
    said = complaint(capsys, predicted, reference, "--distractors", empty, *out)
    assert "empty.safetensors" in said

    labels = tmp_path / "labels.csv"
    labels.write_text("id,gender\nc00,female\n")
    said = complaint(capsys, predicted, reference, "--labels", labels, "--columns", "age", *out)
    assert "labels.csv" in said and "'age'" in said and "gender" in said

    said = complaint(capsys, predicted, tmp_path / "absent.safetensors", *out)
    assert "absent.safetensors" in said
    said = complaint(capsys, predicted, reference, "--protocols", "magic", *out)
    assert "'magic'" in said and "retrieval" in said
    said = complaint(capsys, predicted, reference, "--protocols", "images", *out)
    assert "predicted.safetensors" in said and "folder" in said
    said = complaint(capsys, predicted, *out)
    assert "REFERENCE" in said
    said = complaint(capsys, *out)
    assert "--invented" in said
    said = complaint(capsys, predicted, reference, "--invented", *out)
    assert "two things" in said
    said = complaint(capsys, "--authors-page", tmp_path, *out)
    assert str(tmp_path) in said


# ---------------------------------------------------------------- which clips are evaluated


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Clips]:
    """The clips that `evaluate` gives to the report; the report itself is not made."""
    handed: list[Clips] = []

    def note(clips: Clips, pipeline: object, out: Path, *_: object, **__: object) -> Report:
        handed.append(clips)
        return Report("t", {}, ())

    monkeypatch.setattr("speech2face.report.clips.report_on_clips", note)
    return handed


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_only_clips_of_the_split_asked_for_are_evaluated(
    split: str, tmp_path: Path, chosen: list[Clips]
) -> None:
    manifest = write_world(tmp_path / "world", persons=10, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    arguments = ("--manifest", manifest, "--model", model, "--out", tmp_path / "report")
    assert evaluate(*arguments, "--split", split) == 0
    everybody = read_manifest(manifest)
    expected = [sample.id for sample in everybody if sample.split == split]
    assert [sample.id for sample in chosen[0].samples] == expected != []
    assert chosen[0].corpus == f"{manifest.name}, {split} split"
    # The gallery is filled with one photo of every person whom the model may have learned from.
    train = [sample.face for sample in everybody if sample.split == "train"]
    assert list(chosen[0].distractors) == train


def test_the_split_is_test_unless_given_and_an_empty_one_is_refused(
    tmp_path: Path, chosen: list[Clips], capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_world(tmp_path / "world", persons=5, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    arguments = ("--manifest", manifest, "--model", model, "--out", tmp_path / "report")
    assert evaluate(*arguments) == 0
    assert {sample.split for sample in chosen[0].samples} == {"test"}
    two = write_world(tmp_path / "two", persons=2, clips_per_person=1)  # both train
    said = complaint(capsys, "--manifest", two, "--model", model, "--out", tmp_path / "report")
    assert "no clip is in the test split" in said


def test_clips_of_the_authors_pages_have_their_own_distractors_and_splits(
    tiny_page: Path, tmp_path: Path, chosen: list[Clips]
) -> None:
    model = write_stand_in(tmp_path / "model.onnx")
    (tmp_path / "page").symlink_to(tiny_page)
    options = ("--model", model, "--out", tmp_path / "report", "--split", "val")
    assert evaluate("--authors-page", tmp_path / "page", *options) == 0
    assert {sample.split for sample in chosen[0].samples} == {"val"}
    assert chosen[0].corpus == "the authors' page, val split"
    assert list(chosen[0].distractors) == sorted((tiny_page / "gallery").glob("*.jpg"))


def test_only_librispeech_readers_outside_its_training_parts_are_used(
    tmp_path: Path, chosen: list[Clips]
) -> None:
    lines = [
        {"file": f"{speaker}-1-0000.ogg", "speaker": speaker, "subset": subset}
        for speaker, subset in (
            ("14", "train-clean-100"),
            ("70", "dev-clean"),
            ("30", "test-other"),
        )
    ]
    voices = tmp_path / "librispeech"
    voices.mkdir()
    (voices / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = write_world(tmp_path / "world", persons=5, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    arguments = ("--manifest", manifest, "--model", model, "--out", tmp_path / "report")
    assert evaluate(*arguments, "--same-speaker", voices) == 0
    assert [sample.person for sample in chosen[0].same_speaker] == ["30"]
    assert evaluate(*arguments) == 0
    assert list(chosen[1].same_speaker) == []


def test_clips_that_are_left_out_make_the_exit_status_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def partly(*_: object, **__: object) -> Report:
        return Report("t", {}, (), left_out={"clip": "no sound"})

    monkeypatch.setattr("speech2face.report.clips.report_on_clips", partly)
    manifest = write_world(tmp_path / "world", persons=5, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    assert evaluate("--manifest", manifest, "--model", model, "--out", tmp_path / "report") == 1


# ---------------------------------------------------------------- two feature files, with labels


def test_labelled_distractors_count_for_the_gender_oracle(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    distractors = tmp_path / "distractors.safetensors"
    ids = np.array([f"d{i:02d}" for i in range(30)])
    feature_set(30, seed=5, ids=ids, persons=ids).save(distractors)
    labels = tmp_path / "labels.csv"
    rows = [f"c{i:02d},{'female' if i // 2 % 2 else 'male'}" for i in range(N)]

    def oracle(name: str, lines: list[str]) -> float | None:
        labels.write_text("id,gender\n" + "\n".join(lines) + "\n")
        arguments = ("--labels", labels, "--distractors", distractors, "--protocols", "retrieval")
        assert evaluate(*files, *arguments, "--out", tmp_path / name) == 0
        results = json.loads((tmp_path / name / "results.json").read_text())
        cells = [row[1] for row in results["sections"][0]["tables"][0]["rows"]]
        (score,) = (cell for cell in cells if cell["name"] == "median rank")
        return score["oracle"]  # type: ignore[no-any-return]

    men = [f"d{i:02d},male" for i in range(30)]
    # A male query is one of 6 - 1 + 30 male faces, a female one of 6 - 1: the person's other photo
    # is out. Medians of 1 + 34 / 2 and 1 + 4 / 2.
    assert oracle("labelled", rows + men) == pytest.approx((18 + 3) / 2)
    assert oracle("partly", rows + men[:-1]) is None
    assert oracle("unlabelled", rows) is None


def test_training_photos_give_the_mean_face_and_curves_their_section(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    training = tmp_path / "training.safetensors"
    feature_set(30, seed=6).save(training)
    stats = tmp_path / "stats.jsonl"
    stats.write_text('{"samples_seen": 8, "split": "train", "total": 2.0}\n')
    out = tmp_path / "report"
    options = ("--training", training, "--curves", f"pilot={stats}", "--protocols", "similarity")
    assert evaluate(*files, *options, "--out", out) == 0
    results = json.loads((out / "results.json").read_text())
    assert [section["name"] for section in results["sections"]] == ["similarity", "training"]
    assert "fitted on training photos" in results["sections"][0]["text"][0]


def test_if_no_protocol_can_be_computed_that_is_an_error(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert "generated_NAME" in complaint(capsys, *files, "--protocols", "labels", "--out", out)
    assert not (out / "report.html").exists()
    assert "--labels" in complaint(capsys, *files, "--columns", "gender", "--out", out)
    assert evaluate(*files, "--protocols", "labels,similarity", "--out", out) == 0
    results = json.loads((out / "results.json").read_text())
    assert "generated_NAME" in results["sections"][0]["reason"]
    assert results["sections"][1]["tables"]


def test_faces_of_two_extractions_are_judged_and_unreadable_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("speech2face.inference.pictures.Instruments", lambda: INSTRUMENTS)
    manifest = write_world(tmp_path / "world", persons=6, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    photos = tmp_path / "photos"
    for folder in (tmp_path / "voices", photos):
        assert main(["extract", str(model), str(manifest), str(folder)]) == 0
    for sample in read_manifest(manifest):
        assert sample.face is not None
        with Image.open(sample.face) as picture:
            picture.save(photos / "faces" / f"{sample.id}.png")
    out = tmp_path / "report"
    arguments = (tmp_path / "voices", photos, "--workers", "1", "--out", out)
    protocols = ("--protocols", "images,craniofacial,attributes,similarity")
    assert evaluate(*arguments, *protocols) == 0
    results = json.loads((out / "results.json").read_text())
    names = [section["name"] for section in results["sections"]]
    assert names == ["images", "craniofacial", "attributes", "similarity"]
    rows = [row[0] for row in results["sections"][0]["tables"][1]["rows"]]
    assert rows[0] == "from voices"
    assert evaluate(*arguments, *protocols, "--canonical", photos, "--force") == 0
    results = json.loads((out / "results.json").read_text())
    rows = [row[0] for row in results["sections"][0]["tables"][1]["rows"]]
    assert rows[:2] == ["from voices", "from images"]
    (broken,) = (photos / "faces").glob("0003_0.png")
    broken.write_bytes(b"no picture")
    capsys.readouterr()
    assert evaluate(*arguments, *protocols, "--force") == 1
    assert "0003_0.png" in capsys.readouterr().err
    results = json.loads((out / "results.json").read_text())
    assert results["left_out"].keys() == {"0003_0"}
    assert results["sections"][0]["tables"][0]["rows"][0][1] == 5  # pictures that were judged


def test_extract_makes_a_folder_that_evaluate_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_world(tmp_path / "world", persons=6, clips_per_person=1)
    model = write_stand_in(tmp_path / "model.onnx")
    assert main(["extract", str(model), str(manifest), str(tmp_path / "voices")]) == 0
    assert "6 of 6 clips" in capsys.readouterr().out
    made = FeatureSet.load(tmp_path / "voices" / "features.safetensors")
    assert made.provenance.model == "stand-in"
    out = tmp_path / "report"
    arguments = ("--protocols", "similarity", "--out", out)
    assert evaluate(tmp_path / "voices", tmp_path / "voices", *arguments) == 0
    assert "stand-in" in (out / "report.md").read_text()


def test_extract_names_a_bad_clip_finishes_the_others_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_world(tmp_path / "world", persons=3, clips_per_person=1)
    voice = sorted((tmp_path / "world" / "voice").iterdir())[1]
    voice.write_bytes(b"no sound")
    model = write_stand_in(tmp_path / "model.onnx")
    assert main(["extract", str(model), str(manifest), str(tmp_path / "voices")]) == 1
    printed = capsys.readouterr()
    assert voice.stem in printed.err and "2 of 3 clips" in printed.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["dlib", "--seconds", "3"], "no voice is heard"),
        (["model.onnx", "--pictures", "face"], "without a photo map"),
        (["model.onnx", "--pictures", "face", "--halves"], "no voice is heard"),
        (["absent.onnx"], "absent.onnx"),
        (["model.onnx", "--split", "val"], "split val"),
    ],
)
def test_extract_refuses_contradictory_options(
    options: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = write_world(tmp_path / "world", persons=3, clips_per_person=1)
    write_stand_in(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    model, *rest = options
    assert main(["extract", model, str(manifest), "out", *rest]) == 1
    assert words in capsys.readouterr().err


def test_extract_refuses_less_than_half_a_second_as_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", "m.onnx", "m.jsonl", str(tmp_path), "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_report_is_made_in_an_invented_world_and_continues_after_a_kill(
    tmp_path: Path,
) -> None:
    pytest.importorskip("dlib", reason="the face extra is not installed")
    model = write_stand_in(tmp_path / "model.onnx")
    out = tmp_path / "report"
    arguments = ("--invented", "--model", model, "--out", out, "--workers", "1")
    assert evaluate(*arguments) == 0
    first = (out / "results.json").read_bytes()
    (out / "extracted" / "exaggeration_0.5" / "features.safetensors").unlink()
    assert evaluate(*arguments, "--force") == 0
    assert (out / "results.json").read_bytes() == first
    results = json.loads(first)
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

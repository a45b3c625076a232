"""`evaluate` and `extract` by their command lines: whole runs, and every bad input in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from stand_in import write_stand_in

from speech2face.cli.main import main
from speech2face.data.invented import write_world
from speech2face.evaluation.features import FeatureSet, Provenance

N = 12


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 10,000 trials is for reports."""
    monkeypatch.setattr("speech2face.evaluation.protocols.N_TRIALS", 200)


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


def test_an_existing_report_is_kept_unless_forced(
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


def test_extract_names_a_bad_clip_does_the_others_and_exits_1(
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
        (["dlib", "--seconds", "3"], "hears nothing"),
        (["model.onnx", "--pictures", "face"], "without a photo map"),
        (["model.onnx", "--pictures", "face", "--halves"], "hears nothing"),
        (["absent.onnx"], "absent.onnx"),
        (["model.onnx", "--split", "val"], "split val"),
        (["model.onnx", "--seconds", "0"], "half a second"),
    ],
)
def test_extract_refuses_what_cannot_be_meant(
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


@pytest.mark.slow
def test_the_whole_report_is_made_in_an_invented_world_and_goes_on_after_a_kill(
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

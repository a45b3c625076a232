"""`speech2face xab make`: what is written, what is said, and the exit status."""

from pathlib import Path

import pytest

from speech2face.cli.main import main
from speech2face.data.invented import write_world
from speech2face.xab.experiment import open_experiment

SMALL = ("--lists", "1", "--trials", "8", "--checks", "1", "--seconds", "1")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("world")
    return str(write_world(folder, persons=24, clip_seconds=(1.0, 1.1)))


def test_make_writes_what_run_and_score_need(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "consent.txt").write_text("Yes?")
    words = ["--direction", "V->F", "--seed", "5", "--consent", str(tmp_path / "consent.txt")]
    assert main(["xab", "make", manifest, str(tmp_path / "made"), *SMALL, *words]) == 0
    made = open_experiment(tmp_path / "made")
    assert (made.design.directions, made.design.seed, made.consent) == (("V->F",), 5, "Yes?")
    assert made.sha256 in capsys.readouterr().out


def test_the_general_consent_comes_with_the_package(manifest: str, tmp_path: Path) -> None:
    assert main(["xab", "make", manifest, str(tmp_path / "made"), *SMALL]) == 0
    assert "voluntary" in open_experiment(tmp_path / "made").consent


def test_make_refuses_a_folder_that_holds_something(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["xab", "make", manifest, str(tmp_path), *SMALL]) == 1
    assert "does not exist yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_wrong_usage_is_told_from_what_cannot_be_done(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = str(tmp_path / "made")
    assert main(["xab", "make", manifest, made, "--direction", "sideways"]) == 2
    assert main(["xab", "make", manifest, made, "--trials", "9"]) == 1
    assert "choose a multiple of 8" in capsys.readouterr().err
    assert main(["xab", "run", made]) == 1
    assert main(["xab", "score", made, "--out", str(tmp_path / "out"), "--no-models"]) == 1
    assert not list(tmp_path.iterdir())

"""`speech2face match` through the stand-in model and a recogniser of colours."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matching import tiny_matcher, write_tiny_matcher
from media import EXAMPLES
from PIL import Image

from speech2face.cli.main import main
from speech2face.inference import matcher as matcher_module
from speech2face.inference.matcher import NO_IDENTIFICATION, Matcher

SLT, RMS = str(EXAMPLES / "slt.ogg"), str(EXAMPLES / "rms.ogg")
COLOURS = {"reddish.png": (200, 20), "greenish.png": (20, 200), "both.png": (100, 100)}


@pytest.fixture
def matcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Matcher:
    opened = tiny_matcher(write_tiny_matcher(tmp_path))
    monkeypatch.setattr(matcher_module, "load_matcher", lambda model: opened)
    monkeypatch.setattr(matcher_module, "require_photo_readers", lambda: None)
    return opened


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    files = []
    for name, (red, green) in COLOURS.items():
        Image.fromarray(np.full((40, 50, 3), (red, green, 0), np.uint8)).save(tmp_path / name)
        files.append(str(tmp_path / name))
    return files


def ranked(output: str) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in output.splitlines()]


def test_photos_are_ranked_for_a_voice(
    matcher: Matcher, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", SLT, *photos, "--json"]) == 0
    lines = ranked(capsys.readouterr().out)
    scores = dict(zip(photos, matcher.score(SLT, photos), strict=True))
    expected = sorted(photos, key=lambda photo: -scores[photo])
    assert [line["face"] for line in lines] == expected
    assert [line["rank"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert line["score"] == pytest.approx(scores[line["face"]], abs=1e-5)
        assert line["probability"] == pytest.approx(matcher.probability(line["score"]), abs=1e-5)
        assert (line["voice"], line["what"]) == (SLT, NO_IDENTIFICATION)
        assert line["model_sha256"] == matcher.pipeline.card.sha256


def test_voices_are_ranked_for_a_photo(
    matcher: Matcher, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", "--voices", photos[0], RMS, SLT, "--json"]) == 0
    lines = ranked(capsys.readouterr().out)
    face = matcher.embed_face(photos[0])
    scores = {voice: float(face @ matcher.embed_voice(voice)) for voice in (RMS, SLT)}
    assert [line["voice"] for line in lines] == sorted(scores, key=lambda voice: -scores[voice])
    assert all(line["face"] == photos[0] for line in lines)


def test_the_table_ends_with_what_a_match_is_not(
    matcher: Matcher, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", SLT, *photos]) == 0
    head, *rows, notice = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "likely"] and notice == NO_IDENTIFICATION
    assert {row.split()[-1] for row in rows} == set(photos)
    scores = [float(row.split()[0]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(row.split()[1].endswith("%") for row in rows)


def test_a_folder_is_one_person(
    matcher: Matcher, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = tmp_path / "person"
    person.mkdir()
    for photo in photos[:2]:
        shutil.copy(photo, person)
    (person / ".hidden").write_text("no picture")
    assert main(["match", SLT, str(person), photos[2], "--json"]) == 0
    scores = {line["face"]: line["score"] for line in ranked(capsys.readouterr().out)}
    together = sorted(photos[:2])
    assert scores[str(person)] == pytest.approx(matcher.score(SLT, [together])[0], abs=1e-5)


def test_a_candidate_that_cannot_be_used_loses_nothing_else(
    matcher: Matcher, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black, text, empty = tmp_path / "black.png", tmp_path / "text.jpg", tmp_path / "empty"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(black)
    text.write_text("no picture")
    empty.mkdir()
    missing = tmp_path / "missing.jpg"
    bad = [str(one) for one in (black, text, empty, missing)]
    assert main(["match", SLT, bad[0], photos[0], *bad[1:], photos[1], "--json"]) == 1
    captured = capsys.readouterr()
    assert {line["face"] for line in ranked(captured.out)} == set(photos[:2])
    complaints = captured.err.splitlines()
    assert len(complaints) == 4
    assert all(line.startswith(file) for line, file in zip(complaints, bad, strict=True))


def test_in_a_folder_what_can_be_used_is_used(
    matcher: Matcher, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = tmp_path / "person"
    person.mkdir()
    shutil.copy(photos[0], person)
    (person / "notes.txt").write_text("no picture")
    assert main(["match", SLT, str(person), "--json"]) == 1
    captured = capsys.readouterr()
    (line,) = ranked(captured.out)
    assert line["score"] == pytest.approx(matcher.score(SLT, photos[:1])[0], abs=1e-5)
    assert "notes.txt" in captured.err


def test_without_a_usable_query_nothing_is_ranked(
    matcher: Matcher, photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = tmp_path / "missing.ogg"
    assert main(["match", str(silent), *photos]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert captured.err.startswith(str(silent))


def test_a_photo_that_is_given_twice_is_ranked_once(
    matcher: Matcher, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["match", SLT, photos[0], photos[0], "--json"]) == 0
    assert len(ranked(capsys.readouterr().out)) == 1


def test_a_missing_extra_is_said_once(
    photos: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matcher_module.importlib.util, "find_spec", lambda name: None)
    assert main(["match", SLT, *photos]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert "dlib is not installed" in captured.err and "[face,sface]" in captured.err


def test_a_voice_alone_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["match", SLT]) == 2
    assert "FACE" in capsys.readouterr().err

"""Photos ranked for a voice by the server, as on the command line."""

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matching import tiny_matcher, write_tiny_matcher
from media import EXAMPLES
from PIL import Image
from web.asking import FORM, asked_directly, form_of_files

from speech2face.cli.main import main
from speech2face.errors import Speech2FaceError
from speech2face.inference import matcher as matcher_module
from speech2face.inference.matcher import NO_IDENTIFICATION, Matcher
from speech2face.web import match_api
from speech2face.web.limits import ServerLimits

pytest.importorskip("fastapi", reason="fastapi of the extra serve is not installed")

VOICE = (EXAMPLES / "slt.ogg").read_bytes()
COLOURS = ((200, 20), (20, 200), (100, 100))


@pytest.fixture
def matcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Matcher:
    opened = tiny_matcher(write_tiny_matcher(tmp_path))
    for module in (match_api, matcher_module):
        monkeypatch.setattr(module, "require_photo_readers", lambda: None)
    monkeypatch.setattr(matcher_module, "load_matcher", lambda model: opened)
    return opened


def app_of(matcher: Matcher, **limits: float) -> Any:
    from speech2face.web.api import create_app

    found = ServerLimits(**limits)  # type: ignore[arg-type]
    return create_app(matcher.pipeline, found, open_matcher=lambda: matcher)


def photo(red: int, green: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), (red, green, 0), np.uint8)).save(content, format="PNG")
    return content.getvalue()


PHOTOS = [("photos", photo(*colour)) for colour in COLOURS]


def test_photos_are_ranked_as_on_the_command_line(
    matcher: Matcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = form_of_files([("voice", VOICE), *PHOTOS])
    told = asked_directly(app_of(matcher), "v1/matches", body, Content_Type=FORM).json
    files = [tmp_path / f"{number}.png" for number in range(1, 4)]
    for file, (_, content) in zip(files, PHOTOS, strict=True):
        file.write_bytes(content)
    main(["match", str(EXAMPLES / "slt.ogg"), *map(str, files), "--json"])
    expected = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told["unusable"] == []
    assert len(told["ranked"]) == len(expected) == 3
    for mine, theirs in zip(told["ranked"], expected, strict=True):
        assert f"{mine['photo']}.png" == Path(theirs["face"]).name
        assert {key: mine[key] for key in ("rank", "score", "probability")} == {
            key: theirs[key] for key in ("rank", "score", "probability")
        }
    assert (told["what"], told["model"]) == (NO_IDENTIFICATION, expected[0]["model"])


def test_a_photo_that_cannot_be_used_is_named_and_the_others_are_ranked(matcher: Matcher) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    files = [("photos", svg), PHOTOS[0], ("photos", photo(0, 0)), ("voice", VOICE)]
    told = asked_directly(app_of(matcher), "v1/matches", form_of_files(files), Content_Type=FORM)
    assert told.status == 200
    assert [one["photo"] for one in told.json["ranked"]] == [2]
    first, second = told.json["unusable"]
    assert first["photo"] == 1 and first["error"].startswith("is not a picture that can be read")
    assert second["photo"] == 3 and second["error"].startswith("no face was found")


@pytest.mark.parametrize(
    ("files", "kind", "status", "words"),
    [
        ([("voice", VOICE)], FORM, 422, "no file 'photos'"),
        (PHOTOS, FORM, 422, "no file 'voice'"),
        ([("voice", VOICE), ("photos", b"")], FORM, 422, "photo 1: is not a picture"),
        ([("voice", b"no sound"), *PHOTOS], FORM, 422, "the recording: "),
        ([("voice", VOICE), *PHOTOS * 7], FORM, 400, "up to 21 files"),
        ([], "audio/ogg", 415, "send a form"),
    ],
)
def test_what_cannot_be_ranked_is_one_problem(
    matcher: Matcher, files: list[tuple[str, bytes]], kind: str, status: int, words: str
) -> None:
    body = form_of_files(files)
    answer = asked_directly(app_of(matcher), "v1/matches", body, Content_Type=kind)
    assert (answer.status, answer.json["status"]) == (status, status)
    assert words in answer.json["detail"]


def test_photos_that_nobody_waits_for_any_more_are_not_looked_at(
    matcher: Matcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty pictures of 50 megapixels, a few kilobytes each, take longer than a request may."""
    looked_at = []

    def slowly(photo: bytes, name: str) -> Any:
        looked_at.append(name)
        time.sleep(0.1)
        return image_of_bytes(photo, name)

    image_of_bytes = match_api.image_of_bytes
    monkeypatch.setattr(match_api, "image_of_bytes", slowly)
    body = form_of_files([("voice", VOICE), *PHOTOS * 6])
    answer = asked_directly(
        app_of(matcher, face_seconds=1.0), "v1/matches", body, Content_Type=FORM
    )
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert "took too long" in answer.json["detail"]
    time.sleep(1)
    assert 1 <= len(looked_at) <= 11


def test_without_what_reads_photos_the_remedy_is_told(
    matcher: Matcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise Speech2FaceError("dlib is not installed", 'run pip install -e ".[face]"')

    monkeypatch.setattr(match_api, "require_photo_readers", missing)
    body = form_of_files([("voice", VOICE), *PHOTOS])
    answer = asked_directly(app_of(matcher), "v1/matches", body, Content_Type=FORM)
    assert (answer.status, answer.json["title"]) == (501, "Not Implemented")
    assert answer.json["detail"] == 'dlib is not installed; run pip install -e ".[face]"'

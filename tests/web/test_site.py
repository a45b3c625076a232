"""The files of a site: complete, in every language, and with nothing of others in them."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES

import speech2face
from speech2face.cli.main import main
from speech2face.web import npm_packages, site
from speech2face.web.contract import N_LIKELY, likely_draws, page_contract

PAGE = Path(site.__file__).parent / "page"
LANGUAGES = {file.stem: json.loads(file.read_text()) for file in PAGE.glob("languages/*.json")}
SCRIPTS = {file.name: file.read_text() for file in PAGE.glob("*.js")}
OTHERS = [name for package in npm_packages.PACKAGES for name in package.files.values()]


@pytest.fixture
def small_site(stand_in_model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A site over the tiny model, with empty files in the place of the npm packages'."""
    monkeypatch.setattr(
        site, "files_of", lambda package, folder: dict.fromkeys(package.files.values(), b"")
    )
    return site.site_files(str(stand_in_model))


def test_every_file_that_the_page_asks_for_is_there(small_site: dict[str, bytes]) -> None:
    asked = set(re.findall(r'(?:src|href)="([^"#]+)"', small_site["index.html"].decode()))
    asked |= set(re.findall(r'url\("([^"]+)"\)', small_site["style.css"].decode()))
    for text in SCRIPTS.values():
        asked |= set(re.findall(r'from "\./([^"]+)"', text))
        asked |= set(re.findall(r'new URL\("\./([^"$]+)", import', text))
        asked |= set(re.findall(r'"(model/[^"]+)"', text))
    assert len(asked) > 25
    assert asked <= small_site.keys()


def test_the_list_has_the_digest_of_every_file_that_is_kept(small_site: dict[str, bytes]) -> None:
    version, listed = re.match(
        r'self.SITE_VERSION = "(\w+)";\nself.SITE_FILES = (.*);',
        small_site[site.LIST].decode(),
        re.S,
    ).groups()
    digests = json.loads(listed)
    assert len(version) == 16
    licences = {name for name in small_site if name.startswith("licences/")}
    assert digests.keys() == small_site.keys() - licences - set(site.NOT_KEPT)
    for name, digest in digests.items():
        found = hashlib.sha256(small_site[name]).digest()
        assert digest == "sha256-" + base64.b64encode(found).decode()


def test_the_graphs_are_those_of_the_model(
    small_site: dict[str, bytes], stand_in_model: Path
) -> None:
    face = stand_in_model.with_name(f"{stand_in_model.stem}-face.onnx")
    assert small_site["model/hears.onnx"] == stand_in_model.read_bytes()
    assert small_site["model/draws.onnx"] == face.read_bytes()


def test_the_likely_faces_are_those_of_the_command_line(stand_in_model: Path) -> None:
    card = speech2face.load_model(stand_in_model).card
    draws = np.frombuffer(likely_draws(card), "<f4").reshape(N_LIKELY, card.draw_size)
    drawn = np.random.default_rng(0).standard_normal((3, card.draw_size))  # as Pipeline.draw does
    np.testing.assert_array_equal(draws[:3], drawn.astype(np.float32))


def test_every_number_that_the_scripts_take_from_the_contract_is_in_it(
    stand_in_model: Path,
) -> None:
    contract = page_contract(speech2face.load_model(stand_in_model).card)
    for part in ("recording", "speech"):
        used = set(re.findall(r"limits\.(\w+)", SCRIPTS["recording.js"]))
        if part == "speech":
            used = set(re.findall(r"settings\.(\w+)", SCRIPTS["speech.js"]))
            for names in re.findall(
                r"const \{ ([\w, ]+) \} = this\.settings", SCRIPTS["speech.js"]
            ):
                used |= set(names.split(", "))
        assert used == contract[part].keys()
    assert contract["recording"]["max_channels"] == 64


def test_the_page_may_reach_nothing_but_its_own_files(small_site: dict[str, bytes]) -> None:
    page = small_site["index.html"].decode()
    assert "default-src &#39;none&#39;" in page and "CONTENT_POLICY" not in page
    own = [page, *SCRIPTS.values(), small_site["style.css"].decode()]
    addresses = {address for text in own for address in re.findall(r"https?://[^\s\"')]+", text)}
    names = {"http://www.w3.org/2000/svg"}  # of a language: nobody asks for it
    assert not addresses - names
    assert not re.search(r"<script(?![^>]*src=)|<style|style=|\son\w+=", page)  # the policy's rules


class Words(HTMLParser):
    """Texts and labels of the page by the key of their words."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.key: str | None = None

    def handle_starttag(self, _: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.key = given.get("data-word")
        if label := given.get("data-label"):
            self.found[label] = given["aria-label"] or ""

    def handle_data(self, text: str) -> None:
        if self.key:
            self.found[self.key] = text
        self.key = None


def test_the_page_says_what_the_english_file_says() -> None:
    words = Words()
    words.feed((PAGE / "index.html").read_text())
    assert len(words.found) > 25
    assert words.found == {key: LANGUAGES["en"][key] for key in words.found}


def test_every_language_file_can_be_chosen_and_no_other() -> None:
    page = (PAGE / "index.html").read_text()
    assert set(re.findall(r'<option value="(\w+)">', page)) == LANGUAGES.keys()


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {"en"}))
def test_a_language_has_every_word_with_its_gaps(language: str) -> None:
    english, words = LANGUAGES["en"], LANGUAGES[language]
    assert words.keys() == english.keys()
    for key, text in english.items():
        gaps = re.findall(r"\{\w+\}", text)
        assert sorted(gaps) == sorted(re.findall(r"\{\w+\}", words[key])), key


def test_every_word_that_a_script_says_is_in_the_english_file() -> None:
    said = {
        key
        for text in SCRIPTS.values()
        for key in re.findall(r'(?:say|tell|VoiceError)\(\s*"(\w+)"', text)
    }
    said |= set(re.findall(r'"(microphone_\w+)"', SCRIPTS["microphone.js"]))
    said |= set(re.findall(r'\["(note_\w+)"', SCRIPTS["recording.js"]))
    assert len(said) > 25
    assert said <= LANGUAGES["en"].keys()


def test_the_sample_voices_are_those_of_the_examples() -> None:
    inside = {file.name: file.read_bytes() for file in PAGE.glob("voices/*")}
    assert inside == {file.name: file.read_bytes() for file in EXAMPLES.glob("*.ogg")}


def test_the_command_writes_a_whole_site_and_replaces_nothing(
    small_site: dict[str, bytes],
    stand_in_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "site"
    command = ["web-export", str(folder), "--model", str(stand_in_model)]
    assert main(command) == 0
    assert f"{len(small_site)} files" in capsys.readouterr().out
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert written == small_site
    assert main(command) == 1
    assert "choose a folder that does not exist yet" in capsys.readouterr().err

"""The report says the same thing in three files, and its page needs nothing from elsewhere."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import Interval, Score
from speech2face.report.document import LIMITS, Picture, Report, Section, as_html, write_report
from speech2face.report.tables import (
    Table,
    format_cell,
    format_score,
    published_table,
    score_table,
    system_table,
)

MATCHING = Score(
    "1:2 G",
    0.658,
    0.5,
    328,
    130,
    interval=Interval(0.610, 0.707, "two-way", 2000, 0),
    oracle=0.5,
    controls={"shuffled": 0.493},
)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    picture = tmp_path / "out" / "figures" / "grid.png"
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(picture)
    section = Section(
        "images",
        "Faces & <judges>",
        ("What was done.",),
        (score_table("Ours", [MATCHING]), published_table("retrieval")),
        (Picture(picture, "Six faces", "A grid of six drawn faces"),),
    )
    facts = {"model": "default, sha256 " + "ab" * 32, "persons": "83"}
    return Report("Evaluation of <x>", facts, (section,), (score_table("First", [MATCHING]),))


def test_numbers_are_printed_in_their_unit() -> None:
    assert format_score(MATCHING) == "65.8 [61.0, 70.7] %"
    assert format_score(Score("angle", 45.75, 90.0, 5, 5, unit="degrees")) == "45.8°"
    assert format_score(Score("r", -0.157, 0.0, 5, 5, unit="correlation")) == "−0.16"
    assert format_cell(None) == "–" and format_cell(3) == "3" and format_cell(10.92) == "10.92"
    assert format_score(Score("kappa", float("nan"), 0.0, 5, 5, unit="kappa")) == "undefined"


def test_a_score_never_travels_without_chance_oracle_controls_and_sample_size() -> None:
    table = score_table("Ours", [MATCHING])
    row = dict(zip(table.columns, map(format_cell, table.rows[0]), strict=True))
    assert row == {
        "measure": "1:2 G",
        "value [95 %]": "65.8 [61.0, 70.7] %",
        "chance": "50.0 %",
        "gender oracle": "50.0 %",
        "shuffled": "49.3 %",
        "n": "328",
        "persons": "130",
    }


def test_systems_stand_above_chance_and_oracle_rows() -> None:
    table = system_table("dlib", ["1:2 G", "absent"], {"ours": {"1:2 G": MATCHING}})
    assert [row[0] for row in table.rows] == ["ours", "chance", "gender oracle"]
    assert table.rows[0][2] is None
    assert table.rows[1][1] == "50.0"
    assert "n = 328 queries of 130 persons" in table.note


def test_results_hold_every_score_in_full(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    cell = results["sections"][0]["tables"][0]["rows"][0][1]
    assert Score.from_json(cell) == MATCHING
    assert results["facts"]["model"].endswith("ab" * 32)


class Page(HTMLParser):
    """Collects the text, the structure and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.tables: list[set[str]] = []
        self.text = ""
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names |= {value for name, value in attrs if name == "id" and value}
        self.links += [v for k, v in attrs if k in ("src", "href", "action") and v]
        if tag == "img":
            self.images.append(given)
        if tag == "table":
            self.tables.append(set())
        if tag in ("caption", "th") and self.tables:
            self.tables[-1].add(tag + ("" if tag == "caption" else f" {given.get('scope')}"))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(text: str) -> Page:
    page = Page()
    page.feed(text)
    assert page.open == []  # every tag is closed, in order
    return page


def test_the_page_carries_its_pictures_and_asks_for_nothing_from_elsewhere(report: Report) -> None:
    text = as_html(report)
    page = read_page(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "<script" not in text and "@import" not in text and "http" not in text
    assert page.images[0]["alt"] == "A grid of six drawn faces"


def test_every_table_of_the_page_has_a_caption_and_headings_both_ways(report: Report) -> None:
    *with_heads, last = sorted(read_page(as_html(report)).tables, key=len, reverse=True)
    assert last == {"caption", "th row"}  # the facts
    assert all(found == {"caption", "th col", "th row"} for found in with_heads)


def test_words_of_a_report_cannot_become_markup(report: Report) -> None:
    text = as_html(report)
    assert "Faces &amp; &lt;judges&gt;" in text and "<judges>" not in text
    wicked = "</td></title></style><script>alert('\"')</script>"
    picture = report.sections[0].pictures[0]
    table = Table(wicked, (wicked, wicked), ((wicked, wicked),), wicked)
    section = Section(wicked, wicked, (wicked,), (table,), (Picture(picture.path, wicked, wicked),))
    text = as_html(Report(wicked, {wicked: wicked}, (section,), (table,)))
    page = read_page(text)
    assert "<script" not in text
    assert page.names == {"limits", "facts", wicked}
    assert page.images[0]["alt"] == wicked
    # title and heading; the fact; link and heading of the section, a paragraph, a caption; two
    # tables with caption, two columns, two cells and a note
    assert page.text.count(wicked) == 2 + 2 + 4 + 2 * 6


def test_a_section_that_could_not_be_computed_says_why_in_all_three_files(tmp_path: Path) -> None:
    section = Section("projection", "Features on a plane", reason="3 items; give four")
    write_report(Report("t", {}, (section,), left_out={"clip": "no sound"}), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["sections"][0]["reason"] == "3 items; give four"
    assert results["left_out"] == {"clip": "no sound"}
    for name in ("report.md", "report.html"):
        assert "Not computed: 3 items; give four." in (tmp_path / name).read_text()


def test_all_three_files_state_limits_published_numbers_and_what_was_measured(
    report: Report, tmp_path: Path
) -> None:
    write_report(report, tmp_path / "out")
    page = read_page((tmp_path / "out" / "report.html").read_text()).text
    markdown = (tmp_path / "out" / "report.md").read_text()
    results = (tmp_path / "out" / "results.json").read_text()
    for text in (page, markdown, json.loads(f'"{"ab" * 32}"') + results):
        assert "ab" * 32 in text
    for words in ("10.92", "65.8 [61.0, 70.7] %", "percent of the 5,000", *LIMITS):
        assert words in page and words in markdown


def test_reports_never_say_the_speakers_face_but_to_deny_it() -> None:
    for sentence in LIMITS:
        for said in re.finditer("the speaker's face", sentence):
            assert "not " in sentence[: said.start()][-12:]


def test_markdown_links_its_pictures_by_a_path_that_works(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path / "out")
    link = re.search(r"!\[.*\]\((.+)\)", (tmp_path / "out" / "report.md").read_text())
    assert link is not None and (tmp_path / "out" / link[1]).is_file()


def test_numbers_that_are_not_finite_become_null_and_not_broken_json(tmp_path: Path) -> None:
    nan = Score("kappa", float("nan"), 0.0, 5, 5, unit="kappa")
    write_report(Report("t", {}, (Section("s", "S", (), (score_table("c", [nan]),)),)), tmp_path)
    row = json.loads((tmp_path / "results.json").read_text())["sections"][0]["tables"][0]["rows"][0]
    assert row[1]["value"] is None


def test_ragged_tables_and_missing_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="2 columns"):
        Table("bad", ("a", "b"), (("only",),))
    gone = Picture(tmp_path / "gone.png", "c", "d")
    with pytest.raises(Speech2FaceError, match="picture"):
        as_html(Report("t", {}, (Section("s", "S", pictures=(gone,)),)))


def test_a_name_that_is_not_utf_8_stands_in_every_file_as_an_escape(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.ogg")
    section = Section("s", name, (name,), (Table(name, ("name",), ((name,),)),))
    write_report(Report(name, {"file": name}, (section,), left_out={name: "no sound"}), tmp_path)
    for file in ("results.json", "report.md", "report.html"):
        assert r"\udcff.ogg" in (tmp_path / file).read_text(encoding="utf-8")
    assert json.loads((tmp_path / "results.json").read_bytes())["title"] == name

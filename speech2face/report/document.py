"""One report, three files: `results.json` for programs, `report.md` and `report.html` for people.

A report is sections of text, tables and pictures. A cell with a `Score` shows its value and
interval. Chance, oracle and sample size are in the same table or below it, and complete in
`results.json`. `report.html` is one file, made from `page.html.j2`: its pictures are inside it, it
loads nothing from elsewhere and runs no script.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import Score
from speech2face.extras import missing_extra
from speech2face.files import write_text
from speech2face.report.tables import Cell, Table, format_cell

RESULTS, MARKDOWN, HTML = "results.json", "report.md", "report.html"
TEMPLATE = "page.html.j2"  # beside this file
FIGURES = "figures"  # folder of the pictures, beside the three files
FORMAT = 1

# Sentences that every report begins with (S21; protocols, last section; the paper's ethics text).
LIMITS = (
    "A generated face is a face consistent with the voice: an average-looking face of nobody. It "
    "is not the speaker's face, and none of these figures measures recognition of a person.",
    "The protocols measure demographic and physical correlation. Much of what they find is gender, "
    "age and language; so every figure stands beside its chance, beside what apparent gender alone "
    "would give (the gender oracle), and where possible within one apparent gender.",
    "Apparent gender and age are readings of a packaged classifier on a picture: an instrument, "
    "not a fact about a person. It knows two words for gender and errs more for some groups than "
    "for others. Labels are used here for evaluation only and are never inputs of a model.",
    "The voices come from few people, mostly speakers on public video. They do not represent any "
    "population; voices unlike those of the training set come out worse.",
    "Do not use such faces to identify, find, accuse or judge anybody. Do not publish the "
    "photographs of a report: the people in them agreed to nothing here.",
)


@dataclass(frozen=True)
class Picture:
    """A PNG of the report's `figures` folder, and a description for readers who cannot see it."""

    path: Path
    caption: str
    description: str


@dataclass(frozen=True)
class Section:
    """One protocol: what was done, and the results.

    Attributes:
        name: of the protocol.
        title: heading.
        text: paragraphs.
        tables: results.
        pictures: figures.
        reason: why nothing could be computed; empty if it could.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    reason: str = ""

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The text, and the reason if there is one."""
        return (*self.text, *([f"Not computed: {self.reason}."] if self.reason else []))


@dataclass(frozen=True)
class Report:
    """Everything measured in one run.

    Attributes:
        title: of the page.
        facts: what was measured on what: model file and hash, split, persons, clips, instruments.
        sections: in order of reading.
        summary: the few tables a reader needs first.
        left_out: what could not be used, by the id of the clip or the name of the picture, with
            the reason.
    """

    title: str
    facts: Mapping[str, str]
    sections: tuple[Section, ...]
    summary: tuple[Table, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------- files


def write_report(report: Report, out: Path) -> None:
    """Write `results.json`, `report.md` and `report.html` into `out`, each whole or not at all.

    Raises:
        Speech2FaceError: a picture of the report is missing.
    """
    files = {
        RESULTS: json.dumps(as_json(report), indent=1, allow_nan=False) + "\n",
        MARKDOWN: as_markdown(report, out),
        HTML: as_html(report),
    }
    for name, text in files.items():
        write_text(out / name, text)


def as_json(report: Report) -> dict[str, Any]:
    """Plain data of the whole report; a number that is not finite becomes null."""
    plain: dict[str, Any] = _finite(
        {
            "format": FORMAT,
            "title": report.title,
            "facts": dict(report.facts),
            "limits": list(LIMITS),
            "left_out": dict(report.left_out),
            "summary": [_table_json(table) for table in report.summary],
            "sections": [
                {
                    "name": section.name,
                    "title": section.title,
                    "text": list(section.text),
                    "reason": section.reason,
                    "tables": [_table_json(table) for table in section.tables],
                    "pictures": [picture.path.name for picture in section.pictures],
                }
                for section in report.sections
            ],
        }
    )
    return plain


def _table_json(table: Table) -> dict[str, Any]:
    def plain(cell: Cell) -> Any:
        return cell.to_json() if isinstance(cell, Score) else cell

    return {
        "caption": table.caption,
        "columns": list(table.columns),
        "rows": [[plain(cell) for cell in row] for row in table.rows],
        "note": table.note,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_markdown(report: Report, out: Path) -> str:
    """The report as Markdown; pictures are links relative to `out`."""
    lines = [f"# {report.title}", "", "## Limits", ""]
    lines += [f"* {sentence}" for sentence in LIMITS]
    lines += ["", "## What was measured", "", "| | |", "|---|---|"]
    lines += [f"| {_pipe(name)} | {_pipe(value)} |" for name, value in report.facts.items()]
    for table in report.summary:
        lines += ["", *_markdown_table(table)]
    for section in report.sections:
        lines += ["", f"## {section.title}"]
        for paragraph in section.paragraphs:
            lines += ["", paragraph]
        for table in section.tables:
            lines += ["", *_markdown_table(table)]
        for picture in section.pictures:
            link = Path(os.path.relpath(picture.path, out)).as_posix()
            lines += ["", f"![{picture.description}]({link})", "", f"*{picture.caption}*"]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    lines = [f"**{table.caption}**", ""]
    lines.append("| " + " | ".join(_pipe(column) for column in table.columns) + " |")
    lines.append("|" + "---|" * len(table.columns))
    for row in table.rows:
        lines.append("| " + " | ".join(_pipe(format_cell(cell)) for cell in row) + " |")
    return [*lines, *(["", table.note] if table.note else [])]


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_html(report: Report) -> str:
    """The report as one HTML page with its pictures inside.

    Raises:
        Speech2FaceError: a picture is missing.
    """
    page = _jinja2().Environment(
        loader=_jinja2().PackageLoader("speech2face.report", ""),
        autoescape=True,
        undefined=_jinja2().StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {"cell": format_cell, "data_uri": _data_uri}
    return str(page.get_template(TEMPLATE).render(report=report, limits=LIMITS))


def require_page() -> None:
    """Refuse at once if the page could not be written at the end.

    Raises:
        Speech2FaceError: the package for its template is missing.
    """
    _jinja2()


def _jinja2() -> ModuleType:
    try:
        import jinja2
    except ModuleNotFoundError as missing:
        raise missing_extra("jinja2", "evaluate") from missing
    return jinja2


def _data_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Speech2FaceError(
            "a picture of the report is missing", "evaluate again", str(path)
        ) from error
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")

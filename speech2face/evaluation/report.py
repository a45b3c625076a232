"""One report, three files: `results.json` for programs, `report.md` and `report.html` for people.

A report is sections of text, tables and pictures. A cell that holds a `Score` prints its value and
interval; its chance, oracle and sample size stand in the same table or below it, and in full in
`results.json` (S14). `report.html` is one file: its pictures are inside it, it asks for nothing
from elsewhere and runs no script.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.published import Published
from speech2face.evaluation.uncertainty import Interval, Score

Cell = str | int | float | Score | None

RESULTS, MARKDOWN, HTML = "results.json", "report.md", "report.html"
FIGURES = "figures"  # folder of the pictures, beside the three files
FORMAT = 1

# What every report says before any number (S21; protocols, last section; the paper's ethics text).
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
class Table:
    """Rows under headings; the first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if wrong := [row for row in self.rows if len(row) != len(self.columns)]:
            raise Speech2FaceError(
                f"table {self.caption!r} has {len(self.columns)} columns, a row {len(wrong[0])}",
                "give every row one cell a column",
            )


@dataclass(frozen=True)
class Picture:
    """A PNG of the report's `figures` folder, and words for those who cannot see it."""

    path: Path
    caption: str
    description: str


@dataclass(frozen=True)
class Section:
    """One protocol: what was done, and what came out."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything measured in one run.

    Attributes:
        title: of the page.
        facts: what was measured on what: model file and hash, split, persons, clips, instruments.
        sections: in order of reading.
        summary: the few tables a reader needs first.
    """

    title: str
    facts: Mapping[str, str]
    sections: tuple[Section, ...]
    summary: tuple[Table, ...] = field(default_factory=tuple)


# ---------------------------------------------------------------- cells


_DECIMALS = {
    "degrees": 1,
    "years": 1,
    "rank": 1,
    "correlation": 2,
    "kappa": 2,
    "cosine": 3,
    "distance": 3,
}
_SIGN = {"share": " %", "degrees": "°"}


def format_number(value: float, unit: str) -> str:
    """A number in its unit: a share as percent with one decimal."""
    if math.isnan(value):
        return "undefined"
    text = f"{100 * value if unit == 'share' else value:.{_DECIMALS.get(unit, 1)}f}"
    return text.replace("-", "−")


def format_score(score: Score) -> str:
    """Value and interval, "38.7 [32.5, 45.5] %"."""
    interval = f" {format_interval(score.interval, score.unit)}" if score.interval else ""
    return format_number(score.value, score.unit) + interval + _SIGN.get(score.unit, "")


def format_interval(interval: Interval, unit: str) -> str:
    """Both ends in brackets, without the unit."""
    return f"[{format_number(interval.low, unit)}, {format_number(interval.high, unit)}]"


def format_cell(cell: Cell) -> str:
    """What stands in a table."""
    if cell is None:
        return "–"
    if isinstance(cell, Score):
        return format_score(cell)
    if isinstance(cell, float):
        return f"{cell:.6g}".replace("-", "−")
    return str(cell)


def score_table(caption: str, scores: Sequence[Score], note: str = "") -> Table:
    """One row a score: value, interval, chance, oracle, controls, sample size."""
    controls = tuple(dict.fromkeys(name for score in scores for name in score.controls))
    has_oracle = any(score.oracle is not None for score in scores)
    columns = (
        "measure",
        "value [95 %]",
        "chance",
        *(("gender oracle",) if has_oracle else ()),
        *controls,
        "n",
        "persons",
    )

    def number(value: float | None, score: Score) -> str:
        if value is None:
            return "–"
        return format_number(value, score.unit) + _SIGN.get(score.unit, "")

    rows = tuple(
        (
            score.name,
            score,
            number(score.chance, score),
            *((number(score.oracle, score),) if has_oracle else ()),
            *(number(score.controls.get(name), score) for name in controls),
            score.n,
            score.persons,
        )
        for score in scores
    )
    return Table(caption, columns, rows, note)


def contestant_table(
    caption: str, columns: Sequence[str], scores: Mapping[str, Mapping[str, Score]], note: str = ""
) -> Table:
    """One row a system, one column a measure; chance and gender oracle as the last rows."""
    rows: list[tuple[Cell, ...]] = [
        (name, *(by_measure.get(column) for column in columns))
        for name, by_measure in scores.items()
    ]
    first = next(iter(scores.values()))
    shown = [first.get(column) for column in columns]
    rows.append(("chance", *("–" if s is None else format_number(s.chance, s.unit) for s in shown)))
    if any(s is not None and s.oracle is not None for s in shown):
        oracles = (
            "–" if s is None or s.oracle is None else format_number(s.oracle, s.unit) for s in shown
        )
        rows.append(("gender oracle", *oracles))
    sizes = {score.n for by_measure in scores.values() for score in by_measure.values()}
    persons = {score.persons for by_measure in scores.values() for score in by_measure.values()}
    size = f"n = {_span(sizes)} queries of {_span(persons)} persons."
    return Table(caption, ("images", *columns), tuple(rows), f"{size} {note}".strip())


def _span(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def published_table(table: Published) -> Table:
    """A published table with its source and how its protocol differs."""
    note = f"Source: {table.source}. Differs: {table.difference}"
    return Table(f"Published: {table.title}", table.columns, table.rows, note)


# ---------------------------------------------------------------- files


def write_report(report: Report, out: Path) -> None:
    """Write `results.json`, `report.md` and `report.html` into `out`, each whole or not at all.

    Raises:
        Speech2FaceError: a picture of the report is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = {
        RESULTS: json.dumps(as_json(report), indent=1, allow_nan=False) + "\n",
        MARKDOWN: as_markdown(report, out),
        HTML: as_html(report),
    }
    for name, text in files.items():
        partial = out / f".{name}.{os.getpid()}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out / name)


def as_json(report: Report) -> dict[str, Any]:
    """Plain data of the whole report; a number that is not finite becomes null."""
    plain: dict[str, Any] = _finite(
        {
            "format": FORMAT,
            "title": report.title,
            "facts": dict(report.facts),
            "limits": list(LIMITS),
            "summary": [_table_json(table) for table in report.summary],
            "sections": [
                {
                    "name": section.name,
                    "title": section.title,
                    "text": list(section.text),
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
        for paragraph in section.text:
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


# Dark ink on white; in a dark room the reverse. Contrast is 7:1 or more either way.
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #4d5761; --paper: #ffffff;
  --line: #c9d1d9; --band: #f3f5f7; --note: #fff6dd; --edge: #9a6700; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #b1bac4; --paper: #0d1117;
  --line: #30363d; --band: #161b22; --note: #272115; --edge: #e3b341; --link: #79c0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { margin-top: 3rem; font-size: 1.3rem; }
p, li { max-width: 48rem; } a { color: var(--link); }
aside h2 { margin-top: .8rem; }
aside { border-left: .3rem solid var(--edge); background: var(--note); padding: .2rem 1.2rem; }
nav ul { columns: 16rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); }
tbody tr:nth-child(even) { background: var(--band); }
tbody th { font-weight: 500; min-width: 8rem; } td { white-space: nowrap; }
table.facts td { white-space: normal; overflow-wrap: anywhere; }
.note, figcaption { color: var(--quiet); font-size: .88rem; max-width: 60rem; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; background: #ffffff; }
""".strip()


def as_html(report: Report) -> str:
    """The report as one HTML page with its pictures inside.

    Raises:
        Speech2FaceError: a picture is missing.
    """
    body = [
        f"<h1>{_text(report.title)}</h1>",
        '<aside aria-labelledby="limits">',
        '<h2 id="limits">Limits</h2>',
        "<ul>",
        *(f"<li>{_text(sentence)}</li>" for sentence in LIMITS),
        "</ul></aside>",
        '<nav aria-label="Sections"><ul>',
        *(f'<li><a href="#{_text(s.name)}">{_text(s.title)}</a></li>' for s in report.sections),
        "</ul></nav>",
        "<main>",
        '<h2 id="facts">What was measured</h2>',
        '<div class="scroll"><table class="facts"><caption>What was measured on what</caption>',
        "<tbody>",
        *(
            f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'
            for name, value in report.facts.items()
        ),
        "</tbody></table></div>",
        *(line for table in report.summary for line in _html_table(table)),
        *(line for section in report.sections for line in _html_section(section)),
        "</main>",
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(report.title)}</title>",
            f"<style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _html_section(section: Section) -> list[str]:
    lines = [f'<section id="{_text(section.name)}">', f"<h2>{_text(section.title)}</h2>"]
    lines += [f"<p>{_text(paragraph)}</p>" for paragraph in section.text]
    for table in section.tables:
        lines += _html_table(table)
    for picture in section.pictures:
        lines += [
            "<figure>",
            f'<img src="{_data_uri(picture.path)}" alt="{_text(picture.description)}">',
            f"<figcaption>{_text(picture.caption)}</figcaption></figure>",
        ]
    return [*lines, "</section>"]


def _html_table(table: Table) -> list[str]:
    # A table that may be wider than the window scrolls by itself, also by keyboard.
    label = _text(table.caption)
    lines = [f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">']
    lines.append(f"<table><caption>{label}</caption><thead><tr>")
    lines += [f'<th scope="col">{_text(column)}</th>' for column in table.columns]
    lines.append("</tr></thead><tbody>")
    for name, *cells in table.rows:
        values = "".join(f"<td>{_text(format_cell(cell))}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{_text(format_cell(name))}</th>{values}</tr>')
    lines.append("</tbody></table>")
    if table.note:
        lines.append(f'<p class="note">{_text(table.note)}</p>')
    return [*lines, "</div>"]


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _data_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Speech2FaceError(
            "a picture of the report is missing", "evaluate again", str(path)
        ) from error
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")

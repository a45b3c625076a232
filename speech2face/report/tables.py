"""Tables of a report: how numbers are printed, and rows of scores.

A table never shows a score without its chance and sample size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import Interval, Score
from speech2face.report.published import published_tables

Cell = str | int | float | Score | None


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
                "give every row one cell per column",
            )


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
    """Content of a table."""
    if cell is None:
        return "–"
    if isinstance(cell, Score):
        return format_score(cell)
    if isinstance(cell, float):
        return f"{cell:.6g}".replace("-", "−")
    return str(cell)


def score_table(caption: str, scores: Sequence[Score], note: str = "") -> Table:
    """One row per score: value, interval, chance, oracle, controls, sample size."""
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


def system_table(
    caption: str, columns: Sequence[str], scores: Mapping[str, Mapping[str, Score]], note: str = ""
) -> Table:
    """One row per system, one column per measure; chance and gender oracle as the last rows."""
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


def published_table(name: str) -> Table:
    """A published table with its source and how its protocol differs."""
    table = published_tables()[name]
    note = f"Source: {table.source}. Differs: {table.difference}"
    return Table(f"Published: {table.title}", table.columns, table.rows, note)

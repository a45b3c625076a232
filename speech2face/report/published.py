"""Figures that others published, read from `published.toml`, each with how its protocol differs.

They are shown beside ours, so that a reader sees the number and why it may not be comparable.
The figures of the paper are those of Oh et al., CVPR 2019; the rows on the authors' own images were
measured with dlib for the description of the protocols.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Published:
    """One published table.

    Attributes:
        name: key under which a protocol looks it up.
        title: what the table holds.
        source: where it was published.
        difference: how the published protocol differs from ours, in one or two sentences.
        columns: names of the columns, the first names the rows.
        rows: one tuple per row, as printed; None where a figure was not published.
    """

    name: str
    title: str
    source: str
    difference: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]

    def value(self, row: str, column: str) -> float:
        """The number in `row` (by its first cell) under `column`."""
        found = next(cells for cells in self.rows if cells[0] == row)
        number = found[self.columns.index(column)]
        assert isinstance(number, float | int)
        return float(number)


@cache
def published_tables() -> Mapping[str, Published]:
    """Every published table by its name."""
    return MappingProxyType(
        {
            name: Published(
                name,
                table["title"],
                table["source"],
                table["difference"],
                tuple(table["columns"]),
                tuple(tuple(None if cell == "" else cell for cell in row) for row in table["rows"]),
            )
            for name, table in _data()["tables"].items()
        }
    )


def published_counts(label: str) -> Mapping[str, int]:
    """How many faces of the paper's test set had each value of a label (Fig. 4b)."""
    counts: dict[str, int] = _data()["counts"][label]
    return counts


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("published.toml").read_text("utf-8"))

"""Tables of metadata, as corpora really come: with tabs or commas, quoted or padded with blanks.

`records.csv_rows` reads files of a known form and refuses all others. The tables of corpora exist
in several copies, and one bad row must not cost all the rest.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from speech2face.errors import Speech2FaceError
from speech2face.records import lines


def table_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str] | str]]:
    """Rows of a table whose first line names the columns, each after where it stands.

    Args:
        path: of the table; fields are separated by tabs if there is one in the first line, else by
            commas. Blanks around fields do not count.
        columns: that are needed, in any order; the others are left out.

    Yields:
        The fields by column, or what is wrong with the row.

    Raises:
        Speech2FaceError: the file cannot be read, or a needed column is not there.
    """
    found: list[str] | None = None
    delimiter = ","
    for where, line in lines(path):
        if not line.strip():
            continue
        if found is None:
            delimiter = "\t" if "\t" in line else ","
            found = _fields(line, delimiter) or []
            if absent := [name for name in columns if name not in found]:
                problem = f"has no column {', '.join(absent)}; it has {', '.join(found)}"
                raise Speech2FaceError(problem, "use the table as it was published", where)
            continue
        fields = _fields(line, delimiter)
        if fields is None or len(fields) != len(found):
            yield where, f"does not have the {len(found)} fields of the first line"
            continue
        row = dict(zip(found, fields, strict=True))
        yield where, {name: row[name] for name in columns}


def _fields(line: str, delimiter: str) -> list[str] | None:
    """Fields of one line, without quotes and blanks; None if a quote is left open."""
    if line.count('"') % 2:
        return None
    try:  # not strictly: there are copies with blanks behind a quote
        (fields,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError):
        return None
    return [field.strip() for field in fields]

"""Tables as they come: the same rows by tabs, commas, quotes and padding."""

from pathlib import Path

import pytest

from speech2face.data.metadata_table import table_rows
from speech2face.errors import Speech2FaceError


@pytest.mark.parametrize(
    "text",
    [
        "ID\tname\tSet\nid1\tA, B\tdev\n",
        'ID,name,Set\nid1,"A, B",dev\n',
        '\ufeffID ,name ,Set \nid1 ,"A, B" ,dev \n',
        '"Set","ID","name"\n"dev","id1","A, B"\n',
        '"Set", "ID", "name"\r\n"dev", "id1", "A, B"\r\n\r\n',
    ],
)
def test_every_copy_of_a_table_gives_the_same_row(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert [row for _, row in table_rows(path, ("ID", "Set"))] == [{"ID": "id1", "Set": "dev"}]


def test_a_bad_row_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('ID,Set\na,dev\nb\nc,"dev\nd,test\n')
    rows = list(table_rows(path, ("ID", "Set")))
    bad = "does not have the 2 fields of the first line"
    expected = [{"ID": "a", "Set": "dev"}, bad, bad, {"ID": "d", "Set": "test"}]
    assert [row for _, row in rows] == expected
    assert rows[1][0].endswith("t.csv, line 3")


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ID,Sex\n")
    with pytest.raises(Speech2FaceError, match="has no column Set; it has ID, Sex"):
        list(table_rows(path, ("ID", "Set")))

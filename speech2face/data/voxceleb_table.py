"""The tables of VoxCeleb1 and 2 have one form: a row for each person, with gender and set.

The set `test` is test; of the set `dev`, a seeded hash of the person makes train and val.
"""

from collections.abc import Mapping
from pathlib import Path

from speech2face.data.metadata_table import table_rows
from speech2face.data.sample import Split
from speech2face.data.splits import SHARES_WITHOUT_TEST, split_of_person
from speech2face.data.talking_clip import Row, bad_row

_GENDERS = {"m": "male", "f": "female"}

Person = Mapping[str, str]  # a row by column


def read_people(path: Path, columns: tuple[str, ...]) -> tuple[dict[str, Person], list[Row]]:
    """People by their id, which is in the first of `columns`, and the rows that cannot be used.

    Raises:
        Speech2FaceError: the table cannot be read, or a column is missing.
    """
    people: dict[str, Person] = {}
    bad: list[Row] = []
    for where, row in table_rows(path, columns):
        if isinstance(row, str):
            bad.append(bad_row(where, row))
        else:
            people[row[columns[0]]] = row
    return people, bad


def split_of(name: str, person: Person, seed: int) -> Split:
    """Split of a person."""
    if person["Set"].lower() == "test":
        return "test"
    return split_of_person(name, seed=seed, shares=SHARES_WITHOUT_TEST)


def gender_label(person: Person) -> dict[str, str]:
    """The label `gender`, if the table has one that is known."""
    gender = _GENDERS.get(person["Gender"].lower())
    return {"gender": gender} if gender else {}

"""Any folder of videos of people who talk, one person in each.

The person is the first folder below the root (`anna/holiday.mp4`), or, for a video in the root
itself, the name up to the first double underscore (`anna__03.mp4`), or else the whole name. The
split is a seeded hash of the person. Of a long video the first five minutes are heard; if it shows
several faces of about one size, it is left out, because nothing says who of them speaks.
"""

from collections.abc import Iterator
from pathlib import Path

from speech2face.data.folder import PERSON_MARK
from speech2face.data.splits import split_of_person
from speech2face.data.talking_clip import VIDEO_SUFFIXES, Corpus, Row, TalkingClip, corpus_of

_EXPECTED = "videos such as anna/holiday.mp4 or anna__03.mp4"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each video below a folder; its id is the path from there.

    Raises:
        Speech2FaceError: there is no video.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() not in VIDEO_SUFFIXES or not file.is_file():
            continue
        path = file.relative_to(root)
        name = path.name.removesuffix(path.suffix)
        person = path.parts[0] if len(path.parts) > 1 else name.split(PERSON_MARK)[0] or name
        yield TalkingClip(
            id=path.as_posix(),
            person=person,
            face=file,
            voice=file,
            video=path.as_posix(),
            split=split_of_person(person, seed=seed),
        )

"""Your own pairs: voices and faces in folders, paired by their file names.

The files are `ROOT/voice/NAME.*` and `ROOT/face/NAME.*`, or both are directly in `ROOT`. The person
is the part of the name before the first double underscore (`anna__03.wav` is a clip of `anna`), or
the whole name if there is none. The split is a seeded hash of the person.
"""

from collections.abc import Iterable
from pathlib import Path

from speech2face.data.sample import Sample
from speech2face.data.splits import split_of_person
from speech2face.errors import Speech2FaceError

VOICE_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm", ".mp4", ".mkv", ".mov", ".aac"}
)
FACE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
PERSON_MARK = "__"


def read(root: Path, *, seed: int = 0) -> list[Sample]:
    """One sample for each name that has both a voice and a face, sorted by name.

    Raises:
        Speech2FaceError: there is no pair, or one name has two voices or two faces.
    """
    voices = _by_stem(root, ("voice", "."), VOICE_SUFFIXES)
    faces = _by_stem(root, ("face", "."), FACE_SUFFIXES)
    names = sorted(voices.keys() & faces.keys())
    if not names:
        raise Speech2FaceError(
            "there is no voice and face of the same name",
            "give both files of a pair one name, as in voice/anna__1.wav and face/anna__1.jpg",
            str(root),
        )
    return [_sample(name, voices[name], faces[name], seed) for name in names]


def _sample(name: str, voice: Path, face: Path, seed: int) -> Sample:
    person = name.split(PERSON_MARK)[0] or name
    return Sample(
        id=name,
        person=person,
        voice=voice,
        face=face,
        split=split_of_person(person, seed=seed),
    )


def _by_stem(root: Path, folders: Iterable[str], suffixes: frozenset[str]) -> dict[str, Path]:
    """Files in the first of `folders` that exists, by file name without suffix."""
    folder = next((root / name for name in folders if (root / name).is_dir()), root)
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if file.suffix.lower() not in suffixes:
            continue
        if file.stem in files:
            raise Speech2FaceError(
                f"{files[file.stem].name} and {file.name} have the same name",
                "rename one of them",
                str(folder),
            )
        files[file.stem] = file
    return files

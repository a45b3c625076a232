"""VoxCeleb2: 6,112 celebrities in interviews.

=========  =========================================================================================
What       1,128,246 utterances out of 150,480 YouTube videos (Chung et al., VoxCeleb2, Interspeech
           2018; www.robots.ox.ac.uk/~vgg/data/voxceleb).
Person     `id00012` and so on; `vox2_meta.csv` has name, gender and set.
Split      the set `test` of the table is test (118 people); the set `dev` is train and val by a
           seeded hash of the person.
Terms      the metadata are CC BY 4.0; the videos belong to whoever published them.
=========  =========================================================================================

Either cut clips of 224 x 224 pixels, in which the face is in the middle, with or without the sound
as files of its own,

    dev/mp4/id00012/21Uxsk56VDQ/00001.mp4       also below `test` and without either
    dev/aac/id00012/21Uxsk56VDQ/00001.m4a       also `m4a` for the folder

or face tracks, boxes in parts of the picture, with whole videos:

    txt/id00012/21Uxsk56VDQ/00001.txt           also below `dev` and `test`
    videos/21Uxsk56VDQ.mp4                      anywhere below `videos`

The table has the columns `VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set`, with the blanks.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from speech2face.data.face_track import TrackFile
from speech2face.data.talking_clip import (
    Corpus,
    Row,
    TalkingClip,
    corpus_of,
    media_by_stem,
    missing_media,
    no_metadata,
)
from speech2face.data.voxceleb_table import Person, gender_label, read_people, split_of

TABLE = "vox2_meta.csv"
COLUMNS = ("VoxCeleb2 ID", "Gender", "Set")
MIDDLE = (0.5, 0.5)  # where the face of a cut clip is
_PARTS = ("dev", "test", ".")
_EXPECTED = f"{TABLE}, and mp4/ID/VIDEO/*.mp4, or txt/ID/VIDEO/*.txt and videos"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each utterance.

    Raises:
        Speech2FaceError: no table or no clip, or a person or a video is in two splits.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    people, bad = read_people(root / TABLE, COLUMNS)
    yield from bad
    videos = media_by_stem(root / "videos")
    cut: set[tuple[str, ...]] = set()
    for part in _PARTS:
        for file in sorted((root / part / "mp4").glob("*/*/*.mp4")):
            cut.add((*file.parts[-3:-1], file.stem))
            sound = _sound(root / part, file)
            yield _row(file, people, seed, face=file, voice=sound or file, centre=MIDDLE)
    for part in _PARTS:
        for file in sorted((root / part / "txt").glob("*/*/*.txt")):
            if (*file.parts[-3:-1], file.stem) in cut:
                continue
            video = videos.get(file.parts[-2])
            if video is None:
                clip_id = "/".join((*file.parts[-3:-1], file.stem))
                yield missing_media(clip_id, f"there is no video {file.parts[-2]}")
                continue
            track = TrackFile(file, "fractions")
            yield _row(file, people, seed, face=video, voice=video, track=track)


def _row(
    file: Path,
    people: Mapping[str, Person],
    seed: int,
    *,
    face: Path,
    voice: Path,
    centre: tuple[float, float] | None = None,
    track: TrackFile | None = None,
) -> Row:
    """The clip that a file ID/VIDEO/NUMBER.* stands for."""
    person, video = file.parts[-3:-1]
    clip_id = f"{person}/{video}/{file.stem}"
    if person not in people:
        return no_metadata(clip_id, f"{TABLE} has no {person}")
    about = people[person]
    split = split_of(person, about, seed)
    return TalkingClip(
        id=clip_id,
        person=person,
        face=face,
        voice=voice,
        centre=centre,
        track=track,
        video=f"{person}/{video}",  # a video may show two of the people
        split=split,
        labels=gender_label(about),
    )


def _sound(part: Path, file: Path) -> Path | None:
    """The sound of a cut clip as a file of its own, if there is one."""
    for folder in ("aac", "m4a"):
        sound = part.joinpath(folder, *file.parts[-3:-1], f"{file.stem}.m4a")
        if sound.is_file():
            return sound
    return None

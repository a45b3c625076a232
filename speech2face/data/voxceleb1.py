"""VoxCeleb1: 1,251 celebrities in interviews.

=========  =========================================================================================
What       153,516 utterances out of 22,496 YouTube videos (Nagrani et al., VoxCeleb, Interspeech
           2017; www.robots.ox.ac.uk/~vgg/data/voxceleb).
Person     `id10001` to `id11251`; `vox1_meta.csv` has name, gender, nationality and set.
Split      the set `test` of the table is test (40 people, the verification test); the set `dev` is
           train and val by a seeded hash of the person.
Terms      the metadata are CC BY 4.0; the videos belong to whoever published them.
=========  =========================================================================================

`wav/id10270/5r0dWxy17C8/00001.wav` (also below `dev/` and `test/`), and for the face either

    txt/id10270/5r0dWxy17C8/00001.txt     the face track, boxes in pixels, and
    videos/5r0dWxy17C8.mp4                the whole video, anywhere below `videos`; or
    unzippedFaces/NAME/1.6/5r0dWxy17C8/*.jpg    pictures of the faces of this video

The table has the columns `VoxCeleb1 ID, VGGFace1 ID, Gender, Nationality, Set`, separated by tabs
or commas. A face of another clip of the same video is of the same person, so the middle one is
taken.
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

TABLE = "vox1_meta.csv"
COLUMNS = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
_EXPECTED = f"{TABLE}, wav/ID/VIDEO/*.wav, and txt with videos or unzippedFaces"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each utterance of which there is a face.

    Raises:
        Speech2FaceError: no table or no clip, or a person or a video is in two splits.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    people, bad = read_people(root / TABLE, COLUMNS)
    yield from bad
    videos = media_by_stem(root / "videos")
    for folder in ("wav", "dev/wav", "test/wav"):
        for voice in sorted((root / folder).glob("*/*/*.wav")):
            yield _row(root, voice, people, videos, seed)


def _row(
    root: Path,
    voice: Path,
    people: Mapping[str, Person],
    videos: Mapping[str, Path],
    seed: int,
) -> Row:
    person, video = voice.parts[-3:-1]
    clip_id = f"{person}/{video}/{voice.stem}"
    if person not in people:
        return no_metadata(clip_id, f"{TABLE} has no {person}")
    about = people[person]
    labels = {"nationality": about["Nationality"], **gender_label(about)}
    split = split_of(person, about, seed)
    track = root / "txt" / person / video / f"{voice.stem}.txt"
    if video in videos and track.is_file():
        return TalkingClip(
            id=clip_id,
            person=person,
            face=videos[video],
            voice=voice,
            track=TrackFile(track, "pixels"),
            video=f"{person}/{video}",
            split=split,
            labels=labels,
        )
    faces = sorted((root / "unzippedFaces" / about["VGGFace1 ID"] / "1.6" / video).glob("*.jpg"))
    if not faces:
        return missing_media(clip_id, f"neither a video with its track nor faces of {video}")
    return TalkingClip(
        id=clip_id,
        person=person,
        face=faces[len(faces) // 2],
        voice=voice,
        video=f"{person}/{video}",  # a video may show two of the people
        split=split,
        labels=labels,
    )

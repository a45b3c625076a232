"""MAV-Celeb: celebrities who speak two languages.

=========  =========================================================================================
What       voices and pictures of faces of 70 (v1, English and Urdu) or 84 people (v2, English and
           Hindi) out of YouTube videos (Nawaz et al., Cross-modal Speaker Verification and
           Recognition: A Multilingual Perspective, CVPR Workshops 2021; mavceleb.github.io).
Person     `id0001` and so on; `v1_meta.csv` or `v2_meta.csv` has name and gender.
Split      the training tree is split by a seeded hash of the person. The published lists of test
           lines, `ysuvkz41 voices/English/00000.wav faces/English/00000.jpg`, are questions of a
           challenge: whether voice and face belong together is not told, so they are no clips.
Terms      for research, on request.
=========  =========================================================================================

`voices/id0001/English/VIDEO/00000.wav` and `faces/id0001/English/VIDEO/00000.jpg`; the table has
the columns `ids,name,gender`. There are more pictures than utterances, and nothing says which
belong together; every voice gets the middle picture of its video.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from speech2face.data.metadata_table import table_rows
from speech2face.data.splits import split_of_person
from speech2face.data.talking_clip import (
    Corpus,
    Row,
    TalkingClip,
    bad_row,
    corpus_of,
    missing_media,
    no_metadata,
)
from speech2face.errors import Speech2FaceError

TABLES = ("v2_meta.csv", "v1_meta.csv")
_GENDERS = {"m": "male", "f": "female", "male": "male", "female": "female"}
_EXPECTED = "v2_meta.csv or v1_meta.csv, voices/ID/LANGUAGE/VIDEO/*.wav and faces beside voices"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each utterance of a video of which there is a face.

    Raises:
        Speech2FaceError: no table, or no clip.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    table = next((root / name for name in TABLES if (root / name).is_file()), None)
    if table is None:
        raise Speech2FaceError("there is no table of this corpus", f"give {_EXPECTED}", str(root))
    genders: dict[str, str] = {}
    for where, row in table_rows(table, ("ids", "gender")):
        if isinstance(row, str):
            yield bad_row(where, row)
        else:
            genders[row["ids"]] = row["gender"]
    for voice in sorted((root / "voices").glob("*/*/*/*.wav")):
        yield _row(root, voice, genders, seed)


def _row(root: Path, voice: Path, genders: Mapping[str, str], seed: int) -> Row:
    person, language, video = voice.parts[-4:-1]
    clip_id = f"{person}/{language}/{video}/{voice.stem}"
    if person not in genders:
        return no_metadata(clip_id, f"the table has no {person}")
    faces = sorted(root.joinpath("faces", person, language, video).glob("*.jpg"))
    if not faces:
        return missing_media(clip_id, f"there is no face of {person}/{language}/{video}")
    labels = {"language": language}
    if gender := _GENDERS.get(genders[person].lower()):
        labels["gender"] = gender
    return TalkingClip(
        id=clip_id,
        person=person,
        face=faces[len(faces) // 2],
        voice=voice,
        video=f"{person}/{language}/{video}",
        split=split_of_person(person, seed=seed),
        labels=labels,
    )

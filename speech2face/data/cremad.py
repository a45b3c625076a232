"""CREMA-D: 91 actors say twelve sentences in six emotions.

=========  =========================================================================================
What       7,442 clips of 2 to 3 s; faces and voices of 48 men and 43 women (Cao et al., CREMA-D,
           IEEE Trans. Affective Computing 2014; repository CheyneyComputerScience/CREMA-D).
Person     the actor, 1001 to 1091; `VideoDemographics.csv` has age and sex.
Split      none is published: a seeded hash of the actor.
Not for    statements about speech in general: everybody says the same sentences, in a studio.
Terms      Open Database License.
=========  =========================================================================================

`AudioWAV/1001_DFA_ANG_XX.wav`, or `AudioMP3` with `.mp3`, and `VideoFlash/1001_DFA_ANG_XX.flv`. The
table has the columns `"ActorID","Age","Sex","Race","Ethnicity"`. The repository keeps media with
Git LFS: a checkout without it holds pointers, which are found when a clip is opened.
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

TABLE = "VideoDemographics.csv"
_GENDERS = {"male": "male", "female": "female"}
_EXPECTED = f"{TABLE}, VideoFlash/*.flv, and AudioWAV/*.wav or AudioMP3/*.mp3"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each video that has a sound file.

    Raises:
        Speech2FaceError: no table, or no clip.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    actors: dict[str, Mapping[str, str]] = {}
    for where, row in table_rows(root / TABLE, ("ActorID", "Sex")):
        if isinstance(row, str):
            yield bad_row(where, row)
        else:
            actors[row["ActorID"]] = row
    for face in sorted((root / "VideoFlash").glob("*.flv")):
        actor = face.stem.split("_")[0]
        sounds = (root / "AudioWAV" / f"{face.stem}.wav", root / "AudioMP3" / f"{face.stem}.mp3")
        voice = next((file for file in sounds if file.is_file()), None)
        if actor not in actors:
            yield no_metadata(face.stem, f"{TABLE} has no actor {actor}")
        elif voice is None:
            yield missing_media(face.stem, f"no {sounds[0].name} and no {sounds[1].name}")
        else:
            labels = {"language": "English"}
            if gender := _GENDERS.get(actors[actor]["Sex"].lower()):
                labels["gender"] = gender
            yield TalkingClip(
                id=face.stem,
                person=actor,
                face=face,
                voice=voice,
                split=split_of_person(actor, seed=seed),
                labels=labels,
            )

"""VoxBlink2: more than 100,000 people who publish videos of themselves.

=========  =========================================================================================
What       2.1 million utterances of 111,284 speakers out of YouTube videos of ordinary people (Lin
           et al., VoxBlink2, Interspeech 2024; voxblink2.github.io). Many of the videos are gone.
Person     `id000000` and so on; one channel each.
Split      a seeded hash of the person.
Terms      for research, on request; the videos belong to whoever published them.
=========  =========================================================================================

`meta/id000000/VIDEO/00000.txt`: seven lines of description, then the boxes of the face in pixels,
25 a second; and the whole videos anywhere below `videos`, as `VIDEO.mp4`.
"""

from collections.abc import Iterator
from pathlib import Path

from speech2face.data.face_track import TrackFile
from speech2face.data.splits import split_of_person
from speech2face.data.talking_clip import (
    Corpus,
    Row,
    TalkingClip,
    corpus_of,
    media_by_stem,
    missing_media,
)

_EXPECTED = "meta/ID/VIDEO/*.txt, and the videos as videos/VIDEO.mp4"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """A clip for each track of a video that is on the disk.

    Raises:
        Speech2FaceError: there is no such clip.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    videos = media_by_stem(root / "videos")
    for track in sorted((root / "meta").glob("*/*/*.txt")):
        person, video = track.parts[-3:-1]
        clip_id = f"{person}/{video}/{track.stem}"
        if video not in videos:
            yield missing_media(clip_id, f"there is no video {video}")
            continue
        yield TalkingClip(
            id=clip_id,
            person=person,
            face=videos[video],
            voice=videos[video],
            track=TrackFile(track, "pixels"),
            video=f"{person}/{video}",
            split=split_of_person(person, seed=seed),
        )

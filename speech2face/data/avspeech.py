"""AVSpeech: 4,700 hours of YouTube videos in which one person speaks and is seen.

=========  =========================================================================================
What       about 290,000 videos, cut into clips of 3 to 10 s in which the only visible face speaks
           and nothing else is heard (Ephrat et al., Looking to Listen at the Cocktail Party,
           SIGGRAPH 2018). The corpus that the paper was trained on.
Source     two tables, `avspeech_train.csv` and `avspeech_test.csv`, at looking-to-listen.github.io
           /avspeech. The videos are fetched from YouTube, and many are gone.
Person     not in the tables. The person is the channel, if `channels.csv` (`id,channel`) beside
           them or `speech2face fetch` says so, else the video. Neither is exact: a channel may show
           several people, and one person may speak in several channels. The authors state that
           train and test share no speaker. `speech2face prepare ... --split-by-face` joins people
           whose faces are alike.
Split      test as published; train and val by a seeded hash of the person.
Terms      the tables are CC BY 4.0; the videos belong to whoever published them.
=========  =========================================================================================

The tables have no header: `id,start,end,x,y`, seconds in the video and the middle of the face at
the beginning of the clip in 0..1 from the top left: `PmD-LzPS2rg,282.5823,285.5853,0.371875,0.425`.
Media lie anywhere below the folder: clips as `ID_START-END.mp4` or `ID_START_END.mp4`, with the
numbers of the table, or whole videos as `ID.mp4`. Ids may hold `-` and `_`, so names are made from
the table and never taken apart.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speech2face.data.fetch_ledger import FetchLedger
from speech2face.data.metadata_table import table_rows
from speech2face.data.sample import Split
from speech2face.data.splits import SHARES_WITHOUT_TEST, split_of_person
from speech2face.data.talking_clip import (
    Corpus,
    Row,
    TalkingClip,
    bad_row,
    corpus_of,
    media_by_stem,
    missing_media,
)
from speech2face.errors import Speech2FaceError
from speech2face.records import lines

TRAIN, TEST, CHANNELS = "avspeech_train.csv", "avspeech_test.csv", "channels.csv"
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{2,60}")  # what may name a file that is fetched
MAX_CLIP_SECONDS = 60.0  # far above the 10 s of the corpus
_EXPECTED = f"{TRAIN} or {TEST}, and videos named ID_START-END.mp4 or ID.mp4 below it"


def read(root: Path, *, seed: int = 0) -> Corpus:
    """Clips of both tables whose media are on the disk.

    Raises:
        Speech2FaceError: there is no table or no clip, or a person or video is in two splits.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


@dataclass(frozen=True)
class Videos:
    """Videos of the tables.

    Attributes:
        missing: ids of those of which a clip is not on the disk, in the order of the tables.
        n_there: number of the others.
    """

    missing: Sequence[str]
    n_there: int


def videos_of(root: Path) -> Videos:
    """Which videos the tables name; lines that name none are left out, as `read` says of each.

    Raises:
        Speech2FaceError: there is no table.
    """
    media = media_by_stem(root)
    there: dict[str, bool] = {}
    for _, line, _ in _lines(root):
        fields = _fields(line)
        if fields is None or _numbers(fields[1:]) is None or not _VIDEO_ID.fullmatch(fields[0]):
            continue
        video = fields[0]
        is_there = video in media or any(stem in media for stem in _stems(*fields[:3]))
        there[video] = is_there and there.get(video, True)
    if not there:
        problem = f"there is no video in {TRAIN} or {TEST}"
        raise Speech2FaceError(problem, "put the tables of AVSpeech there", str(root))
    missing = [video for video, is_there in there.items() if not is_there]
    return Videos(missing, len(there) - len(missing))


def _lines(root: Path) -> Iterator[tuple[str, str, str]]:
    """Where it stands, the line, and the name of the table."""
    for name in (TRAIN, TEST):
        if (root / name).is_file():
            for where, line in lines(root / name):
                if line.strip():
                    yield where, line, name


def _rows(root: Path, seed: int) -> Iterator[Row]:
    media, channels = media_by_stem(root), _channels(root)
    for where, line, name in _lines(root):
        yield _row(line, where, media, channels, seed, is_test=name == TEST)


def _row(
    line: str,
    where: str,
    media: Mapping[str, Path],
    channels: Mapping[str, str],
    seed: int,
    *,
    is_test: bool,
) -> Row:
    fields = _fields(line)
    numbers = _numbers(fields[1:]) if fields else None
    if fields is None or numbers is None:
        return bad_row(where, "the line is not id,start,end,x,y")
    video, start_text, end_text = fields[:3]
    start, end, x, y = numbers
    if not 0 <= start < end <= start + MAX_CLIP_SECONDS:
        return bad_row(where, f"the clip lasts from {start:g} to {end:g} s")
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return bad_row(where, f"the face is at {x:g}, {y:g}, outside of the picture")
    clip_id = f"{video}_{start_text}-{end_text}"
    cut = next((media[stem] for stem in _stems(video, *fields[1:3]) if stem in media), None)
    file = cut or media.get(video)
    if file is None:
        return missing_media(clip_id, f"there is no {clip_id}.mp4, and no {video}.mp4")
    person = channels.get(video, video)
    split: Split = "test" if is_test else _split(person, seed)
    return TalkingClip(
        id=clip_id,
        person=person,
        face=file,
        voice=file,
        start=0.0 if cut else start,
        end=None if cut else end,
        centre=(x, y),
        video=video,
        split=split,
    )


def _split(person: str, seed: int) -> Split:
    return split_of_person(person, seed=seed, shares=SHARES_WITHOUT_TEST)


def _stems(video: str, start: str, end: str) -> Iterator[str]:
    """Names under which a clip may have been saved: the table's digits, or six after the point."""
    for one, other in ((start, end), (f"{float(start):.6f}", f"{float(end):.6f}")):
        yield f"{video}_{one}-{other}"
        yield f"{video}_{one}_{other}"


def _fields(line: str) -> list[str] | None:
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        return None
    fields = [field.strip() for field in fields]
    return fields if len(fields) == 5 and fields[0] and Path(fields[0]).name == fields[0] else None


def _numbers(fields: list[str]) -> list[float] | None:
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _channels(root: Path) -> dict[str, str]:
    """Channel of each video where it is known; the table counts more than what was fetched."""
    fetched, table = FetchLedger(root).channels(), root / CHANNELS
    if not table.is_file():
        return fetched
    rows = (row for _, row in table_rows(table, ("id", "channel")) if not isinstance(row, str))
    return fetched | {row["id"]: row["channel"] for row in rows if row["channel"]}

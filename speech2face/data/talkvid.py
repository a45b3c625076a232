"""TalkVid: 7,729 people who talk to a camera.

=========  =========================================================================================
What       1,244 hours of clips of YouTube videos in good quality, many languages and ages (Chen et
           al., TalkVid, 2025; repository FreedomIntelligence/TalkVid).
Person     the `Person ID` of a clip.
Split      a seeded hash of the person.
Terms      CC BY-NC 4.0.
=========  =========================================================================================

Tables are `*.json`, each a list of objects, or `*.jsonl`, one object a line, with `start-time` and
`end-time` in seconds and, within `info`, `Person ID`, `Video Link`, `Gender` and `Language`. Media
lie anywhere below the folder: whole videos named by the id in their link, `VIDEO.mp4`, or cut clips
named by the clip's own `id`. A table above 64 MiB has to be given as lines.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speech2face.data.splits import split_of_person
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
from speech2face.records import lines, parse_json, read_json

_EXPECTED = "*.json or *.jsonl with the clips, and videos named by their YouTube id below it"
_LINK = re.compile(r"(?:[?&]v=|youtu\.be/|/shorts/)([A-Za-z0-9_-]{11})(?![A-Za-z0-9_-])")
_GENDERS = {"male": "male", "female": "female"}


def read(root: Path, *, seed: int = 0) -> Corpus:
    """Clips of all tables whose media are on the disk.

    Raises:
        Speech2FaceError: a table is not JSON, there is no clip, or a video is in two splits.
    """
    return corpus_of(_rows(root, seed), root, _EXPECTED)


def _rows(root: Path, seed: int) -> Iterator[Row]:
    media = media_by_stem(root)
    for table in sorted(root.glob("*.json")):
        records = read_json(table)
        if not isinstance(records, list):
            raise Speech2FaceError("is not a list of clips", f"give {_EXPECTED}", str(table))
        for number, record in enumerate(records):
            yield _row(record, f"{table}, clip {number}", media, seed)
    for table in sorted(root.glob("*.jsonl")):
        for where, line in lines(table):
            try:
                record = parse_json(line, where)
            except Speech2FaceError as error:
                yield bad_row(where, error.problem)
                continue
            yield _row(record, where, media, seed)


def _row(record: Any, where: str, media: Mapping[str, Path], seed: int) -> Row:
    info = record.get("info") if isinstance(record, dict) else None
    if not isinstance(info, dict):
        return bad_row(where, "there is no object `info`")
    link, person = _LINK.search(str(info.get("Video Link", ""))), info.get("Person ID")
    if link is None or not isinstance(person, str | int) or str(person) == "":
        return bad_row(where, "there is no Video Link of YouTube, or no Person ID")
    start, end = record.get("start-time"), record.get("end-time")
    if not (_is_time(start) and _is_time(end) and start < end):
        return bad_row(where, "start-time and end-time are no moments in this order")
    video = link[1]
    clip_id = str(record.get("id") or f"{video}_{start:g}-{end:g}")
    cut = media.get(clip_id)
    file = cut or media.get(video)
    if file is None:
        return missing_media(clip_id, f"there is no video {video}, and none named as the clip")
    labels = {"language": str(info["Language"])} if info.get("Language") else {}
    if gender := _GENDERS.get(str(info.get("Gender", "")).lower()):
        labels["gender"] = gender
    return TalkingClip(
        id=clip_id,
        person=str(person),
        face=file,
        voice=file,
        start=0.0 if cut else float(start),
        end=None if cut else float(end),
        video=video,
        split=split_of_person(str(person), seed=seed),
        labels=labels,
    )


def _is_time(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]

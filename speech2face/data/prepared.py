"""The files that a preparation leaves beside its shards, in a folder of pairs or of videos."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from speech2face.data.sample import Split
from speech2face.data.store import Rejected, Store
from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole
from speech2face.records import jsonl_rows, read_json_object

DESCRIPTION = "features.json"  # what all features of a folder of pairs have in common
PREPARED = "prepared.json"  # the same of a folder of prepared videos
FACE_SPLIT = "faces.json"  # how `prepare --split-by-face` has divided its clips, if it has
CLIPS = "clips.jsonl"  # key or reason of rejection of each clip, in the order of the manifest


@dataclass(frozen=True)
class PreparedClip:
    """A clip of a prepared folder: the key of its features, and why it has none if it has none."""

    id: str
    split: Split | None
    key: str
    rejected: Rejected | None = None


def write_clips(path: Path, clips: Iterable[PreparedClip]) -> None:
    """Write one line per clip."""
    lines = []
    for clip in clips:
        rejected = {} if clip.rejected is None else {"rejected": asdict(clip.rejected)}
        row = {"id": clip.id, "split": clip.split, "key": clip.key, **rejected}
        lines.append(json.dumps(row) + "\n")
    write_whole(path, "".join(lines).encode())


def read_clips(path: Path) -> list[PreparedClip]:
    """The clips that `write_clips` wrote.

    Raises:
        Speech2FaceError: the file is missing or damaged.
    """
    return list(each_clip(path))


def each_clip(path: Path) -> Iterator[PreparedClip]:
    """The same one by one, for corpora of millions; it raises the same errors."""
    for where, row in jsonl_rows(path):
        try:
            rejected = Rejected(**row["rejected"]) if "rejected" in row else None
            clip = PreparedClip(row["id"], row["split"], row["key"], rejected)
        except (KeyError, TypeError) as damage:
            remedy = "run `speech2face prepare` again"
            problem = "this line does not describe a prepared clip"
            raise Speech2FaceError(problem, remedy, where) from damage
        yield clip


def refuse_outdated_split(folder: Path) -> None:
    """Raise if clips were prepared after their split by face, which does not know them.

    Raises:
        Speech2FaceError: some people may be in two splits.
    """
    if not (folder / FACE_SPLIT).is_file():
        return
    found = hashlib.sha256((folder / CLIPS).read_bytes()).hexdigest()
    if read_json_object(folder / FACE_SPLIT).get("clips_sha256") != found:
        problem = "clips were prepared after the split by face, so people may be in two splits"
        remedy = "give `speech2face prepare ... --split-by-face` again"
        raise Speech2FaceError(problem, remedy, str(folder))


def open_prepared(folder: Path) -> Store:
    """The records of a folder that `speech2face prepare` has begun to fill from videos.

    Raises:
        Speech2FaceError: there is no such folder.
    """
    if not (folder / PREPARED).is_file():
        problem = f"no prepared clips here (there is no {PREPARED})"
        remedy = "give a folder that `speech2face prepare` has filled from videos"
        raise Speech2FaceError(problem, remedy, str(folder))
    return Store(folder, str(read_json_object(folder / PREPARED).get("fingerprint")))

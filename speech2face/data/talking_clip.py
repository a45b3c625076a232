"""A clip of a person who talks, as large corpora describe it, without opening its media.

Unlike a `Sample`, whose photograph is a file, such a clip says where in a video the face is. A
reader of a corpus returns all clips it can use, and for every row that it cannot use the reason.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speech2face.data.face_track import TrackFile
from speech2face.data.sample import Split
from speech2face.data.splits import check_disjoint
from speech2face.data.store import Rejected
from speech2face.errors import Speech2FaceError

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".flv", ".m4v"})


@dataclass(frozen=True, kw_only=True)
class TalkingClip:
    """Where the sound and the face of one clip are.

    Attributes:
        id: name of the clip in its corpus, unique there; any text, also with `/`, `-` or `__`.
        person: who speaks; the unit of every split.
        face: video in which the person is seen, or a photograph.
        voice: file in which the person is heard; often the same video.
        start, end: of the clip in `face`, seconds since the beginning, and in `voice` if that is
            the same file; to its end if `end` is None. Another file of sound holds the clip alone.
        centre: middle of the face, (x, y) from the top left in 0..1 of the picture, where known.
        track: boxes of the face over time. It also says when the clip starts and ends.
        video: recording that the clip is from; several clips may share it.
        split: `train`, `val` or `test`.
        labels: what the corpus says about the person, by the names of `sample.LABELS`.
    """

    id: str
    person: str
    face: Path
    voice: Path
    start: float = 0.0
    end: float | None = None
    centre: tuple[float, float] | None = None
    track: TrackFile | None = None
    video: str | None = None
    split: Split | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RejectedRow:
    """A row of a corpus that describes no usable clip.

    Attributes:
        id: name of the clip, or where the row stands if it has none.
        rejected: `bad_row`, `no_metadata`, `missing_media` or `duplicate_id`, with the details.
    """

    id: str
    rejected: Rejected


Row = TalkingClip | RejectedRow


@dataclass(frozen=True)
class Corpus:
    """All clips of a corpus, in a fixed order, and the rows that cannot be used."""

    clips: Sequence[TalkingClip]
    rejected: Sequence[RejectedRow]


def bad_row(where: str, detail: str) -> RejectedRow:
    """A row that cannot be understood."""
    return RejectedRow(where, Rejected("bad_row", detail))


def missing_media(clip_id: str, detail: str) -> RejectedRow:
    """A row whose media are not on the disk."""
    return RejectedRow(clip_id, Rejected("missing_media", detail))


def no_metadata(clip_id: str, detail: str) -> RejectedRow:
    """Media about which the corpus says nothing."""
    return RejectedRow(clip_id, Rejected("no_metadata", detail))


def corpus_of(rows: Iterable[Row], root: Path, expected: str) -> Corpus:
    """Rows as a checked corpus. Clips of one video stay together, in the order of their ids.

    Args:
        rows: in any order.
        root: of the corpus, for messages.
        expected: the layout, for the message if there is no clip at all.

    Raises:
        Speech2FaceError: there is no usable clip, or a person or a video is in two splits.
    """
    clips: list[TalkingClip] = []
    rejected: list[RejectedRow] = []
    for row in _without_repeated_ids(rows):
        if isinstance(row, TalkingClip):
            clips.append(row)
        else:
            rejected.append(row)
    if not clips:
        because = f" ({rejected[0].id}: {rejected[0].rejected.detail})" if rejected else ""
        problem = f"no usable clip of this corpus is here{because}"
        raise Speech2FaceError(problem, f"give a folder with {expected}", str(root))
    check_disjoint(clips, str(root))
    clips.sort(key=lambda clip: (clip.video or "", clip.id))
    rejected.sort(key=lambda row: row.id)
    return Corpus(clips, rejected)


def _without_repeated_ids(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, where a clip whose id came before is rejected."""
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, TalkingClip):
            yield row
        elif row.id in seen:
            yield RejectedRow(row.id, Rejected("duplicate_id", "another clip has this id"))
        else:
            seen.add(row.id)
            yield row


def media_by_stem(folder: Path, suffixes: frozenset[str] = VIDEO_SUFFIXES) -> dict[str, Path]:
    """Media files anywhere below a folder, by name without suffix; of equals the first in order.

    What is hidden does not count: a video that is being fetched lies in a hidden folder.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in suffixes and not is_hidden:
            files.setdefault(path.name.removesuffix(path.suffix), path)
    return files

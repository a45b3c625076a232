"""Prepared clips divided anew, so that no face is in two splits.

AVSpeech does not say who speaks, and one person may speak in several channels. Here people whose
faces are alike count as one: the mean feature of each video of a person is compared with those of
all others. A group of people goes to the split of the first of them by name. Who looks like a
person of test is left out, since test stays as it was published.

It is not exact. Two people who look alike are joined, which costs nothing but a few clips. A person
whose faces differ by more than the limit is overlooked: `FaceSplit.overlooked` measures how often
this happens to two clips of one video, and other videos differ more.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.data.face_groups import groups_of
from speech2face.data.prepared import (
    CLIPS,
    FACE_SPLIT,
    PreparedClip,
    open_prepared,
    read_clips,
    write_clips,
)
from speech2face.data.sample import Split
from speech2face.data.splits import check_disjoint
from speech2face.data.store import Rejected, Store
from speech2face.errors import Speech2FaceError
from speech2face.files import only_writer, write_whole
from speech2face.records import parse_json_object

SAME_FACE: Mapping[str, float] = {"sface_2021dec_int8": 0.35}
"""Largest cosine distance of two faces of one person, by the name of the feature. At this one of
251,668 pairs of photographs of different people none was joined: see docs/scaling.md."""


@dataclass(frozen=True)
class FaceSplit:
    """What was found and done.

    Attributes:
        feature: name of the recogniser's feature.
        same_face: the limit.
        persons: number of people by the names of the corpus.
        groups: number of people by their faces.
        largest: names in the largest group.
        moved, left_out: clips that are in another split now, or in none.
        compared: pairs of two clips of one video.
        overlooked: how many of them are further apart than the limit.
    """

    feature: str
    same_face: float
    persons: int
    groups: int
    largest: int
    moved: int
    left_out: int
    compared: int
    overlooked: int


@dataclass(frozen=True)
class _Faced:
    """A clip with what is needed of its record."""

    clip: PreparedClip
    person: str
    video: str | None
    split: Split | None  # of the corpus
    feature: NDArray[np.float32]


def split_by_face(folder: Path, feature: str, same_face: float | None = None) -> FaceSplit:
    """Divide the clips of a folder anew; `clips.jsonl` and `faces.json` say how.

    It begins from the splits of the corpus each time, so that it can be repeated.

    Args:
        folder: that `speech2face prepare` has filled from videos to its end.
        feature: name of a feature that was added to all clips.
        same_face: largest cosine distance of two faces of one person; the one that was measured
            for this feature unless given.

    Raises:
        Speech2FaceError: there are no such clips, a clip lacks the feature, no limit is known for
            it, or the limit joins too many; or another process writes into the folder.
    """
    limit = SAME_FACE.get(feature) if same_face is None else same_face
    if limit is None:
        problem = f"no limit was measured for the feature {feature!r}"
        raise Speech2FaceError(problem, "give one with --same-face, or use --face-encoder sface")
    store = open_prepared(folder)
    with only_writer(folder):
        clips = read_clips(folder / CLIPS)
        faced = [_faced(clip, feature, store) for clip in clips if clip.key in store]
        if not faced:
            raise Speech2FaceError("there are no clips with faces", "prepare some", str(folder))
        groups = _groups(faced, limit)
        divided = {one.clip.id: clip for one, clip in _divided(faced, groups)}
        write_clips(folder / CLIPS, [divided.get(clip.id, clip) for clip in clips])
        summary = _summary(faced, groups, divided, feature, limit)
        digest = hashlib.sha256((folder / CLIPS).read_bytes()).hexdigest()
        record = asdict(summary) | {"clips_sha256": digest}
        write_whole(folder / FACE_SPLIT, (json.dumps(record, indent=1) + "\n").encode())
    return summary


def _faced(clip: PreparedClip, feature: str, store: Store) -> _Faced:
    path = str(store.place_of(clip.key, "json").shard)
    about: dict[str, Any] = parse_json_object(store.content(clip.key, "json").decode(), path)
    person, video, split = (about.get(name) for name in ("person", "video", "split"))
    return _Faced(clip, str(person), video, split, store.array(clip.key, feature))


def _groups(faced: list[_Faced], limit: float) -> dict[str, int]:
    """Number of the group of each person."""
    persons = {name: number for number, name in enumerate(sorted({f.person for f in faced}))}
    videos: dict[tuple[str, str | None], NDArray[np.float32]] = {}
    for one in faced:
        unit = one.feature / np.linalg.norm(one.feature)
        place = one.person, one.video
        videos[place] = unit + videos[place] if place in videos else unit
    owners = np.array([persons[person] for person, _ in videos])
    labels = groups_of(np.stack(list(videos.values())), owners, limit)
    return {name: int(labels[number]) for name, number in persons.items()}


def _divided(faced: list[_Faced], groups: Mapping[str, int]) -> list[tuple[_Faced, PreparedClip]]:
    """Each clip in its new split."""
    split_of = {one.person: one.split for one in faced}
    leader = {groups[person]: person for person in sorted(split_of, reverse=True)}
    in_test = {groups[person] for person, split in split_of.items() if split == "test"}
    divided = []
    for one in faced:
        group = groups[one.person]
        rejected, split = None, split_of[leader[group]]
        if group in in_test:
            split = one.split
            if split != "test":
                detail = "the face of this person is like one of a person of test"
                rejected, split = Rejected("face_in_test", detail), None
        divided.append((one, replace(one.clip, split=split, rejected=rejected)))
    check_disjoint(
        [_Member(str(groups[one.person]), one.video, clip.split) for one, clip in divided]
    )
    return divided


@dataclass(frozen=True)
class _Member:
    """What `check_disjoint` needs to know of a clip; the person is the group."""

    person: str
    video: str | None
    split: Split | None


def _summary(
    faced: list[_Faced],
    groups: Mapping[str, int],
    divided: Mapping[str, PreparedClip],
    feature: str,
    limit: float,
) -> FaceSplit:
    distances = _distances_in_videos(faced)
    new = [(one, divided[one.clip.id]) for one in faced]
    return FaceSplit(
        feature=feature,
        same_face=limit,
        persons=len(groups),
        groups=len(set(groups.values())),
        largest=int(np.bincount(list(groups.values())).max()),
        moved=sum(clip.split not in (None, one.split) for one, clip in new),
        left_out=sum(clip.rejected is not None for _, clip in new),
        compared=len(distances),
        overlooked=sum(distance > limit for distance in distances),
    )


def _distances_in_videos(faced: list[_Faced]) -> list[float]:
    """Cosine distance of each clip to the first one of its video, where the video is known."""
    first: dict[tuple[str, str], NDArray[np.float32]] = {}
    distances = []
    for one in faced:
        if one.video is None:
            continue
        unit = one.feature / np.linalg.norm(one.feature)
        place = one.person, one.video
        if place in first:
            distances.append(1 - float(first[place] @ unit))
        first.setdefault(place, unit)
    return distances

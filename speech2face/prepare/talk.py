"""A corpus of videos to shards, by any runner, and continued where it was stopped. A run leaves

    OUT/prepared.json            the corpus, the settings and the versions of what computed
    OUT/shard-*.tar, .json       the records of `prepare.clip`, as `data.store` keeps them
    OUT/clips.jsonl              written last: the key of each clip, or why it was left out

A shard is done when its ledger is there. Starting the same command again does the shards that are
missing, and ends in the same bytes, on every runner.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from speech2face.data.prepared import CLIPS, PREPARED, PreparedClip, write_clips
from speech2face.data.shards import ITEM_SECONDS, fill_shards
from speech2face.data.store import Outcome, Rejected, Store, fingerprint_of, key_of, versions
from speech2face.data.talking_clip import Corpus, TalkingClip
from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole
from speech2face.prepare.clip import CROP_SIZE, JPEG_QUALITY, ClipWork
from speech2face.records import read_json_object
from speech2face.runners.contract import Runner

SHARD_SIZE = 512  # clips per shard, rejected ones included: about 85 MB


def prepare_talk(
    name: str,
    corpus: Corpus,
    out: Path,
    work: ClipWork,
    run: Runner,
    *,
    shard_size: int = SHARD_SIZE,
    retry: Collection[str] = (),
    clip_seconds: float = ITEM_SECONDS,
) -> Iterator[Outcome[TalkingClip]]:
    """Fill `out` with the records of all clips; yields the outcome of each, shard by shard.

    Clips that are new in the corpus, because more of it was fetched, are added in new shards.

    Args:
        name: of the corpus.
        corpus: its clips; rows that it could not use are listed in `clips.jsonl`.
        out: folder of the run, as the module describes; what is done is kept.
        work: what makes a record of a clip.
        run: does the work, here or elsewhere.
        shard_size: clips per shard, rejected ones included.
        retry: reasons; clips that were rejected for one of them are tried again.
        clip_seconds: time that one clip may take before its worker is ended.

    Raises:
        Speech2FaceError: `out` was filled from another corpus, with other settings or by other
            versions of the packages that compute.
    """
    description = _description(name, work)
    _refuse_other(out, description)
    write_whole(out / PREPARED, (json.dumps(description, indent=1) + "\n").encode())
    keys = {clip.id: _key(name, clip) for clip in corpus.clips}
    rejected: dict[str, Rejected] = {}
    for outcome in fill_shards(
        Store(out, description["fingerprint"]),
        [(keys[clip.id], clip) for clip in corpus.clips],
        work,
        run,
        shard_size=shard_size,
        retry=retry,
        item_seconds=clip_seconds,
    ):
        if outcome.rejected is not None:
            rejected[outcome.source.id] = outcome.rejected
        yield outcome
    used = [
        PreparedClip(clip.id, clip.split, keys[clip.id], rejected.get(clip.id))
        for clip in corpus.clips
    ]
    unused = [PreparedClip(row.id, None, "", row.rejected) for row in corpus.rejected]
    write_clips(out / CLIPS, [*used, *unused])


def _key(name: str, clip: TalkingClip) -> str:
    """By everything that the corpus says about a clip.

    The content of its media does not count, unlike in `prepare.pairs`: to read all videos only to
    name the records would take as long as to fetch them again.
    """
    about = (clip.person, clip.video, clip.split, sorted(clip.labels.items()))
    return key_of(name, clip.id, clip.start, clip.end, clip.centre, *about)


def _description(name: str, work: ClipWork) -> dict[str, str]:
    """What all records of a folder have in common."""
    tools = {"detector": work.detector, "crop_size": CROP_SIZE, "jpeg_quality": JPEG_QUALITY}
    made_with = {f"version of {package}": str(found) for package, found in versions().items()}
    settings = {"corpus": name, "detector": work.detector, **made_with}
    return settings | {"fingerprint": fingerprint_of(tools)}


def _refuse_other(out: Path, description: dict[str, str]) -> None:
    if not (out / PREPARED).is_file():
        return
    found = read_json_object(out / PREPARED)
    differing = [name for name in description if found.get(name) != description[name]]
    if differing:
        first = differing[0]
        problem = f"the clips here differ in {first}: {found.get(first)}, not {description[first]}"
        remedy = "repeat the command of the first start, or choose an empty folder"
        raise Speech2FaceError(problem, remedy, str(out))

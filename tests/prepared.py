"""Writes a folder of prepared features without running `prepare`."""

import json
from collections.abc import Sequence
from pathlib import Path

from speech2face.data.prepared import CLIPS, DESCRIPTION, PreparedClip, write_clips
from speech2face.data.sample import Split
from speech2face.data.store import Record, Rejected, Store, key_of


def write_features(
    folder: Path,
    records: Sequence[Record | None],
    splits: Sequence[Split] = ("train", "train", "val"),
    **description: object,
) -> Path:
    """Write the records of clips "0", "1", ...; the splits take turns, None is a rejected clip."""
    folder.mkdir(exist_ok=True)
    results = [Rejected("no_face", "none") if one is None else one for one in records]
    keys = [key_of(number) for number in range(len(results))]
    work = Store(folder, "tools").fill(
        zip(keys, range(len(results)), strict=True), lambda number: results[number], shard_size=4
    )
    assert len(list(work)) == len(results)
    described = {"feature_size": 3, "fingerprint": "tools"} | description
    (folder / DESCRIPTION).write_text(json.dumps(described))
    clips = [
        PreparedClip(
            str(number),
            splits[number % len(splits)],
            keys[number],
            result if isinstance(result, Rejected) else None,
        )
        for number, result in enumerate(results)
    ]
    write_clips(folder / CLIPS, clips)
    return folder

"""Shards that workers write themselves: the same on every runner, whatever dies."""

import json
from pathlib import Path

import pytest
from hostile_work import CRASHES, HANGS, REJECTED, RUNNERS, Hostile, harmless, items

from speech2face.data import shards
from speech2face.data.shards import fill_shards
from speech2face.data.store import Rejected, Store
from speech2face.errors import Speech2FaceError

N = 20
RAY = pytest.param("ray", marks=pytest.mark.slow)  # a cluster needs ten seconds to start
NAMES = ["serial", "processes", RAY]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["serial", "processes", "ray"])
def test_the_bytes_are_those_of_a_store_that_is_filled_by_one_process(
    name: str, tmp_path: Path
) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
    list(Store(tmp_path / "one", "tools").fill(items(N), harmless, shard_size=6))
    store = Store(tmp_path / "many", "tools")
    outcomes = list(fill_shards(store, items(N), harmless, RUNNERS[name], shard_size=6))
    assert content(tmp_path / "one") == content(tmp_path / "many")
    assert sorted(outcome.source for outcome in outcomes) == list(range(N))
    assert [o.source for o in outcomes if o.rejected] == [REJECTED]
    assert all(int(store.array(o.key, "square")) == o.source**2 for o in outcomes if not o.rejected)


@pytest.mark.parametrize("name", NAMES)
def test_what_crashes_or_hangs_gets_two_strikes_and_a_reason(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    work = fill_shards(
        Store(folder, "tools"),
        items(N),
        Hostile(tmp_path),
        RUNNERS[name],
        shard_size=6,
        item_seconds=1.5,
    )
    rejected = {outcome.source: outcome.rejected for outcome in work if outcome.rejected}
    assert rejected == {
        CRASHES: Rejected(
            "crashed", "the process that computed it ended, twice (Segmentation fault)"
        ),
        REJECTED: Rejected("seven", "it is seven"),
        HANGS: Rejected("timeout", "took longer than 1.5 s, twice"),
    }
    assert sorted(content(folder)) == sorted(
        f"shard-{number:05d}.{suffix}" for number in range(4) for suffix in ("json", "tar")
    )
    ledger = json.loads((folder / "shard-00000.json").read_text())
    assert ledger["reasons"] == {"crashed": 1} and ledger["n_records"] == 5


def test_what_was_left_out_is_tried_again_by_reason(tmp_path: Path) -> None:
    folder, run = tmp_path / "out", RUNNERS["processes"]
    settings = {"shard_size": 6, "item_seconds": 1.0}
    list(fill_shards(Store(folder, "t"), items(N), Hostile(tmp_path), run, **settings))
    before = content(folder)
    again = fill_shards(
        Store(folder, "t"), items(N), harmless, run, retry={"crashed", "seven"}, **settings
    )
    tried = {o.source: o.rejected for o in again if not o.was_kept}
    assert tried == {CRASHES: None, REJECTED: Rejected("seven", "it is seven")}
    after = content(folder)
    assert {name: after[name] for name in before} == before  # what was whole stays as it is
    assert sorted(after.keys() - before.keys()) == ["shard-00004.json", "shard-00004.tar"]
    kept = list(fill_shards(Store(folder, "t"), items(N), harmless, run, **settings))
    assert all(o.was_kept for o in kept)
    assert {o.source for o in kept if o.rejected} == {HANGS, REJECTED}
    list(fill_shards(Store(folder, "t"), items(N), harmless, run, retry={"seven"}, **settings))
    assert content(folder) == after  # no news, no shard


def test_workers_that_never_begin_end_the_run_with_a_clear_error(tmp_path: Path) -> None:
    class Unpicklable:
        """Its worker dies while it is unpickled."""

        def __call__(self, number: int) -> Rejected:
            raise AssertionError

        def __reduce__(self) -> tuple[object, ...]:
            return (exit, (3,))

    work = fill_shards(
        Store(tmp_path, "t"), items(3), Unpicklable(), RUNNERS["serial"], shard_size=6
    )
    with pytest.raises(Speech2FaceError, match="ended 3 times before they began"):
        list(work)
    assert content(tmp_path) == {}


def test_a_full_disk_is_an_error_and_leaves_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "shard-00001.tar").mkdir()  # what cannot be written over
    work = fill_shards(Store(tmp_path, "t"), items(9), harmless, RUNNERS["serial"], shard_size=3)
    with pytest.raises(Speech2FaceError, match="not a file"):
        list(work)
    assert (tmp_path / "shard-00000.json").exists()
    assert not (tmp_path / "shard-00001.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    first = fill_shards(Store(tmp_path, "t"), items(9), harmless, RUNNERS["serial"], shard_size=3)
    next(first)
    second = fill_shards(Store(tmp_path, "t"), items(9), harmless, RUNNERS["serial"], shard_size=3)
    with pytest.raises(Speech2FaceError, match="another process is writing"):
        next(second)
    assert len(list(first)) == 8
    assert shards.MAX_STRIKES == 2

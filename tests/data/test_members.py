"""Members that are added later: the same shards as if they had been there from the first."""

import os
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_work import harmless, items

from speech2face.data import store as store_module
from speech2face.data.members import MemberWork, add_members
from speech2face.data.store import Record, Rejected, Store, rewrite_shard
from speech2face.errors import Speech2FaceError
from speech2face.runners import processes

MADE_WITH = {"double": "1.0"}
RUN = partial(processes.run, workers=2)


def double(members: Mapping[str, bytes]) -> dict[str, Any]:
    return {"double": np.array(2 * int(members["txt"]))}


def harmless_with_double(number: int) -> Record | Rejected:
    record = harmless(number)
    return record if isinstance(record, Rejected) else {**record, **double(record)}  # type: ignore[arg-type]


def die(members: Mapping[str, bytes]) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def fill(folder: Path, compute: Any = harmless) -> Path:
    list(Store(folder, "t").fill(items(20), compute, shard_size=6))
    return folder


def tars(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def add(folder: Path, compute: Any = double) -> list[int]:
    work = MemberWork(folder, compute, MADE_WITH)
    return list(add_members(Store(folder, "t"), "double", work, RUN))


def test_the_shards_are_those_that_had_the_member_from_the_first(tmp_path: Path) -> None:
    folder, at_once = fill(tmp_path / "a"), fill(tmp_path / "b", harmless_with_double)
    assert sorted(add(folder)) == [2, 5, 6, 6]
    assert tars(folder) == tars(at_once)
    store = Store(folder, "t")
    for key, number in items(20):
        if number != 7:
            assert int(store.array(key, "double")) == 2 * number
    assert [outcome.was_kept for outcome in store.fill(items(20), harmless)] == [True] * 20
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] * 4 + [".tar"] * 4
    assert add(folder) == []  # nothing is computed twice


@pytest.mark.parametrize("moment", ["before the ledger", "before the tar file"])
def test_a_shard_that_is_stopped_in_the_middle_is_whole(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, at_once = fill(tmp_path / "a"), fill(tmp_path / "b", harmless_with_double)

    def stop(source: Path, target: object) -> None:
        if moment == "before the ledger" or Path(source).suffix == ".new":
            raise KeyboardInterrupt
        rename(source, target)  # type: ignore[arg-type]

    rename = os.replace

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if moment == "before the ledger":
            patch.setattr(store_module, "write_whole", stop)
        else:
            patch.setattr(os, "replace", stop)
        rewrite_shard(folder, 0, double, MADE_WITH)
    assert (folder / "shard-00000.new").exists()
    store = Store(folder, "t")
    for key, number in items(6):
        assert store.content(key, "txt") == str(number).encode()
    has_it = moment == "before the tar file"
    assert ("double" in store.arrays(items(1)[0][0])) == has_it
    assert len(add(folder)) == (3 if has_it else 4)
    if has_it:
        rewrite_shard(folder, 0, double, MADE_WITH)
    assert tars(folder) == tars(at_once)
    assert not list(folder.glob("*.new"))


def test_workers_that_die_end_the_run_and_leave_the_shards(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    before = tars(folder)
    with pytest.raises(Speech2FaceError, match="ended 3 times over one shard"):
        add(folder, die)
    assert tars(folder) == before and len(Store(folder, "t").arrays(items(1)[0][0])) == 1

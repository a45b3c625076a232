"""The store: records are found by content, complete after any kill, and always the same bytes."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from processes import ignore_no_signal, members, survivors, temporaries

from speech2face.data.store import Outcome, Record, Rejected, Store, fingerprint_of, key_of
from speech2face.errors import Speech2FaceError

SLOW_WORK = """
import sys, time
from pathlib import Path
from test_store import compute, items
from speech2face.data.store import Store

def slowly(number):
    time.sleep(0.01)
    return compute(number)

if __name__ == "__main__":
    from speech2face.interruption import exit_on_signals

    exit_on_signals()
    workers = int(sys.argv[2])
    for outcome in Store(Path(sys.argv[1]), "tools").fill(
        items(40), slowly, shard_size=4, workers=workers
    ):
        print(outcome.source, flush=True)
"""
ROOMS = (Path(__file__).parent, Path(__file__).parents[1])
PATHS = os.pathsep.join([*map(str, ROOMS), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = os.environ | {"PYTHONPATH": PATHS}  # of a process that imports this file


def compute(number: int) -> Record | Rejected:
    """An array, a scalar and a file of a number; multiples of seven cannot be used."""
    if number % 7 == 0:
        return Rejected("seventh", f"{number} is a multiple of seven")
    values = np.arange(number, dtype=np.float32).reshape(1, -1)
    return {"values": values, "word": np.array(f"number {number}"), "txt": str(number).encode()}


def items(n: int) -> list[tuple[str, int]]:
    return [(key_of(number), number) for number in range(1, n + 1)]


def fill(folder: Path, n: int = 10, **settings: object) -> list[Outcome[int]]:
    settings = {"shard_size": 4} | settings
    return list(Store(folder, "tools").fill(items(n), compute, **settings))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_was_filled_is_read_again(tmp_path: Path) -> None:
    outcomes = fill(tmp_path)
    store = Store(tmp_path, "tools")
    assert [outcome.source for outcome in outcomes] == list(range(1, 11))
    for outcome in outcomes:
        if outcome.source == 7:
            assert outcome.rejected == Rejected("seventh", "7 is a multiple of seven")
            assert outcome.key not in store
            continue
        arrays = store.arrays(outcome.key)
        assert arrays.keys() == {"values", "word"}
        np.testing.assert_array_equal(arrays["values"], [np.arange(outcome.source)])
        assert arrays["values"].dtype == np.float32
        assert str(arrays["word"]) == f"number {outcome.source}"
        assert store.content(outcome.key, "txt") == str(outcome.source).encode()


def test_shards_are_plain_tar_files_that_the_ledger_describes(tmp_path: Path) -> None:
    fill(tmp_path)
    assert sorted(content(tmp_path)) == [
        f"shard-0000{number}.{suffix}" for number in range(3) for suffix in ("json", "tar")
    ]
    for number in range(3):
        path = tmp_path / f"shard-{number:05d}.tar"
        ledger = json.loads(path.with_suffix(".json").read_text())
        assert ledger["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert ledger["size"] == path.stat().st_size
        assert ledger["made_with"]["processor"] and ledger["made_with"]["numpy"]
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        expected = [
            (f"{number:05d}-{row:05d}.{name}", start, size)
            for row, record in enumerate(ledger["rows"])
            for name, start, size in record["members"]
        ]
        assert [(one.name, one.offset_data, one.size) for one in members] == expected
        assert [one.name for one in members] == sorted(one.name for one in members)
        for one in members:
            assert (one.mtime, one.uid, one.gid, one.uname, one.gname) == (0, 0, 0, "", "")
            assert one.name.partition(".")[0].count("-") == 1 and not one.pax_headers
    second = json.loads((tmp_path / "shard-00001.json").read_text())
    assert second["reasons"] == {"seventh": 1} and second["n_records"] == len(second["rows"]) == 3


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)

    def never(number: int) -> Record:
        raise AssertionError("computed again")

    outcomes = list(Store(tmp_path, "tools").fill(items(10), never))
    assert all(outcome.was_kept for outcome in outcomes)
    assert [o.source for o in outcomes if o.rejected] == [7]
    assert content(tmp_path) == before


def test_items_with_the_same_key_are_computed_once_and_all_reported(tmp_path: Path) -> None:
    seen: list[str] = []

    def note(name: str) -> Record:
        seen.append(name)
        return {"length": np.array(len(name))}

    key = key_of("same")
    outcomes = list(Store(tmp_path, "tools").fill([(key, "first"), (key, "second")], note))
    assert [outcome.source for outcome in outcomes] == ["first", "second"]
    assert seen == ["first"]


def test_records_of_other_tools_are_ignored_and_stay(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    other = Store(tmp_path, "other tools")
    assert not any(key in other for key, _ in items(10))
    assert sum(not o.was_kept for o in other.fill(items(10), compute, shard_size=4)) == 10
    assert before.items() <= content(tmp_path).items()


@pytest.mark.parametrize("workers", [2, 3])
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    assert fill(one) == fill(several, workers=workers)
    assert content(one) == content(several)


def test_work_that_was_stopped_anywhere_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fill(whole, 20)
    for n_done in (3, 4, 5, 9, 1):
        work = Store(stopped, "tools").fill(items(20), compute, shard_size=4)
        for _ in range(n_done):
            next(work)
        work.close()
    fill(stopped, 20)
    assert content(stopped) == content(whole)


@pytest.mark.parametrize("lost", ["shard-00000.json", "shard-00001.tar"])
def test_a_shard_without_its_ledger_or_tar_is_made_again(tmp_path: Path, lost: str) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    (tmp_path / lost).unlink()
    assert sum(not outcome.was_kept for outcome in fill(tmp_path)) == 4
    assert content(tmp_path) == before


def test_a_tar_file_cut_between_two_members_is_made_again(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    path = tmp_path / "shard-00001.tar"
    with tarfile.open(path) as tar:
        edge = tar.getmembers()[2].offset
    path.write_bytes(before[path.name][:edge])
    with tarfile.open(path) as tar:
        assert len(tar.getmembers()) == 2  # and no error: so the size must tell
    fill(tmp_path)
    assert content(tmp_path) == before


def test_rejected_items_are_tried_again_for_the_reasons_named(tmp_path: Path) -> None:
    fill(tmp_path)
    before = content(tmp_path)
    assert all(outcome.was_kept for outcome in fill(tmp_path, retry=("other",)))
    again = [
        outcome.source for outcome in fill(tmp_path, retry=("seventh",)) if not outcome.was_kept
    ]
    assert again == [7]
    assert content(tmp_path) == before  # rejected as before: nothing new to tell

    def good(number: int) -> Record:
        return {"values": np.array([number])}

    store = Store(tmp_path, "tools")
    list(store.fill(items(10), good, retry=("seventh",)))
    for opened in (store, Store(tmp_path, "tools")):
        assert opened.array(key_of(7), "values").tolist() == [7]
    assert all(
        o.was_kept and not o.rejected for o in Store(tmp_path, "tools").fill(items(10), good)
    )


def test_retrying_does_not_change_the_bytes_of_new_items(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fill(whole, 20)
    fill(stopped, 8)
    fill(stopped, 20, retry=("seventh",))
    assert content(stopped) == content(whole)


def test_a_second_process_that_fills_is_refused(tmp_path: Path) -> None:
    work = Store(tmp_path, "tools").fill(items(10), compute)
    next(work)
    with pytest.raises(Speech2FaceError, match="another process is writing"):
        fill(tmp_path)
    work.close()
    fill(tmp_path)


def test_a_process_that_waited_computes_only_the_missing_records(tmp_path: Path) -> None:
    early = Store(tmp_path, "tools")  # opened before the other one has filled it
    fill(tmp_path)
    before = content(tmp_path)
    outcomes = list(early.fill(items(10), compute, shard_size=4))
    assert sum(not outcome.was_kept for outcome in outcomes) <= 1  # at most the rejected one
    assert sorted(outcome.source for outcome in outcomes) == list(range(1, 11))
    assert content(tmp_path) == before


def test_the_key_depends_on_the_content_and_not_on_the_name(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    absent = key_of(first, 3.0)
    first.write_bytes(b"content")
    second.write_bytes(b"content")
    assert key_of(first, 3.0) == key_of(second, 3.0) != absent
    assert key_of(first, 3.0) != key_of(first, 6.0)
    assert key_of(first, second) != key_of(first)
    second.write_bytes(b"other")
    assert key_of(first) != key_of(second)
    digest = hashlib.sha256(b"content").hexdigest()
    assert key_of(first) != key_of(digest)  # a string is never taken for a file
    assert key_of(tmp_path / ("n" * 300)) == key_of(tmp_path) == key_of(Path("\0"))


def test_the_fingerprint_depends_on_settings_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = fingerprint_of({"network": "a", "seconds": 3})
    assert mine == fingerprint_of({"seconds": 3, "network": "a"})
    assert mine != fingerprint_of({"network": "a", "seconds": 6})
    monkeypatch.setattr("speech2face.data.store.metadata.version", lambda package: "999")
    assert mine != fingerprint_of({"network": "a", "seconds": 3})


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="[Oo]bject arrays"):
        list(Store(tmp_path, "t").fill([("k", 1)], lambda _: {"x": np.array([None])}))
    assert content(tmp_path) == {}


@pytest.mark.parametrize("name", ["a/b", "..", "", "é", "x" * 80])
def test_names_that_cannot_be_tar_members_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a member"):
        list(Store(tmp_path, "t").fill([("k", 1)], lambda _: {name: b""}))
    assert content(tmp_path) == {}


def test_damage_is_an_error_that_names_the_shard(tmp_path: Path) -> None:
    fill(tmp_path)
    store, key = Store(tmp_path, "tools"), items(1)[0][0]
    shard = tmp_path / "shard-00000.tar"
    with pytest.raises(Speech2FaceError, match="no such record"):
        store.array("absent", "values")
    with pytest.raises(Speech2FaceError, match="has no 'wav'"):
        store.content(key, "wav")
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(Speech2FaceError, match=r"shard-00000\.tar: the array 'values' is damaged"):
        store.array(key, "values")
    shard.write_bytes(b"")
    with pytest.raises(Speech2FaceError, match="is cut off"):
        store.array(key, "values")
    for text, problem in (('{"format": 1}', "damaged"), ("{}", "another version"), ("{", "JSON")):
        (tmp_path / "shard-00000.json").write_text(text)
        shard.write_bytes(b"x")
        with pytest.raises(Speech2FaceError, match=problem):
            Store(tmp_path, "tools")


def test_an_array_is_never_unpickled(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    list(Store(tmp_path, "t").fill([("k", 1)], lambda _: {"x.npy": file.getvalue()}))
    with pytest.raises(Speech2FaceError, match="damaged"):
        Store(tmp_path, "t").array("k", "x")


@pytest.mark.parametrize(
    ("n_kills", "workers"), [(2, 1), pytest.param(10, 1, marks=pytest.mark.slow), (1, 2)]
)
def test_work_that_was_killed_ends_in_the_same_bytes(
    tmp_path: Path, n_kills: int, workers: int
) -> None:
    script = tmp_path / "work.py"
    script.write_text(SLOW_WORK)

    def run(n_items: int | None) -> int:
        """Let the work run to its end, or kill it after so many items have been reported."""
        line = [sys.executable, str(script), str(tmp_path / "killed"), str(workers)]
        with subprocess.Popen(line, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = islice(process.stdout, n_items)
            assert len(list(told)) == (40 if n_items is None else n_items)
            if n_items is not None:
                process.send_signal(signal.SIGKILL)
        return process.returncode

    list(Store(tmp_path / "whole", "tools").fill(items(40), compute, shard_size=4))
    moments = random.Random(0)
    for kill in range(n_kills):
        first, last = 39 * kill // n_kills + 1, 39 * (kill + 1) // n_kills
        assert run(moments.randint(first, last)) == -signal.SIGKILL
    assert run(None) == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.parametrize("to_all", [False, True], ids=["to one process", "to all of them"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_workers_start_or_work_leaves_no_process_and_no_temporary(
    tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    script = tmp_path / "work.py"
    script.write_text(SLOW_WORK)
    line = [sys.executable, str(script)]
    for moment in (0.0, 0.1, 0.3, None):  # seconds after the workers begin to start, or at work
        process = subprocess.Popen(
            [*line, str(tmp_path / f"store-{moment}"), "2"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=ignore_no_signal,
        )
        assert process.stdout is not None
        if moment is None:
            assert process.stdout.readline()
        else:
            n_processes = 4  # parent, resource tracker, two workers
            while process.poll() is None and len(members(process.pid)) < n_processes:
                time.sleep(0.005)
            time.sleep(moment)
        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        assert (process.returncode, errors) == (128 + number, "speech2face: stopped\n")
        assert survivors(process.pid) == []
        assert temporaries(tmp_path) == []

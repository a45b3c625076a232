"""Files are complete or absent, whatever stops the writing."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from processes import ignore_no_signal

from speech2face.errors import Speech2FaceError
from speech2face.files import (
    finish_set,
    remove_leftovers,
    temporary_folder,
    whole_file,
    whole_folder,
    whole_set,
    write_text,
    write_whole,
)


def names(folder: Path) -> list[str]:
    """All names in a folder, the hidden ones too."""
    return sorted(os.listdir(folder))


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "file.bin", b"content")
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"content"
    assert names(tmp_path / "a" / "b") == ["file.bin"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "ours", b"")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("existed", [True, False])
def test_what_stops_the_writing_leaves_what_was_there(
    tmp_path: Path, stop: type[BaseException], existed: bool
) -> None:
    path = tmp_path / "file"
    if existed:
        path.write_bytes(b"before")
    with pytest.raises(stop), whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise stop()
    assert names(tmp_path) == (["file"] if existed else [])
    assert not existed or path.read_bytes() == b"before"


def test_the_file_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        assert not (tmp_path / "file").exists()
        assert temporary.parent == tmp_path  # a rename across disks would be a copy
        assert temporary.name.startswith(".")


def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(Speech2FaceError) as caught:
            write_whole(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.path == str(path) and "space" in caught.value.remedy
    assert names(tmp_path) == ["file"] and path.read_bytes() == b"before"


def test_no_space_left_is_answered_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # where a file system that writes late tells it
    with pytest.raises(Speech2FaceError, match="No space left on device.*free some space"):
        write_whole(tmp_path / "file", b"content")
    assert names(tmp_path) == []


@pytest.fixture
def forbidden_folder() -> Iterator[Path]:
    """A folder that this process may not write to, even where the tests are run by root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


def test_a_folder_that_may_not_be_written_is_an_error(forbidden_folder: Path) -> None:
    for path in (forbidden_folder / "file", forbidden_folder / "folder" / "file"):
        with pytest.raises(Speech2FaceError, match="Permission denied.*may write to") as caught:
            write_whole(path, b"content")
        assert caught.value.path == str(path)
    with pytest.raises(Speech2FaceError), whole_set(forbidden_folder, "set"):
        pass
    assert names(forbidden_folder) == []


def test_the_longest_name_of_the_file_system_can_be_used(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"content")  # a suffix on it would be too much
    with pytest.raises(Speech2FaceError, match="shorter name"):
        write_whole(tmp_path / ("n" * 256), b"content")


def test_a_folder_in_place_of_a_file_and_a_file_in_place_of_a_folder_are_errors(
    tmp_path: Path,
) -> None:
    with pytest.raises(Speech2FaceError, match="not a file"):
        write_whole(tmp_path, b"content")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Speech2FaceError, match="a part of this path is a file"):
        write_whole(tmp_path / "file" / "below", b"content")


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="not a file"):
        write_whole("/dev/null", b"content")
    assert Path("/dev/null").is_char_device()


def test_an_error_about_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "file"):
        (tmp_path / "input").read_bytes()
    assert names(tmp_path) == []


def test_of_many_writers_at_once_one_wins_whole(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda content: write_whole(tmp_path / "file", content), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_a_folder_appears_with_all_that_is_in_it_or_not_at_all(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), whole_folder(tmp_path / "folder") as temporary:
        (temporary / "half").write_bytes(b"")
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    with whole_folder(tmp_path / "folder") as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "file").write_bytes(b"content")
    assert (tmp_path / "folder" / "deep" / "file").read_bytes() == b"content"
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_holds_something_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with whole_folder(tmp_path / "folder") as temporary:  # empty: may be replaced
        (temporary / "file").write_bytes(b"mine")
    refused = pytest.raises(Speech2FaceError, match="does not exist yet")
    with refused, whole_folder(tmp_path / "folder"):
        raise AssertionError("the block must not be entered")
    assert (tmp_path / "folder" / "file").read_bytes() == b"mine"


def test_two_writers_of_one_folder_end_in_one_folder_and_one_error(tmp_path: Path) -> None:
    refused = pytest.raises(Speech2FaceError, match="does not exist yet")
    with refused, whole_folder(tmp_path / "folder") as slow:
        with whole_folder(tmp_path / "folder") as quick:
            (quick / "file").write_bytes(b"quick")
        (slow / "file").write_bytes(b"slow")
    assert (tmp_path / "folder" / "file").read_bytes() == b"quick"
    assert names(tmp_path) == ["folder"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from speech2face.files import whole_file, whole_set\n"
        "out = Path(sys.argv[1])\n"
        "with whole_file(out / 'file') as one, whole_set(out, 'set') as two:\n"
        "    one.write_bytes(b'half'); (two / 'half').write_bytes(b'')\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    remove_leftovers(tmp_path)
    assert len(names(tmp_path)) == 2  # its process lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (tmp_path / ".somebody.partial").write_bytes(b"not ours")
    with whole_file(tmp_path / "living") as temporary:
        temporary.write_bytes(b"content")
        remove_leftovers(tmp_path)
    assert names(tmp_path) == [".somebody.partial", "living"]


WRITE = """
import sys
from speech2face.files import write_whole
write_whole(sys.argv[1], b"new")
"""


def test_the_next_process_that_writes_into_a_folder_removes_what_a_killed_one_left(
    tmp_path: Path,
) -> None:
    killed = "import os, sys\nfrom speech2face.files import whole_file\n" + (
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "a")])
    assert ended.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    with whole_file(tmp_path / "living") as temporary:  # of a process that lives: it stays
        temporary.write_bytes(b"whole")
        subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "b")], check=True)
        assert not left.exists() and temporary.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "living"]


def test_a_temporary_folder_is_private_and_goes_when_its_block_ends() -> None:
    with pytest.raises(ValueError), temporary_folder() as folder:
        (folder / "file").write_bytes(b"content")
        assert folder.stat().st_mode & 0o777 == 0o700
        raise ValueError
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_removes_the_temporary_folder(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import os, sys\n"
        "from speech2face.interruption import exit_on_signals\n"
        "from speech2face.files import temporary_folder\n"
        "exit_on_signals()\n"
        "with temporary_folder() as folder:\n"
        "    (folder / 'file').write_bytes(b'half')\n"
        "    print(folder, flush=True)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        preexec_fn=ignore_no_signal,
    )
    assert ended.returncode == 128 + number
    assert Path(ended.stdout.strip()).parent == tmp_path and names(tmp_path) == []


SET = {"a": b"new a", "b": b"new b", "c": b"new c"}
WRITE_SET = """
import os, signal, sys
from pathlib import Path
from speech2face import files
from speech2face.interruption import exit_on_signals

exit_on_signals()
folder, stop_at, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
replace, n_calls = os.replace, 0

def counted(source, target):
    global n_calls
    if n_calls == stop_at:
        os.kill(os.getpid(), number)
    n_calls += 1
    replace(source, target)

with files.whole_set(folder, "set") as temporary:
    for name in "abc":
        (temporary / name).write_bytes(b"new " + name.encode())
    os.replace = counted
print(n_calls)
"""


def write_set(folder: Path, stop_at: int, number: int) -> subprocess.CompletedProcess[str]:
    """A process that gets a signal before the rename of that number."""
    words = [sys.executable, "-c", WRITE_SET, str(folder), str(stop_at), str(number)]
    return subprocess.run(words, capture_output=True, text=True)


def old_set(folder: Path) -> dict[str, bytes]:
    old = {"a": b"old a", "b": b"old b", "d": b"other"}
    for name, content in old.items():
        (folder / name).write_bytes(content)
    return old


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


N_RENAMES = 4  # of the folder, then of each file


def test_a_set_has_as_many_renames_as_the_next_tests_stop_at(tmp_path: Path) -> None:
    assert write_set(tmp_path, 99, signal.SIGKILL).stdout == f"{N_RENAMES}\n"
    assert contents(tmp_path) == SET and names(tmp_path) == sorted(SET)


@pytest.mark.parametrize("stop_at", range(N_RENAMES))
def test_a_set_is_old_or_new_after_a_kill_between_two_renames(tmp_path: Path, stop_at: int) -> None:
    old = old_set(tmp_path)
    assert write_set(tmp_path, stop_at, signal.SIGKILL).returncode == -signal.SIGKILL
    remove_leftovers(tmp_path)
    finish_set(tmp_path, "set")
    expected = old if stop_at == 0 else old | SET
    assert contents(tmp_path) == expected and names(tmp_path) == sorted(expected)


@pytest.mark.parametrize("stop_at", range(N_RENAMES))
def test_a_signal_between_two_renames_waits_for_the_others(tmp_path: Path, stop_at: int) -> None:
    old = old_set(tmp_path)
    assert write_set(tmp_path, stop_at, signal.SIGTERM).returncode == 128 + signal.SIGTERM
    assert contents(tmp_path) == old | SET and names(tmp_path) == sorted(old | SET)


def test_an_unfinished_set_is_finished_before_the_next_is_made(tmp_path: Path) -> None:
    old_set(tmp_path)
    write_set(tmp_path, 2, signal.SIGKILL)
    with pytest.raises(ValueError), whole_set(tmp_path, "set") as temporary:
        assert {name: (tmp_path / name).read_bytes() for name in SET} == SET
        (temporary / "a").write_bytes(b"newer")
        raise ValueError
    assert contents(tmp_path) == SET | {"d": b"other"}


def test_a_set_that_cannot_be_put_into_place_changes_nothing(tmp_path: Path) -> None:
    old = old_set(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(Speech2FaceError, match="not a file"), whole_set(tmp_path, "s") as temporary:
        for name, content in SET.items():
            (temporary / name).write_bytes(content)
    assert contents(tmp_path) == old and names(tmp_path) == sorted({*old, "c"})


def test_two_writers_of_one_set_leave_the_whole_set_of_one(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with whole_set(tmp_path, "set") as temporary:
            for name in SET:
                (temporary / name).write_bytes(bytes([number]))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(40)))
    assert len(set(contents(tmp_path).values())) == 1 and names(tmp_path) == sorted(SET)


def test_a_name_that_is_not_utf_8_is_written_as_json_writes_it(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.ogg")
    write_text(tmp_path / "file", json.dumps([name], ensure_ascii=False))
    assert (tmp_path / "file").read_bytes() == b'["\\udcff.ogg"]'
    assert json.loads((tmp_path / "file").read_bytes()) == [name]


def test_no_place_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(Speech2FaceError, match="temporary files"), temporary_folder():
        pass

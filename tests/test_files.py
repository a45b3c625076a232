"""Files that are there whole or not at all, whatever stops the writing."""

import errno
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

from speech2face.errors import Speech2FaceError
from speech2face.files import remove_leftovers, whole_file, whole_folder, write_whole


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
    with pytest.raises(Speech2FaceError), whole_folder(forbidden_folder / "folder"):
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
        "from speech2face.files import whole_file, whole_folder\n"
        "out = Path(sys.argv[1])\n"
        "with whole_file(out / 'file') as one, whole_folder(out / 'folder') as two:\n"
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

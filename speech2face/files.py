"""Writing files so that they are there whole or not at all.

The content is written under a temporary name in the same folder, flushed to the disk and renamed.
Whatever stops the writing, be it an exception, Ctrl-C or a full disk, the temporary file is removed
and what stood there before stays. Only a killed process cannot do so: what it left is removed by
the next process that writes into that folder.

No file system renames several files in one step. Files that belong together, such as those of a
model, are made in a temporary folder, which one rename turns into `.NAME.complete`; from then on
they count as written. Each is then renamed to its place. What a killed process left undone of that
is done by the next one that writes the same files (`finish_set`).
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from speech2face.errors import NotWrittenError, Speech2FaceError
from speech2face.interruption import uninterrupted

if sys.platform != "win32":
    import fcntl

_own_temporaries: dict[Path, int] = {}  # the process that writes each: a fork inherits the list
_LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.partial")
_MORE_ROOM = "free some space, or choose a folder on another disk"
_REMEDIES = {
    errno.ENOSPC: _MORE_ROOM,
    errno.EDQUOT: _MORE_ROOM,
    errno.EFBIG: _MORE_ROOM,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "choose another folder; a part of this path is a file",
    errno.EEXIST: "choose another folder; a part of this path is a file",
    errno.ENOTEMPTY: "choose a folder that does not exist yet",
}


def write_whole(path: Path | str, content: bytes) -> None:
    """Write a file in one step; folders on the way to it are made.

    Raises:
        Speech2FaceError: it cannot be written; names the file, and what stood there stays.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there.

    Raises:
        Speech2FaceError: it cannot be made; names the folder.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_text(path: Path | str, text: str) -> None:
    r"""Write a text as UTF-8 in one step; errors as of `write_whole`.

    A name of a file that is not UTF-8 holds characters that UTF-8 cannot store. They are written
    as escapes such as `\udcff`, which is also how JSON writes them.
    """
    write_whole(path, encoded(text))


def encoded(text: str) -> bytes:
    """The bytes that `write_text` writes."""
    return text.encode("utf-8", "backslashreplace")


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary file to write into; it becomes `path` when the block ends without an error.

    Its name has none of the usual suffixes: tell the writer the format, or give it an open file.

    Raises:
        Speech2FaceError: it cannot be written; names the file, and what stood there stays.
    """
    target = Path(path)
    with writing(target):
        _refuse_other_than_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(target.parent.resolve())
        with _temporary(target.parent, _create_file) as temporary:
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
        _flush(target.parent)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when the block ends without an error.

    Raises:
        Speech2FaceError: it cannot be written, or is there already and not empty; names the folder.
    """
    target = Path(path)
    with writing(target):
        if target.is_dir() and any(target.iterdir()):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target.parent, Path.mkdir) as temporary:
            yield temporary
            for made in (*temporary.rglob("*"), temporary):
                _flush(made)
            os.replace(temporary, target)
        _flush(target.parent)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder for work in between; it goes when the block ends, or the process.

    It lies where the system keeps temporary files, and nobody else may read it.

    Raises:
        Speech2FaceError: it cannot be made.
    """
    parent = temporary_place()
    _remove_leftovers_once(parent)
    with ExitStack() as stack:
        with writing(parent):
            folder = stack.enter_context(_temporary(parent, _create_private_folder))
        yield folder


def temporary_place() -> Path:
    """The folder in which the system keeps temporary files.

    Raises:
        Speech2FaceError: there is none that can be written, as on a full disk.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        problem = "no folder for temporary files can be written"
        raise Speech2FaceError(problem, "free some space, or set TMPDIR to another disk") from error


@contextmanager
def whole_set(folder: Path, name: str) -> Iterator[Path]:
    """Give a temporary folder to fill; when the block ends without an error, its files replace
    those of the same names in `folder`, all of them or none.

    Args:
        folder: made if it is not there.
        name: of the set, a legal file name.

    Raises:
        Speech2FaceError: they cannot be written; names the folder, and what stood there stays.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(folder.resolve())
        finish_set(folder, name)
        with _temporary(folder, Path.mkdir) as temporary:
            yield temporary
            for made in temporary.iterdir():
                _refuse_other_than_file(folder / made.name)
                _flush(made)
            _flush(temporary)
            with only_writer(folder, wait=True), uninterrupted():
                _finish(folder, name)  # of one that was killed meanwhile
                os.replace(temporary, _complete(folder, name))
                _finish(folder, name)
        _flush(folder)


def finish_set(folder: Path, name: str) -> None:
    """Put files into place that a killed process had made whole, but not yet renamed."""
    if _complete(folder, name).is_dir():
        with only_writer(folder, wait=True), uninterrupted():
            _finish(folder, name)


def _finish(folder: Path, name: str) -> None:
    complete = _complete(folder, name)
    if complete.is_dir():
        for made in sorted(complete.iterdir()):
            os.replace(made, folder / made.name)
        complete.rmdir()


def _complete(folder: Path, name: str) -> Path:
    return folder / f".{name}.complete"


def _refuse_other_than_file(target: Path) -> None:
    if target.exists() and not target.is_file():  # renaming over /dev/null would destroy it
        raise Speech2FaceError("this is not a file", "choose the name of a file", str(target))


def remove_own_temporaries() -> None:
    """Remove what this process is writing at this moment: for a process that is about to end."""
    for temporary, process in list(_own_temporaries.items()):
        if process == os.getpid():
            _remove(temporary)


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """What an earlier process left goes when this one first writes there; looking costs time."""
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of killed processes; those of living ones stay."""
    if sys.platform == "win32":
        return
    for found in folder.glob(".*.partial"):
        if not _LEFTOVER.fullmatch(found.name):
            continue
        try:
            handle = os.open(found, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for a writer
        except OSError:  # renamed meanwhile, or somebody else's
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)
        except OSError:
            continue
        finally:
            os.close(handle)


@contextmanager
def only_writer(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder that exists, so that one process at a time writes into it.

    Args:
        wait: until the process that holds it lets it go.

    Raises:
        Speech2FaceError: another process holds it. A killed one does not.
    """
    if sys.platform == "win32":
        yield
        return
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as held:
            problem = "another process is writing into this folder"
            raise Speech2FaceError(
                problem, "wait until it has ended, or choose another folder", str(folder)
            ) from held
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


@contextmanager
def _temporary(folder: Path, create: Callable[[Path], object]) -> Iterator[Path]:
    """A new file or folder that this process holds; it is removed if it still has that name."""
    while True:
        with _new_name(folder) as temporary:
            create(temporary)
            with _locked(temporary):
                if not temporary.exists():  # `remove_leftovers` came between the last two lines
                    continue
                yield temporary
                return


def _create_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _create_private_folder(path: Path) -> None:
    path.mkdir(mode=0o700)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process: by it `remove_leftovers` knows a living writer."""
    if sys.platform == "win32":
        yield
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks: leftovers are never removed there
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _new_name(folder: Path) -> Iterator[Path]:
    """A free name, as short for every target: a long name plus a suffix may be too long.

    What has that name at the end of the block is removed.
    """
    temporary = folder / f".{secrets.token_hex(8)}.partial"
    _own_temporaries[temporary] = os.getpid()
    try:
        yield temporary
    finally:
        _remove(temporary)
        del _own_temporaries[temporary]


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until the content, or the names in a folder, are on the disk."""
    if sys.platform == "win32" and path.is_dir():  # cannot be opened there
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as refused:
        if refused.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no flushing
            raise
    finally:
        os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file cannot be written, and what to do, where the block itself does not.

    Raises:
        NotWrittenError: the block raised an `OSError` about `path` or a folder above it.
    """
    try:
        yield
    except OSError as refused:
        if not _concerns(refused.filename, path):
            raise
        remedy = _REMEDIES.get(refused.errno or 0, "choose a folder that you may write to")
        problem = f"cannot be written ({refused.strerror or refused})"
        raise NotWrittenError(problem, remedy, str(path)) from refused


def _concerns(named: object, path: Path) -> bool:
    """Whether an error is about writing `path`, not about another file that the block opened."""
    if not isinstance(named, str | bytes):  # a full disk names no file
        return True
    other = Path(os.fsdecode(named))
    is_temporary = any(_LEFTOVER.fullmatch(part) for part in other.parts)
    return is_temporary or other == path or other in path.parents


def sha256_of_file(path: Path) -> str:
    """Digest of a file, hexadecimal; raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

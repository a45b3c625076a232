"""Which item a worker process was busy with when it died, and of what.

Before it begins an item, the worker writes the item's name into a file. Python's `faulthandler`
adds what it knows to the same file: it runs in C and needs nothing of the interpreter, so it also
writes when a decoder crashes, and it ends the process when an item takes too long, which no Python
thread could do while a C function holds the interpreter.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from speech2face.files import write_whole

_TIMEOUT = "Timeout ("  # how faulthandler begins, in each of the two cases
_FATAL = "Fatal Python error: "


@dataclass(frozen=True)
class Death:
    """What a dead worker was busy with.

    Attributes:
        item: its name.
        reason: it took too long, or its process crashed or was ended by something else.
        detail: the kind of crash, where the system told it to Python.
    """

    item: str
    reason: Literal["timeout", "crashed"]
    detail: str


class InFlight:
    """The file in which one worker process says what it is busy with.

    Example:
        with InFlight.at(Path("busy"), seconds=60) as in_flight:
            for name in names:
                with in_flight.item(name):
                    ...
    """

    def __init__(self, file: IO[str], seconds: float) -> None:
        """
        Args:
            file: open for writing, in the file system.
            seconds: that one item may take; then the process ends with status 1.
        """
        self._file, self._seconds = file, seconds

    @classmethod
    @contextmanager
    def at(cls, path: Path, seconds: float) -> "Iterator[InFlight]":
        """Keep such a file while the block runs. It stays where it is if the process dies.

        Raises:
            Speech2FaceError: it cannot be written.
        """
        write_whole(path, b"")
        with path.open("w", encoding="utf-8") as file:
            faulthandler.enable(file, all_threads=False)
            try:
                yield cls(file, seconds)
            finally:
                faulthandler.disable()
                with suppress(ValueError, OSError, AttributeError):  # no standard error that is one
                    faulthandler.enable(sys.__stderr__)  # type: ignore[arg-type]
        path.unlink(missing_ok=True)

    @contextmanager
    def item(self, name: str) -> Iterator[None]:
        """The process is busy with this item while the block runs."""
        self._write(name + "\n")
        faulthandler.dump_traceback_later(self._seconds, file=self._file, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._write("")

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


def death_in(path: Path) -> Death | None:
    """What the process that wrote this file died of; None if it was busy with nothing.

    The file is removed, so that nobody is blamed twice.
    """
    try:
        name, _, told = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    except OSError:
        return None
    path.unlink(missing_ok=True)
    if not name:
        return None
    if told.startswith(_TIMEOUT):
        return Death(name, "timeout", "")
    fatal = told.partition("\n")[0]
    return Death(name, "crashed", fatal.removeprefix(_FATAL) if fatal.startswith(_FATAL) else "")

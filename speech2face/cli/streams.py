"""Standard output and standard error that never raise when something is printed.

A character that a stream cannot encode is printed as `\\u65e5`. If a pipe is closed, a disk is full
or a stream is missing, the work still goes on to its end, and the failure is reported then.
"""

import errno
import io
import os
import select
import sys
from dataclasses import dataclass
from typing import Any, TextIO

from speech2face.errors import Speech2FaceError

_READER_LEFT = "let the program that reads it read to the end"
_REMEDIES = {errno.EPIPE: _READER_LEFT, errno.EBADF: "leave it open, or send it to a file"}


class _Forgiving(io.FileIO):
    """An open file that stores its first failure instead of raising it."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        while self.failure is None:
            try:
                n_written = super().write(content)
            except OSError as refused:
                self.failure = refused
            else:
                if n_written is not None:
                    return n_written
                select.select([], [self], [])  # wait: this is a non-blocking pipe that is full
        return len(content)


@dataclass(frozen=True)
class StandardStreams:
    """The streams of this process."""

    output: _Forgiving
    errors: _Forgiving

    @classmethod
    def open(cls) -> "StandardStreams":
        """Replace `sys.stdout` and `sys.stderr` with streams that never raise."""
        missing = _fill_missing()
        output, errors = _Forgiving(1, "w", closefd=False), _Forgiving(2, "w", closefd=False)
        if 1 in missing:
            output.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout, sys.stderr = _text(output, sys.stdout), _text(errors, sys.stderr)
        return cls(output, errors)

    def close(self, status: int) -> int:
        """Flush and return the exit status: at least 1 if something could not be printed."""
        sys.stdout.flush()
        if self.output.failure is not None:
            code, reason = self.output.failure.errno or 0, self.output.failure.strerror
            remedy = _REMEDIES.get(code, "free some space, or send it elsewhere")
            problem = f"could not be written ({(reason or 'unknown').lower()})"
            print(Speech2FaceError(problem, remedy, "standard output"), file=sys.stderr)
            status = status or 1
        sys.stderr.flush()
        return status


def _fill_missing() -> set[int]:
    """Open the null device for each standard stream that is closed; returns their numbers.

    Otherwise the next file to be opened, perhaps an image, would get the number of the stream, and
    everything that is printed would be written into that file.
    """
    missing = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            missing.add(number)
    return missing


def _text(stream: _Forgiving, replaced: TextIO | None) -> TextIO:
    """A text stream on `stream`, with the encoding of the one that it replaces."""
    return io.TextIOWrapper(
        io.BufferedWriter(stream),
        encoding=getattr(replaced, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=stream.isatty() or stream.fileno() == 2,
    )

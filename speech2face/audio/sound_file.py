"""The sound of a file of any format, as PyAV decodes it, in blocks of one size.

A file is opened by us and handed over as bytes: a name is never taken for an address, and a
playlist inside it opens nothing. However a file is made, it may take `MAX_CPU_SECONDS`.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.recording import EXPORT_AGAIN, checked_rate, refuse_many_channels
from speech2face.audio.speech import Waveform
from speech2face.errors import Speech2FaceError
from speech2face.pyav import load_av
from speech2face.records import open_file

MAX_CPU_SECONDS = 60.0  # for one file: five minutes of speech take two of an ordinary machine
MAX_TAG_BYTES = 2**24  # of text in a wav, unless the file itself is larger
MAX_PIPE_BYTES = 2**31  # of what cannot be read twice: it is kept on the disk while it is decoded

_SETTLING_SECONDS = 0.5  # of sound before a place that a decoder may need to be right there
_BLOCK = 8_192  # samples: packets of a few samples are joined, large ones are cut
_SPOOLED = 2**26  # bytes of a pipe that are kept in memory

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """The source as a binary file in which one can go back."""
    if isinstance(source, str | os.PathLike):
        with open_file(source) as file, opened(file) as found:
            yield found
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif not hasattr(source, "read"):
        problem = f"is of type {type(source).__name__}"
        raise Speech2FaceError(problem, "give a path, bytes, or a file opened in binary mode")
    elif hasattr(source, "seekable") and source.seekable():
        yield source
    else:
        with tempfile.SpooledTemporaryFile(_SPOOLED) as copy:
            _copy(source, copy)
            yield copy  # type: ignore[misc]  # it has all that is used here


def _copy(source: BinaryIO, copy: Any) -> None:
    """Everything that a pipe gives: an mp4 may have its index at the end."""
    n_bytes = 0
    while content := source.read(2**16):
        if not isinstance(content, bytes):
            raise Speech2FaceError("is open as text", "open it in binary mode")
        n_bytes += len(content)
        if n_bytes > MAX_PIPE_BYTES:
            problem = f"gives more than {MAX_PIPE_BYTES:,} bytes"
            raise Speech2FaceError(problem, "save it as a file, and give its name")
        copy.write(content)
    copy.seek(0)


class SoundFile:
    """A file as PyAV reads it: from where it stands, within a budget of CPU time."""

    def __init__(self, file: BinaryIO, check: Callable[[], None] | None = None) -> None:
        self.file, self.further_check = file, check
        if isinstance(name := getattr(file, "name", None), str):
            self.name = name  # its suffix helps ffmpeg to guess the format, no more
        self.first = file.tell()
        self.budget = time.thread_time() + MAX_CPU_SECONDS
        self.start = file.read(12)
        if not isinstance(self.start, bytes):
            raise Speech2FaceError("is open as text", "open it in binary mode")
        if not self.start:
            raise Speech2FaceError("is empty", "record or copy it again")

    def rewind(self) -> None:
        self.file.seek(self.first)

    def check(self) -> None:
        """Raise if the file has taken too long, as some are made to, or the further check does."""
        if self.further_check is not None:
            self.further_check()
        if time.thread_time() > self.budget:
            problem = f"takes more than {MAX_CPU_SECONDS:.0f} s to decode"
            raise Speech2FaceError(problem, EXPORT_AGAIN)

    def read(self, n_bytes: int) -> bytes:
        self.check()
        return self.file.read(n_bytes)

    def tell(self) -> int:
        return self.file.tell() - self.first

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place, or -1: damaged files ask for places that cannot be."""
        self.check()
        base = (self.first, self.file.tell(), None)[whence]
        try:
            if base is None:
                return self.file.seek(offset, whence) - self.first
            place = base + offset
            return self.file.seek(place) - self.first if place >= self.first else -1
        except (OSError, OverflowError, ValueError):
            return -1


def container_of(source: SoundFile) -> Any:
    av = load_av()
    _refuse_false_tags(source)
    source.rewind()
    options = {"protocol_whitelist": "none"}  # a playlist may not make us open other things
    try:
        return av.open(source, options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        if source.start[4:8] == b"ftyp":
            problem = "is an mp4 that breaks off before its index"
            raise Speech2FaceError(problem, "record or copy it again, whole") from error
        remedy = "give a recording such as wav, flac, mp3, m4a, ogg, webm or mp4"
        raise Speech2FaceError("is not a sound file that can be read", remedy) from error


def _refuse_false_tags(source: SoundFile) -> None:
    """Refuse a wav with a tag that claims to be larger than the file.

    FFmpeg fills as much memory as an INFO tag claims, up to 4 GB, before it reads the tag.
    """
    if source.start[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return
    order: Literal["little", "big"] = "big" if source.start[:4] == b"RIFX" else "little"
    n_bytes = source.seek(0, os.SEEK_END)
    place, end_of_tags = 12, 0  # of a LIST of tags, inside of which each tag is looked at
    while place + 8 <= n_bytes:
        source.seek(place)
        head = source.read(12)  # kind, size, and for a LIST what it lists
        size = int.from_bytes(head[4:8], order)
        if place < end_of_tags and size > max(MAX_TAG_BYTES, n_bytes):
            raise Speech2FaceError("holds a tag of impossible size", EXPORT_AGAIN)
        if head[:4] == b"LIST" and head[8:] == b"INFO":
            end_of_tags = place + 8 + size
            place += 12
        else:
            place += 8 + size + size % 2


class Packets:
    """The sound of one audio track, packet by packet; what cannot be decoded is left out."""

    def __init__(self, source: SoundFile, index: int, start_seconds: float = 0.0) -> None:
        self.source, self.index, self.start_seconds = source, index, start_seconds
        self.damaged = False
        self.surplus = 0  # samples of the next blocks that are before `start_seconds`

    def blocks(self) -> Iterator[tuple[NDArray[Any], int]]:
        """Channels `[C, L]` and their rate, from the beginning each time."""
        n_blocks = 0
        with container_of(self.source) as container:
            for block, rate in self._joined(container):
                n_blocks += 1
                surplus = min(self.surplus, block.shape[1])
                self.surplus -= surplus
                if surplus < block.shape[1]:
                    yield block[:, surplus:], rate
        if self.damaged and n_blocks == 0:
            raise Speech2FaceError("holds sound that cannot be decoded", EXPORT_AGAIN)

    def _joined(self, container: Any) -> Iterator[tuple[NDArray[Any], int]]:
        """Blocks of one size."""
        joined = _JoinedFrames()
        for frame in self._frames_from_start(container):
            yield from joined.add(frame)
        yield from joined.rest()

    def _frames_from_start(self, container: Any) -> Iterator[Any]:
        """Frames from the one on that holds `start_seconds`; `surplus` says where in it that is."""
        frames = self._frames(container)
        if self.start_seconds <= 0:
            yield from frames
            return
        with suppress(
            load_av().FFmpegError, OSError
        ):  # without an index it is heard from where it is
            container.seek(round(max(0.0, self.start_seconds - _SETTLING_SECONDS) * 1_000_000))
        for frame in frames:
            before = self.start_seconds - (frame.time or 0.0)
            if before < frame.samples / frame.sample_rate:
                self.surplus = max(0, round(before * frame.sample_rate))
                yield frame
                break
        yield from frames

    def _frames(self, container: Any) -> Iterator[Any]:
        stream = container.streams[self.index]
        if stream.codec_context is None:  # no decoder knows this coding
            raise Speech2FaceError("holds sound that cannot be decoded", EXPORT_AGAIN)
        refuse_many_channels(stream.codec_context.channels)
        packets = container.demux(stream)
        while True:
            self.source.check()
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except IndexError:  # a packet of a track that the header did not announce
                packets = container.demux(stream)
                continue
            except (load_av().FFmpegError, OSError, ValueError):
                # Of a packet: the next may be sound again. Of the container: `packets` has ended.
                self.damaged = True
                continue
            yield from frames


class _JoinedFrames:
    """Decoded frames joined or cut to blocks of one size, as float32, whatever the codec has."""

    def __init__(self) -> None:
        self.kind: tuple[str, str, int] | None = None
        self.fifo: Any = None
        self.convert: Any = None

    def add(self, frame: Any) -> Iterator[tuple[Waveform, int]]:
        """Blocks `[C, L]` that are complete, each with its rate."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self.kind:
            yield from self.rest()
            refuse_many_channels(frame.layout.nb_channels)
            checked_rate(frame.sample_rate)
            self.kind = kind
            self.fifo = load_av().AudioFifo()
            self.convert = load_av().AudioResampler(format="flt", layout=kind[1], rate=kind[2])
        frame.pts = None  # samples follow each other; gaps in a file's clock are not speech
        self.fifo.write(frame)
        while self.fifo.samples >= _BLOCK:
            yield self._block(_BLOCK)

    def rest(self) -> Iterator[tuple[Waveform, int]]:
        """What is still held."""
        if self.kind is not None and self.fifo.samples:
            yield self._block(0)

    def _block(self, n_samples: int) -> tuple[Waveform, int]:
        """By way of interleaved samples, as PyAV 18 crashes on 8 planes of a frame."""
        assert self.kind is not None
        frame = self.fifo.read(n_samples)
        n_channels = frame.layout.nb_channels
        try:
            packed = [part.to_ndarray()[0] for part in self.convert.resample(frame)]  # [L * C]
        except load_av().FFmpegError as error:
            problem = f"has {n_channels} channels of a layout that cannot be mixed"
            raise Speech2FaceError(problem, "export it again, in mono") from error
        return np.concatenate(packed).reshape(-1, n_channels).T, self.kind[2]

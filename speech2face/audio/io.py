"""The one door to PyAV: the speech of any recording becomes 16 kHz mono samples.

Decoding streams, so a file of any length takes the memory of `MAX_SECONDS` of speech, which may lie
anywhere in it, and it may
take `MAX_CPU_SECONDS`, however the file is made. Channels are averaged before the rate is changed.
A file is opened by us and handed over as bytes: a name is never taken for an address, and a
playlist inside it opens nothing.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.speech import SAMPLE_RATE as SAMPLE_RATE  # to be had here as well
from speech2face.audio.speech import Waveform as Waveform
from speech2face.audio.speech import find_speech
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_dependency
from speech2face.records import open_file

MAX_SECONDS = 300.0  # of speech are heard; what follows is left out and `truncated` says so
MIN_SECONDS = 0.5  # of speech
LITTLE_SECONDS = 2.0  # of speech: the same voice gives other faces from less
MAX_SEARCHED_SECONDS = 4 * 3600.0  # of a recording are searched for speech
SILENCE_DBFS = -60.0  # root mean square of the loudest tenth of a second, full scale = 0 dB
LOUDNESS_WINDOW = SAMPLE_RATE // 10  # 1600 samples: 100 ms
SAMPLE_RATES = (4_000, 768_000)  # Hz, the lowest and the highest accepted
MAX_CHANNELS = 64
MAX_CPU_SECONDS = 60.0  # for one file: five minutes of speech take two of an ordinary machine
MAX_TAG_BYTES = 2**24  # of text in a wav, unless the file itself is larger
MAX_PIPE_BYTES = 2**31  # of what cannot be read twice: it is kept on the disk while it is decoded
TELEPHONE_HERTZ = 4_250.0  # nothing above it: a telephone, or a rate of 8 kHz
NOTHING = 1e-5  # of the power of speech, -50 dB; ordinary recordings keep -35 dB up there
CANCELLED = 0.01  # of the power that independent channels keep in their mean: -20 dB

# The resampler's default (32 taps, cut-off .97) lets a tone of 8.3 kHz fold back at -18 dB. With
# these it is below -100 dB, and speech up to 7.6 kHz passes within 0.1 dB.
RESAMPLER = "filter_size=128:cutoff=0.98"

_SETTLING_SECONDS = 0.5  # of sound before a place that a decoder may need to be right there
_BLOCK = 8_192  # samples: packets of a few samples are joined, large ones are cut
_SPOOLED = 2**26  # bytes of a pipe that are kept in memory
_EXPORT_AGAIN = "export the recording again, as 16-bit wav or flac"

Blocks = Iterable[tuple[NDArray[Any], int]]  # channels [C, L] and their rate in Hz
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


@dataclass(frozen=True)
class Recording:
    """Speech as the networks take it."""

    waveform: Waveform  # [L] 16 kHz mono in [-1, 1]
    truncated: bool  # the recording goes on; the rest was not searched for speech
    damaged: bool = False  # parts of the file could not be decoded and were left out
    notes: tuple[str, ...] = ()  # what was chosen or found: one channel of several, little speech
    seconds_searched: float = 0.0  # of the recording, for speech

    @property
    def seconds(self) -> float:
        """Length of the speech that was found."""
        return len(self.waveform) / SAMPLE_RATE


def decode(
    source: Source,
    *,
    max_seconds: float = MAX_SECONDS,
    max_searched_seconds: float = MAX_SEARCHED_SECONDS,
    speech_only: bool = True,
    start_seconds: float = 0.0,
    name: str | None = None,
) -> Recording:
    """Speech of a sound or video file, whatever PyAV reads: wav, flac, mp3, m4a, ogg, webm, mp4.

    If a file has several audio tracks, ffmpeg's default one is heard, or else the first in which
    there is speech. The channels are averaged; where they cancel each other, as in a stereo file
    with one side inverted, the loudest is heard alone. `notes` of the recording say so, and also
    that there is little speech, or nothing above 4 kHz, as in telephone calls.

    Args:
        source: the path of a file; or its bytes; or an open binary file, which is read from where
            it stands and may be a pipe such as `sys.stdin.buffer`.
        max_seconds: how much speech is heard, from wherever in the file it begins.
        max_searched_seconds: how much of the file's beginning is searched for speech.
        speech_only: otherwise everything is heard, as in sound that is known to be speech.
        start_seconds: where in the file the recording begins; what is before it is not heard.
        name: what messages call the source, its path unless given.

    Returns:
        16 kHz mono samples of speech, at least `MIN_SECONDS` of them, without what lies between. A
        file that breaks off is used as far as it can be decoded, and marked as damaged.

    Raises:
        Speech2FaceError: no such file, a folder, not sound, silent, no speech, too short, not
            finite, too many channels, or it takes too long to decode.
    """
    name = name or _name_of(source)
    wanted = _Wanted(max_seconds, max_searched_seconds, speech_only, start_seconds)
    try:
        with _opened(source) as file:
            return _first_track_with_sound(_Source(file), wanted)
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, name) from error.__cause__


def as_recording(
    samples: NDArray[Any],
    sample_rate: int,
    *,
    max_seconds: float = MAX_SECONDS,
    speech_only: bool = True,
) -> Recording:
    """Speech that is already in memory, checked and brought to 16 kHz mono.

    Args:
        samples: `[L]`, `[C, L]` or `[L, C]` (the shorter axis is the channels); floats in [-1, 1],
            beyond which all is scaled down; or integers, whose full range is taken for [-1, 1].
        sample_rate: of `samples`, in Hz.
        max_seconds: how much speech is heard, from wherever it begins.
        speech_only: as for `decode`.

    Raises:
        Speech2FaceError: another shape or type, silent, no speech, too short, not finite.
    """
    channels = _channels_first(samples)  # [C, L]
    rate = _checked_rate(sample_rate)

    def blocks() -> Blocks:  # a second each, so that what is not heard is never touched
        for start in range(0, channels.shape[1], rate):
            yield channels[:, start : start + rate], rate

    try:
        return _record(blocks, _Wanted(max_seconds, MAX_SEARCHED_SECONDS, speech_only))
    except _Silent as silent:
        if channels.dtype.kind not in "iu":
            raise
        problem = f"{silent.problem}: the full range of {channels.dtype} counts as [-1, 1]"
        remedy = "give the type that the numbers were recorded in, such as int16"
        raise Speech2FaceError(problem, remedy) from silent


@dataclass(frozen=True)
class _Wanted:
    """How much is heard of a recording."""

    seconds: float  # of speech at most
    searched_seconds: float  # of the recording at most
    speech_only: bool
    start_seconds: float = 0.0  # of the file are left out


class Unheard(Speech2FaceError):
    """There is no speech in it, or too little."""


class _Silent(Unheard):
    """There is no sound in it."""


class _Levels:
    """Power of every channel and of their mean, and so whether the channels cancel each other."""

    def __init__(self) -> None:
        self.channels = np.zeros(1)  # [C], sums of squares around the mean of each block
        self.mean = 0.0

    def add(self, channels: NDArray[np.float64], mono: NDArray[np.float64]) -> None:
        power = channels.var(axis=1) * channels.shape[1]  # [C]
        if len(power) > len(self.channels):  # joined files may differ in channels
            self.channels = np.pad(self.channels, (0, len(power) - len(self.channels)))
        self.channels[: len(power)] += power
        self.mean += float(mono.var()) * len(mono)

    def cancel(self) -> bool:
        """Whether the mean keeps less than `CANCELLED` of what independent channels would keep."""
        independent = self.channels.sum() / len(self.channels) ** 2
        return bool(self.mean < CANCELLED * independent)


def _record(blocks: Callable[[], Blocks], wanted: _Wanted) -> Recording:
    """One checked recording of blocks of channels, heard again where their mean is no use."""
    levels = _Levels()
    try:
        recording = _joined(_mixed(blocks(), levels), wanted)
        if len(levels.channels) == 1 or not levels.cancel():
            return recording
    except Unheard as unheard:
        is_silent = isinstance(unheard, _Silent)
        if len(levels.channels) == 1 or not (is_silent or levels.cancel()):
            raise
    loudest = int(levels.channels.argmax())
    recording = _joined(_one_channel(blocks(), loudest), wanted)
    note = f"channel {loudest + 1} of {len(levels.channels)} is heard: their mean is nearly silent"
    return replace(recording, notes=(note, *recording.notes))


def _mixed(blocks: Blocks, levels: _Levels) -> Iterator[tuple[Waveform, int]]:
    """Mean of the channels, `[C, L]` to `[L]`, while their levels are measured."""
    for block, rate in blocks:
        channels = _as_floats(block)  # [C, L]
        mono = channels.mean(axis=0)  # [L]
        if len(channels) > 1 and channels.shape[1]:
            levels.add(channels, mono)
        yield mono.astype(np.float32), rate


def _one_channel(blocks: Blocks, channel: int) -> Iterator[tuple[Waveform, int]]:
    """One channel alone, or the last one where there are fewer."""
    for block, rate in blocks:
        one = block[min(channel, len(block) - 1)][None]  # [1, L]
        yield _as_floats(one)[0].astype(np.float32), rate


def _joined(blocks: Iterable[tuple[Waveform, int]], wanted: _Wanted) -> Recording:
    """Find the speech of blocks of mono samples, each with its rate: one checked recording."""
    n_wanted = round(wanted.seconds * SAMPLE_RATE)
    begun = _Beginning(_resampled(blocks), round(wanted.searched_seconds * SAMPLE_RATE))
    if wanted.speech_only:
        found = find_speech(begun.blocks(), n_wanted)
        waveform, truncated = found.waveform, found.truncated or begun.goes_on
        _refuse_unusable(begun.n_samples, found.loudest)
        _refuse_without_speech(waveform, begun.n_samples)
    else:
        waveform, truncated = _first_samples(begun.blocks(), n_wanted)
        _refuse_unusable(len(waveform), _loudest(waveform))
    peak = float(np.abs(waveform).max())
    if peak > 1:  # lossy codecs and the resampler overshoot: scaled, for clipping would distort
        waveform = waveform / np.float32(peak)
    return Recording(
        np.ascontiguousarray(waveform),
        truncated,
        notes=tuple(_notes(waveform)) if wanted.speech_only else (),
        seconds_searched=begun.n_samples / SAMPLE_RATE,
    )


class _Beginning:
    """The first samples of a recording, counted as they pass."""

    def __init__(self, blocks: Iterable[Waveform], max_samples: int) -> None:
        self.source, self.max_samples = blocks, max_samples
        self.n_samples = 0
        self.goes_on = False  # there was more

    def blocks(self) -> Iterator[Waveform]:
        for block in self.source:
            kept = block[: self.max_samples - self.n_samples]
            self.n_samples += len(kept)
            yield kept
            if len(kept) < len(block):
                self.goes_on = True
                return


def _first_samples(blocks: Iterable[Waveform], n_wanted: int) -> tuple[Waveform, bool]:
    """The beginning of a recording as it is, and whether it goes on."""
    parts: list[Waveform] = []
    n_samples = 0
    for part in blocks:
        parts.append(part)
        n_samples += len(part)
        if n_samples > n_wanted:
            break
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)  # [L]
    return waveform[:n_wanted], n_samples > n_wanted


def _notes(speech: Waveform) -> Iterator[str]:
    """What makes the face of this speech less certain."""
    seconds = len(speech) / SAMPLE_RATE
    if seconds < LITTLE_SECONDS:
        yield f"only {seconds:.1f} s of speech were found; six seconds or more are better"
    if _share_above(TELEPHONE_HERTZ, speech) < NOTHING:
        yield "nothing sounds above 4 kHz, as in a telephone call; a full recording is better"


def _share_above(hertz: float, waveform: Waveform) -> float:
    """How much of the power lies above a frequency, of `[L]`, L >= 512; without the mean."""
    size = 512
    window = np.hanning(size)
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(waveform) - size + 1, 1000 * size):  # at most a thousand at a time
        part = waveform[start : start + 1000 * size]
        frames = part[: len(part) // size * size].reshape(-1, size)
        power += (np.abs(np.fft.rfft(frames * window)) ** 2).sum(axis=0)
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    return float(power[frequencies > hertz].sum() / max(power[2:].sum(), np.finfo(float).tiny))


def _checked_rate(sample_rate: int) -> int:
    low, high = SAMPLE_RATES
    if not isinstance(sample_rate, int | float | np.integer | np.floating):
        problem = f"has a sample rate of {sample_rate!r}"
        raise Speech2FaceError(problem, "give a number of Hz")
    if not (low <= sample_rate <= high and int(sample_rate) == sample_rate):
        problem = f"has a sample rate of {sample_rate} Hz"
        raise Speech2FaceError(problem, f"give sound with a whole rate of {low} to {high} Hz")
    return int(sample_rate)


def _refuse_unusable(n_samples: int, loudest: float) -> None:
    seconds = n_samples / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        remedy = f"give at least {MIN_SECONDS} s of speech, better six seconds"
        raise Unheard(f"holds only {seconds:.2f} s of sound", remedy)
    if 20 * np.log10(loudest + 1e-12) < SILENCE_DBFS:
        problem = f"is silent (below {SILENCE_DBFS:.0f} dBFS throughout)"
        raise _Silent(problem, "give a recording in which somebody speaks")


def _refuse_without_speech(speech: Waveform, n_searched: int) -> None:
    seconds, searched = len(speech) / SAMPLE_RATE, n_searched / SAMPLE_RATE
    if seconds == 0:
        problem = f"holds no speech that can be heard (in {searched:.1f} s of sound)"
        remedy = "give a recording in which somebody speaks; music or noise alone make no face"
        raise Unheard(problem, remedy)
    if seconds < MIN_SECONDS:
        problem = f"holds only {seconds:.2f} s of speech (in {searched:.1f} s of sound)"
        raise Unheard(problem, f"give at least {MIN_SECONDS} s of speech, better six seconds")


def _loudest(waveform: Waveform) -> float:
    """Root mean square of the loudest 100 ms around its mean: an offset does not count as sound."""
    n_windows = len(waveform) // LOUDNESS_WINDOW
    windows = waveform[: n_windows * LOUDNESS_WINDOW].reshape(n_windows, LOUDNESS_WINDOW)
    return float(windows.std(axis=1).max(initial=0.0))


def _channels_first(samples: Any) -> NDArray[Any]:
    """`[L]`, `[C, L]` or `[L, C]` to `[C, L]`."""
    try:
        samples = np.asarray(samples)
    except ValueError as error:
        problem = f"samples are no array ({error})"
        raise Speech2FaceError(
            problem, "give real numbers of shape [L], [C, L] or [L, C]"
        ) from error
    if samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
        problem = f"samples are {samples.dtype} of shape {samples.shape}"
        raise Speech2FaceError(problem, "give real numbers of shape [L], [C, L] or [L, C]")
    channels: NDArray[Any] = np.atleast_2d(samples)
    if channels.shape[0] > channels.shape[1]:
        channels = channels.T
    if channels.shape[0] == 0:
        raise Speech2FaceError("holds only 0.00 s of sound", "give at least half a second")
    _refuse_many_channels(channels.shape[0])
    return channels


def _refuse_many_channels(n_channels: int) -> None:
    if n_channels > MAX_CHANNELS:
        raise Speech2FaceError(f"has {n_channels} channels", "export it again, in mono")


def _as_floats(channels: NDArray[Any]) -> NDArray[np.float64]:
    """Samples as floats, `[C, L]`; integers are scaled to [-1, 1]."""
    if channels.dtype.kind in "iu":
        bits = channels.dtype.itemsize * 8
        middle = 2 ** (bits - 1) if channels.dtype.kind == "u" else 0  # unsigned rests at 128
        levels: NDArray[np.float64] = channels.astype(np.float64) - middle
        levels /= 2 ** (bits - 1)
        return levels
    floats: NDArray[np.float64] = channels.astype(np.float64)
    if not (np.abs(floats) < np.finfo(np.float32).max).all():  # NaN is not below it either
        raise Speech2FaceError("holds samples that are not finite numbers", _EXPORT_AGAIN)
    return floats


def _resampled(blocks: Iterable[tuple[Waveform, int]]) -> Iterator[Waveform]:
    """Blocks at 16 kHz; the rate may change from block to block, as in joined mp3 files."""
    resampler: _Resampler | None = None
    for block, sample_rate in blocks:
        if resampler is not None and resampler.sample_rate != sample_rate:
            yield from resampler.rest()
            resampler = None
        if sample_rate == SAMPLE_RATE:
            yield block  # bit for bit
            continue
        if resampler is None:
            resampler = _Resampler(sample_rate)
        yield from resampler.resample(block)
    if resampler is not None:
        yield from resampler.rest()


class _Resampler:
    """Band-limited change of one rate to 16 kHz, block by block, without a delay."""

    def __init__(self, sample_rate: int) -> None:
        self.av = _av()
        self.sample_rate = sample_rate
        self.graph = self.av.filter.Graph()
        source = self.graph.add_abuffer(format="flt", sample_rate=sample_rate, layout="mono")
        change = self.graph.add("aresample", f"{SAMPLE_RATE}:{RESAMPLER}")
        sink = self.graph.add("abuffersink")
        source.link_to(change)
        change.link_to(sink)
        self.graph.configure()

    def resample(self, block: Waveform) -> Iterator[Waveform]:
        frame = self.av.AudioFrame.from_ndarray(block[None], format="flt", layout="mono")
        frame.sample_rate = self.sample_rate
        self.graph.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[Waveform]:
        """What the filter still holds; nothing may be pushed afterwards."""
        self.graph.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Waveform]:
        while True:
            try:
                frame = self.graph.pull()
            except (self.av.error.BlockingIOError, self.av.error.EOFError):
                return
            yield frame.to_ndarray()[0]  # [1, L] to [L]


class _Source:
    """A file as PyAV reads it: from where it stands, within a budget of CPU time."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
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
        """Raise if the file has taken too long: some are made so that they do."""
        if time.thread_time() > self.budget:
            problem = f"takes more than {MAX_CPU_SECONDS:.0f} s to decode"
            raise Speech2FaceError(problem, _EXPORT_AGAIN)

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


def _first_track_with_sound(source: _Source, wanted: _Wanted) -> Recording:
    """The speech of ffmpeg's default track; if there is none, of the next that has some."""
    with _container(source) as container:
        best = container.streams.best("audio")
        tracks = [stream.index for stream in container.streams.audio]
        if best is None:
            problem = "has no sound track"
            raise Speech2FaceError(problem, "give a recording in which somebody speaks")
        best_index = best.index
    try:
        return _track(source, best_index, wanted)
    except Speech2FaceError as refused:
        for number, index in enumerate(tracks, start=1):
            if index == best_index:
                continue
            try:
                recording = _track(source, index, wanted)
            except Speech2FaceError:
                continue
            of = tracks.index(best_index) + 1
            note = f"audio track {number} is heard: track {of} {refused.problem}"
            return replace(recording, notes=(*recording.notes, note))
        raise


def _track(source: _Source, index: int, wanted: _Wanted) -> Recording:
    """The recording of one audio track."""
    packets = _Packets(source, index, wanted.start_seconds)
    recording = _record(packets.blocks, wanted)
    return replace(recording, damaged=packets.damaged)


class _Packets:
    """The sound of one audio track, packet by packet; what cannot be decoded is left out."""

    def __init__(self, source: _Source, index: int, start_seconds: float = 0.0) -> None:
        self.source, self.index, self.start_seconds = source, index, start_seconds
        self.damaged = False
        self.surplus = 0  # samples of the next blocks that are before `start_seconds`

    def blocks(self) -> Iterator[tuple[NDArray[Any], int]]:
        """Channels `[C, L]` and their rate, from the beginning each time."""
        n_blocks = 0
        with _container(self.source) as container:
            for block, rate in self._joined(container):
                n_blocks += 1
                surplus = min(self.surplus, block.shape[1])
                self.surplus -= surplus
                if surplus < block.shape[1]:
                    yield block[:, surplus:], rate
        if self.damaged and n_blocks == 0:
            raise Speech2FaceError("holds sound that cannot be decoded", _EXPORT_AGAIN)

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
        with suppress(_av().FFmpegError, OSError):  # without an index it is heard from where it is
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
            raise Speech2FaceError("holds sound that cannot be decoded", _EXPORT_AGAIN)
        _refuse_many_channels(stream.codec_context.channels)
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
            except (_av().FFmpegError, OSError, ValueError):
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
            _refuse_many_channels(frame.layout.nb_channels)
            _checked_rate(frame.sample_rate)
            self.kind = kind
            self.fifo = _av().AudioFifo()
            self.convert = _av().AudioResampler(format="flt", layout=kind[1], rate=kind[2])
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
        except _av().FFmpegError as error:
            problem = f"has {n_channels} channels of a layout that cannot be mixed"
            raise Speech2FaceError(problem, "export it again, in mono") from error
        return np.concatenate(packed).reshape(-1, n_channels).T, self.kind[2]


def _name_of(source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the sound given"


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    """The source as a binary file in which one can go back."""
    if isinstance(source, str | os.PathLike):
        with open_file(source) as file:
            yield file
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


def _container(source: _Source) -> Any:
    av = _av()
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


def _refuse_false_tags(source: _Source) -> None:
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
            raise Speech2FaceError("holds a tag of impossible size", _EXPORT_AGAIN)
        if head[:4] == b"LIST" and head[8:] == b"INFO":
            end_of_tags = place + 8 + size
            place += 12
        else:
            place += 8 + size + size % 2


def _av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as missing:
        raise missing_dependency("PyAV", "av") from missing
    return av

"""The one door to PyAV: any recording becomes 16 kHz mono samples.

Decoding streams, so a file of any length takes the memory of `MAX_SECONDS` of speech. Channels are
averaged before the rate is changed. A file is opened by us and handed over as bytes: a name is
never taken for an address, and a playlist inside it opens nothing.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_dependency

SAMPLE_RATE = 16_000  # Hz
MAX_SECONDS = 300.0  # of speech are heard; what follows is left out and `truncated` says so
MIN_SECONDS = 0.5
SILENCE_DBFS = -60.0  # root mean square of the loudest tenth of a second, full scale = 0 dB
LOUDNESS_WINDOW = SAMPLE_RATE // 10  # 1600 samples: 100 ms
SAMPLE_RATES = (4_000, 768_000)  # Hz, the lowest and the highest accepted

# The resampler's default (32 taps, cut-off .97) lets a tone of 8.3 kHz fold back at -18 dB. With
# these it is below -100 dB, and speech up to 7.6 kHz passes within 0.1 dB.
RESAMPLER = "filter_size=128:cutoff=0.98"

_EXPORT_AGAIN = "export the recording again, as 16-bit wav or flac"

Waveform = NDArray[np.float32]  # [L], mono, in [-1, 1]


@dataclass(frozen=True)
class Recording:
    """Speech as the networks take it."""

    waveform: Waveform  # [L] 16 kHz mono in [-1, 1]
    truncated: bool  # there was more than `max_seconds`; the rest was left out
    damaged: bool = False  # parts of the file could not be decoded and were left out

    @property
    def seconds(self) -> float:
        """Length of the speech."""
        return len(self.waveform) / SAMPLE_RATE


def decode(path: str | os.PathLike[str], *, max_seconds: float = MAX_SECONDS) -> Recording:
    """Speech of a sound or video file, whatever PyAV reads: wav, flac, mp3, m4a, ogg, webm, mp4.

    Args:
        path: the file; of several sound tracks the one that ffmpeg holds for the best is heard.
        max_seconds: how much of its beginning is heard.

    Returns:
        16 kHz mono samples, at least `MIN_SECONDS` of them. A file that breaks off is used as far
        as it can be decoded, and marked as damaged.

    Raises:
        Speech2FaceError: no such file, a folder, not sound, silent, too short, not finite.
    """
    name = os.fspath(path)
    try:
        with _opened(name) as file, _container(file) as container:
            packets = _Packets(container)
            recording = _record(packets.blocks(), max_seconds)
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, name) from error.__cause__
    return replace(recording, damaged=packets.damaged)


def as_recording(
    samples: NDArray[Any], sample_rate: int, *, max_seconds: float = MAX_SECONDS
) -> Recording:
    """Speech that is already in memory, checked and brought to 16 kHz mono.

    Args:
        samples: `[L]`, `[C, L]` or `[L, C]` (the shorter axis is the channels); floats in [-1, 1],
            or integers, whose full range is taken for [-1, 1].
        sample_rate: of `samples`, in Hz.
        max_seconds: how much of the beginning is heard.

    Raises:
        Speech2FaceError: another shape or type, silent, too short, not finite.
    """
    channels = _channels_first(np.asarray(samples))  # [C, L]
    rate = _checked_rate(sample_rate)
    seconds = range(0, channels.shape[1], rate)  # a block each, so that the rest is never touched
    blocks = ((_mono(channels[:, start : start + rate]), rate) for start in seconds)
    return _record(blocks, max_seconds)


def _record(blocks: Iterable[tuple[Waveform, int]], max_seconds: float) -> Recording:
    """Join blocks of mono samples, each with its rate, into one checked recording."""
    n_wanted = round(max_seconds * SAMPLE_RATE)
    parts: list[Waveform] = []
    n_samples = 0
    for part in _resampled(blocks):
        parts.append(part)
        n_samples += len(part)
        if n_samples > n_wanted:
            break
    waveform = np.concatenate(parts) if parts else np.zeros(0, np.float32)  # [L]
    waveform = waveform[:n_wanted]
    _refuse_unusable(waveform)
    peak = float(np.abs(waveform).max())
    if peak > 1:  # lossy codecs and the resampler overshoot: scaled, for clipping would distort
        waveform = waveform / np.float32(peak)
    return Recording(np.ascontiguousarray(waveform), truncated=n_samples > n_wanted)


def _checked_rate(sample_rate: int) -> int:
    low, high = SAMPLE_RATES
    if not (low <= sample_rate <= high and int(sample_rate) == sample_rate):
        problem = f"has a sample rate of {sample_rate} Hz"
        raise Speech2FaceError(problem, f"give sound with a whole rate of {low} to {high} Hz")
    return int(sample_rate)


def _refuse_unusable(waveform: Waveform) -> None:
    seconds = len(waveform) / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        remedy = f"give at least {MIN_SECONDS} s of speech, better six seconds"
        raise Speech2FaceError(f"holds only {seconds:.2f} s of sound", remedy)
    if _loudest_dbfs(waveform) < SILENCE_DBFS:
        problem = f"is silent (below {SILENCE_DBFS:.0f} dBFS throughout)"
        raise Speech2FaceError(problem, "give a recording in which somebody speaks")


def _loudest_dbfs(waveform: Waveform) -> float:
    """Level of the loudest 100 ms."""
    return float(_levels_dbfs(waveform).max())


def _levels_dbfs(waveform: Waveform) -> NDArray[np.float64]:
    """Level of each 100 ms around its mean, so that an offset does not count as sound."""
    n_windows = len(waveform) // LOUDNESS_WINDOW
    windows = waveform[: n_windows * LOUDNESS_WINDOW].reshape(n_windows, LOUDNESS_WINDOW)
    return np.asarray(20 * np.log10(windows.std(axis=1) + 1e-12))


def without_leading_silence(waveform: Waveform) -> Waveform:
    """What follows the silence at the beginning, `[L]`, cut to a tenth of a second.

    A waveform that `decode` returns has sound somewhere; one without any comes back whole.
    """
    is_loud = _levels_dbfs(waveform) >= SILENCE_DBFS
    return waveform[int(is_loud.argmax()) * LOUDNESS_WINDOW :]


def _channels_first(samples: NDArray[Any]) -> NDArray[Any]:
    """`[L]`, `[C, L]` or `[L, C]` to `[C, L]`."""
    if samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
        problem = f"samples are {samples.dtype} of shape {samples.shape}"
        raise Speech2FaceError(problem, "give real numbers of shape [L], [C, L] or [L, C]")
    channels = np.atleast_2d(samples)
    if channels.shape[0] > channels.shape[1]:
        channels = channels.T
    if channels.shape[0] == 0:
        raise Speech2FaceError("holds only 0.00 s of sound", "give at least half a second")
    return channels


def _mono(channels: NDArray[Any]) -> Waveform:
    """Mean of the channels as floats, `[C, L]` to `[L]`; integers are scaled to [-1, 1]."""
    if channels.dtype.kind in "iu":
        bits = channels.dtype.itemsize * 8
        middle = 2 ** (bits - 1) if channels.dtype.kind == "u" else 0  # unsigned rests at 128
        channels = (channels.astype(np.float64) - middle) / 2 ** (bits - 1)
    mono: Waveform = channels.mean(axis=0, dtype=np.float64).astype(np.float32)  # [L]
    if not np.isfinite(mono).all():
        problem = "holds samples that are not finite numbers"
        raise Speech2FaceError(problem, _EXPORT_AGAIN)
    return mono


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


class _Packets:
    """The sound of an open container, packet by packet; what cannot be decoded is left out."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.damaged = False

    def blocks(self) -> Iterator[tuple[Waveform, int]]:
        """Mono samples and their rate, a block a decoded frame."""
        av = _av()
        stream = self.container.streams.best("audio")
        if stream is None:
            problem = "has no sound track"
            raise Speech2FaceError(problem, "give a recording in which somebody speaks")
        packets = self.container.demux(stream)
        as_floats = _AsFloats()
        n_frames = 0
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except av.FFmpegError:
                # Of a packet: the next may be sound again. Of the container: `packets` has ended.
                self.damaged = True
                continue
            for frame in frames:
                n_frames += 1
                yield _mono(as_floats.channels(frame)), _checked_rate(frame.sample_rate)
        if self.damaged and n_frames == 0:
            raise Speech2FaceError("holds sound that cannot be decoded", _EXPORT_AGAIN)


class _AsFloats:
    """Samples of decoded frames as float32, whatever type and layout the codec has."""

    def __init__(self) -> None:
        self.kind: tuple[str, str, int] | None = None
        self.convert: Any = None

    def channels(self, frame: Any) -> Waveform:
        """`[C, L]`; by way of interleaved samples, as PyAV 18 crashes on 8 planes of a frame."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self.kind:
            _, layout, rate = self.kind = kind
            self.convert = _av().AudioResampler(format="flt", layout=layout, rate=rate)
        frame.pts = None  # samples follow each other; gaps in a file's clock are not speech
        n_channels = frame.layout.nb_channels
        try:
            packed = [part.to_ndarray()[0] for part in self.convert.resample(frame)]  # [L * C]
        except _av().FFmpegError as error:
            problem = f"has {n_channels} channels of a layout that cannot be mixed"
            raise Speech2FaceError(problem, "export it again, in mono") from error
        return np.concatenate(packed).reshape(-1, n_channels).T


def _opened(name: str) -> BufferedReader:
    try:
        return open(name, "rb")
    except FileNotFoundError as error:
        raise Speech2FaceError("there is no such file", "check the path") from error
    except IsADirectoryError as error:
        raise Speech2FaceError("is a folder", "name the sound files in it") from error
    except PermissionError as error:
        raise Speech2FaceError("may not be read", "give yourself the right to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise Speech2FaceError(f"cannot be opened ({error})", "check the path") from error


def _container(file: BufferedReader) -> Any:
    av = _av()
    start = file.peek(12)[:12]
    if not start:
        raise Speech2FaceError("is empty", "record or copy it again")
    options = {"protocol_whitelist": "none"}  # a playlist may not make us open other things
    try:
        return av.open(file, options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        if start[4:8] == b"ftyp":
            problem = "is an mp4 that breaks off before its index"
            raise Speech2FaceError(problem, "record or copy it again, whole") from error
        remedy = "give a recording such as wav, flac, mp3, m4a, ogg, webm or mp4"
        raise Speech2FaceError("is not a sound file that can be read", remedy) from error


def _av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError as missing:
        raise missing_dependency("PyAV", "av") from missing
    return av

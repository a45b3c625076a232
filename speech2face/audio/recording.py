"""From blocks of sound to the checked speech of one recording.

Sound comes as blocks of channels, so a recording of any length takes the memory of `MAX_SECONDS` of
speech, which may lie anywhere in it. Channels are averaged before the rate is changed to 16 kHz.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.resampler import resampled
from speech2face.audio.speech import SAMPLE_RATE, Waveform, find_speech
from speech2face.errors import Speech2FaceError

MAX_SECONDS = 300.0  # of speech are heard; what follows is left out and `truncated` says so
MIN_SECONDS = 0.5  # of speech
LITTLE_SECONDS = 2.0  # of speech: the same voice gives other faces from less
MAX_SEARCHED_SECONDS = 4 * 3600.0  # of a recording are searched for speech
SILENCE_DBFS = -60.0  # root mean square of the loudest tenth of a second, full scale = 0 dB
LOUDNESS_WINDOW = SAMPLE_RATE // 10  # 1600 samples: 100 ms
SAMPLE_RATES = (4_000, 768_000)  # Hz, the lowest and the highest accepted
MAX_CHANNELS = 64
TELEPHONE_HERTZ = 4_250.0  # nothing above it: a telephone, or a rate of 8 kHz
NOTHING = 1e-5  # of the power of speech, -50 dB; ordinary recordings keep -35 dB up there
CANCELLED = 0.01  # of the power that independent channels keep in their mean: -20 dB
EXPORT_AGAIN = "export the recording again, as 16-bit wav or flac"

Blocks = Iterable[tuple[NDArray[Any], int]]  # channels [C, L] and their rate in Hz


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


@dataclass(frozen=True)
class Wanted:
    """How much is heard of a recording."""

    seconds: float  # of speech at most
    searched_seconds: float  # of the recording at most
    speech_only: bool
    start_seconds: float = 0.0  # of the file are left out


class Unheard(Speech2FaceError):
    """There is no speech in it, or too little."""


class Silent(Unheard):
    """There is no sound in it."""


def recording_of(blocks: Callable[[], Blocks], wanted: Wanted) -> Recording:
    """One checked recording of blocks of channels, heard again where their mean is no use."""
    levels = _Levels()
    try:
        recording = _joined(_mixed(blocks(), levels), wanted)
        if len(levels.channels) == 1 or not levels.cancel():
            return recording
    except Unheard as unheard:
        is_silent = isinstance(unheard, Silent)
        if len(levels.channels) == 1 or not (is_silent or levels.cancel()):
            raise
    loudest = int(levels.channels.argmax())
    recording = _joined(_one_channel(blocks(), loudest), wanted)
    note = f"channel {loudest + 1} of {len(levels.channels)} is heard: their mean is nearly silent"
    return replace(recording, notes=(note, *recording.notes))


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


def _joined(blocks: Iterable[tuple[Waveform, int]], wanted: Wanted) -> Recording:
    """Find the speech of blocks of mono samples, each with its rate: one checked recording."""
    n_wanted = round(wanted.seconds * SAMPLE_RATE)
    begun = _Beginning(resampled(blocks), round(wanted.searched_seconds * SAMPLE_RATE))
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


def checked_rate(sample_rate: int) -> int:
    """The rate in Hz as an integer; raises Speech2FaceError if no recording has such a rate."""
    low, high = SAMPLE_RATES
    if not isinstance(sample_rate, int | float | np.integer | np.floating):
        problem = f"has a sample rate of {sample_rate!r}"
        raise Speech2FaceError(problem, "give a number of Hz")
    if not (low <= sample_rate <= high and int(sample_rate) == sample_rate):
        problem = f"has a sample rate of {sample_rate} Hz"
        raise Speech2FaceError(problem, f"give sound with a whole rate of {low} to {high} Hz")
    return int(sample_rate)


def refuse_many_channels(n_channels: int) -> None:
    if n_channels > MAX_CHANNELS:
        raise Speech2FaceError(f"has {n_channels} channels", "export it again, in mono")


def _refuse_unusable(n_samples: int, loudest: float) -> None:
    seconds = n_samples / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        remedy = f"give at least {MIN_SECONDS} s of speech, better six seconds"
        raise Unheard(f"holds only {seconds:.2f} s of sound", remedy)
    if 20 * np.log10(loudest + 1e-12) < SILENCE_DBFS:
        problem = f"is silent (below {SILENCE_DBFS:.0f} dBFS throughout)"
        raise Silent(problem, "give a recording in which somebody speaks")


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
        raise Speech2FaceError("holds samples that are not finite numbers", EXPORT_AGAIN)
    return floats

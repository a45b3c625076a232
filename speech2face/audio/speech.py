"""Finds the speech in a recording, wherever it lies, and leaves out everything else.

The sequence model of Silero VAD says for every 32 ms how probable speech is. Frames below one half
are left out, except for the two frames before and after every frame of speech; what is kept is
joined. The recording arrives block by block and is never held whole: an hour of silence before the
first word costs time, but no memory.

Source: `silero_vad_16k_sequence.onnx` of Silero VAD 6.2.3, Silero Team (MIT; its licence is in
LICENSE-WEIGHTS).
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.onnx_runtime import open_session

SAMPLE_RATE = 16_000  # Hz
FRAME = 512  # samples: 32 ms
CONTEXT = 64  # samples before each frame that the network sees as well
FRAMES_AT_ONCE = 512  # in one call of the network: 16 s
THRESHOLD = 0.5  # probability from which a frame counts as speech
AROUND = 2  # frames that are kept before and after each frame of speech
SILENT = 1e-3  # of the loudest sample so far: -60 dB
LOUDNESS = 0.05  # root mean square of the loudest tenth of a second, as the network hears it
MAX_GAIN = 100.0  # 40 dB: a recording that is quieter is not made louder than that
STATE_SIZE = 128  # of the network's memory, twice
MODEL = "silero_vad_16k_sequence.onnx"
MODEL_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
# What stored measurements of speech depend on.
FINDER = f"{MODEL_SHA256} {THRESHOLD} {AROUND} {SILENT} {LOUDNESS} {MAX_GAIN}"

Waveform = NDArray[np.float32]  # [L], mono, 16 kHz
Frames = NDArray[np.float32]  # [N, FRAME]


@dataclass(frozen=True)
class Speech:
    """What was spoken, joined."""

    waveform: Waveform  # [L]
    loudest: float  # root mean square of the loudest 96 ms that were searched, without their mean
    truncated: bool  # there was more speech than was wanted


def find_speech(blocks: Iterable[Waveform], max_samples: int) -> Speech:
    """The speech of a recording that arrives as consecutive blocks `[L]` of any length, 16 kHz.

    Args:
        blocks: the samples. How they are divided into blocks does not change what is found.
        max_samples: of speech, after which the recording is not read any further.

    Raises:
        Speech2FaceError: the model file of the package is missing or damaged.
    """
    kept: list[Waveform] = []
    n_kept = 0
    peak = loudest = 0.0
    for frames, is_kept in _decided(speech_probabilities(blocks)):
        peak = max(peak, float(np.abs(frames).max(initial=0.0)))
        loudest = max(loudest, _loudness(frames))
        for stretch in _stretches(frames, is_kept):
            kept.append(_without_silent_ends(stretch, peak * SILENT))
            n_kept += len(kept[-1])
        if n_kept > max_samples:
            break
    waveform = np.concatenate(kept)[:max_samples] if kept else np.zeros(0, np.float32)
    return Speech(waveform, loudest, truncated=n_kept > max_samples)


def speech_probabilities(
    blocks: Iterable[Waveform],
) -> Iterator[tuple[Frames, NDArray[np.float32]]]:
    """Frames `[N, FRAME]` of a recording, and how probable speech is in each of them, `[N]`.

    The last frame is filled with zeros.
    """
    network = _network()
    hidden = cell = np.zeros((1, 1, STATE_SIZE), np.float32)
    context = np.zeros(CONTEXT, np.float32)
    loudest = LOUDNESS / MAX_GAIN
    for frames in _frames(blocks):
        before = np.concatenate([context[None], frames[:-1, -CONTEXT:]])  # [N, CONTEXT]
        seen = np.concatenate([before, frames], axis=1)  # [N, CONTEXT + FRAME]
        loudest = max(loudest, _loudness(frames))
        inputs = {"input": seen * np.float32(LOUDNESS / loudest), "h": hidden, "c": cell}
        probability, hidden, cell = network.run(None, inputs)
        context = frames[-1, -CONTEXT:]
        yield frames, probability


@cache
def _network() -> Any:
    """An onnxruntime session over the model file of the package, opened once."""
    path = Path(str(resources.files("speech2face"))) / "assets" / MODEL
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != MODEL_SHA256:
        problem = "the model that finds speech is missing or damaged"
        raise Speech2FaceError(problem, "install speech2face again", str(path))
    return open_session(content, threads=1)  # more gain nothing


def _decided(
    judged: Iterable[tuple[Frames, NDArray[np.float32]]],
) -> Iterator[tuple[Frames, NDArray[np.bool_]]]:
    """Frames `[N, FRAME]` and which of them are kept `[N]`, `AROUND` frames behind the input."""
    waiting = np.zeros((0, FRAME), np.float32)
    speaks = np.zeros(AROUND, bool)  # of the last decided frames, then of the waiting ones
    for frames, probability in judged:
        waiting = np.concatenate([waiting, frames])
        speaks = np.concatenate([speaks, probability >= THRESHOLD])
        n_decided = len(waiting) - AROUND
        if n_decided > 0:
            yield waiting[:n_decided], _dilated(speaks)[AROUND : AROUND + n_decided]
            waiting, speaks = waiting[n_decided:], speaks[n_decided:]
    if len(waiting):
        yield waiting, _dilated(speaks)[AROUND:]


def _frames(blocks: Iterable[Waveform]) -> Iterator[Frames]:
    """Samples as frames `[N, FRAME]`: `FRAMES_AT_ONCE` of them, the last time fewer."""
    wanted = FRAMES_AT_ONCE * FRAME  # samples
    waiting: list[Waveform] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting >= wanted:
            samples = np.concatenate(waiting)
            n_whole = n_waiting // wanted * wanted
            yield from samples[:n_whole].reshape(-1, FRAMES_AT_ONCE, FRAME)
            waiting, n_waiting = [samples[n_whole:]], n_waiting - n_whole
    if n_waiting:
        padded = np.zeros((-(-n_waiting // FRAME), FRAME), np.float32)
        padded.reshape(-1)[:n_waiting] = np.concatenate(waiting)
        yield padded


def _stretches(frames: Frames, is_kept: NDArray[np.bool_]) -> Iterator[Waveform]:
    """Samples of each run of kept frames, of frames `[N, FRAME]`."""
    edges = np.flatnonzero(np.diff(np.pad(is_kept, 1).astype(np.int8)))  # starts and ends in turn
    for start, stop in edges.reshape(-1, 2):
        yield frames[start:stop].reshape(-1)


def _without_silent_ends(samples: Waveform, limit: float) -> Waveform:
    """Cut where nothing sounds: the logarithm of digital silence outweighs everything else."""
    sounds = np.flatnonzero(np.abs(samples) > limit)
    return samples[sounds[0] : sounds[-1] + 1] if len(sounds) else samples[:0]


def _loudness(frames: Frames) -> float:
    """Root mean square of the loudest three frames in a row (96 ms), around their means."""
    power = frames.var(axis=1)  # [N]
    smooth = np.convolve(power, np.full(3, 1 / 3), "same" if len(power) < 3 else "valid")
    return float(np.sqrt(smooth.max()))


def _dilated(speaks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames `[N]` with speech in themselves or in one of `AROUND` frames on either side."""
    padded = np.pad(speaks, AROUND)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1)
    return np.asarray(around.any(axis=1))

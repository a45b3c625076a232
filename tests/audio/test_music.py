"""Synthesised music without words makes no face: each piece is refused in one sentence."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from speech2face.audio.io import as_recording
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError

Sound = NDArray[np.float64]


def _time(seconds: float) -> Sound:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _plucked(hertz: float, seconds: float) -> Sound:
    """A decaying tone with eight harmonics."""
    time, harmonics = _time(seconds), np.arange(1, 9)[:, None]
    waves = np.sin(2 * np.pi * hertz * harmonics * time) / harmonics
    decaying: Sound = waves.sum(axis=0) * np.exp(-2 * time)
    return decaying


def _note(base: float, semitones: int) -> float:
    return float(base * 2 ** (semitones / 12))


def melody() -> Sound:
    steps = [0, 4, 7, 12, 7, 4, 0, 5, 9, 12, 9, 5] * 2
    return np.concatenate([_plucked(_note(220, step), 0.4) for step in steps])


def chords() -> Sound:
    def triad(root: float) -> Sound:
        voices = [_plucked(_note(root, step), 1.0) for step in (0, 4, 7)]
        return np.sum(voices, axis=0)

    return np.concatenate([triad(root) for root in (220, 165, 196, 147) * 3])


def drums() -> Sound:
    """Ten seconds of a low drum and of short noise, in turn, four a second."""
    rng, time = np.random.default_rng(0), _time(0.12)
    beats: Sound = np.zeros(10 * SAMPLE_RATE)
    for number in range(40):
        hit = np.sin(2 * np.pi * 60 * time) if number % 2 == 0 else rng.standard_normal(len(time))
        start = number * SAMPLE_RATE // 4
        beats[start : start + len(time)] += hit * np.exp(-35 * time)
    return beats


def band() -> Sound:
    return chords()[: 10 * SAMPLE_RATE] + drums()


def sung_vowel() -> Sound:
    """A glottal tone with vibrato on a scale, through the formants of "ah"."""
    hertz = np.repeat([196, 220, 247, 262, 247, 220, 196, 165], SAMPLE_RATE)
    hertz = hertz * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * _time(8)))
    phase = np.cumsum(hertz) / SAMPLE_RATE
    sound = np.sin(2 * np.pi * np.arange(1, 25)[:, None] * phase).sum(axis=0)
    for formant, bandwidth in ((700, 110), (1100, 120), (2600, 160)):
        sound = _resonance(sound, formant, bandwidth)
    return sound


def _resonance(sound: Sound, hertz: float, bandwidth: float) -> Sound:
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    poles: Sequence[float] = [
        1,
        -2 * radius * np.cos(2 * np.pi * hertz / SAMPLE_RATE),
        radius**2,
    ]
    shaped: Sound = lfilter([1 - radius], poles, sound)
    return shaped


@pytest.mark.parametrize("piece", [melody, chords, drums, band, sung_vowel])
def test_music_without_words_is_refused(piece: Callable[[], Sound]) -> None:
    sound = piece()
    waveform = (0.3 * sound / np.abs(sound).max()).astype(np.float32)
    with pytest.raises(Speech2FaceError, match=r"holds (no speech|only 0\.\d+ s of speech)"):
        as_recording(waveform, SAMPLE_RATE)

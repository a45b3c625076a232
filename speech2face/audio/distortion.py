"""What recordings do to a voice: telephones, codecs, rooms, noise, microphones, clipping, a cut.

The recipe of the embedded model compares each voice with distorted copies of itself, and fits the
voice head such that it ignores what differs. Every function takes a waveform `[L]` at 16 kHz and
returns one at the same rate. Randomness is an argument.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.codec import CODECS, through
from speech2face.audio.speech import SAMPLE_RATE, Waveform

Distortion = Callable[[Waveform, np.random.Generator], Waveform]

MU = 255  # of G.711's mu-law
OCTAVES = (50.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)  # Hz


def filtered(waveform: Waveform, hertz: Sequence[float], decibels: Sequence[float]) -> Waveform:
    """Filter without delay; its gain is linear in log frequency between the given points."""
    frequency = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)  # [F]
    octave = np.log2(np.maximum(frequency, 1.0))
    gain = 10 ** (np.interp(octave, np.log2(hertz), decibels) / 20)
    return np.fft.irfft(np.fft.rfft(waveform) * gain, len(waveform)).astype(np.float32)


def telephone(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """The band of a telephone, 300 to 3400 Hz; 60 dB less outside."""
    return filtered(waveform, (220, 300, 3400, 4000), (-60, 0, 0, -60))


def mu_law(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A digital telephone: its band, then eight bits per sample on the curve of mu-law (G.711)."""
    band = telephone(waveform, rng)
    peak = max(float(np.abs(band).max()), 1e-9)
    compressed = np.sign(band) * np.log1p(MU * np.abs(band) / peak) / np.log1p(MU)
    rounded = np.round(compressed * 127) / 127
    expanded = np.sign(rounded) * np.expm1(np.abs(rounded) * np.log1p(MU)) / MU
    return telephone((peak * expanded).astype(np.float32), rng)


def a_law(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A digital telephone in Europe: A-law at 8 kHz, encoded and decoded."""
    return coded(waveform, ("A-law, 8 kHz",), rng)


def mobile(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A mobile phone: AMR at its highest rate, the one of GSM, or at its lowest."""
    return coded(waveform, ("AMR, 12.2 kbit/s", "AMR, 4.75 kbit/s"), rng)


def internet(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A voice message, a call or a small file: Opus, MP3 or AAC at a low rate."""
    return coded(waveform, ("Opus, 12 kbit/s", "MP3, 32 kbit/s", "AAC, 32 kbit/s"), rng)


def coded(waveform: Waveform, codecs: Sequence[str], rng: np.random.Generator) -> Waveform:
    """What is left of a voice by one of the codecs, chosen at random.

    It is encoded with its loudest sample at one half of full scale, as codecs lose quiet voices,
    and keeps the loudness that it had.
    """
    codec = CODECS[codecs[int(rng.integers(len(codecs)))]]
    gain = np.float32(0.5 / max(float(np.abs(waveform).max()), 1e-9))
    heard: Waveform = through(waveform * gain, codec) / gain
    return heard


def microphone(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """The colour of a microphone: its gain varies by some 4 dB from octave to octave."""
    return filtered(waveform, OCTAVES, rng.normal(0, 4, len(OCTAVES)).tolist())


def room(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A room: the direct sound, and reverberation that decays exponentially."""
    decay = rng.uniform(0.15, 0.9)  # s, until it is 60 dB weaker
    time = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    echoes = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay)
    echoes[: SAMPLE_RATE // 500] = 0  # the first one comes after 2 ms
    tail = filtered(echoes.astype(np.float32), (100, 1000, 8000), (-3, 0, -12))
    direct = 10 ** (rng.uniform(-5, 10) / 20)  # amplitude, relative to the reverberation
    response = tail / np.sqrt(np.square(tail).sum())
    response[0] = direct
    n_fft = len(waveform) + len(response)
    wet = np.fft.irfft(np.fft.rfft(waveform, n_fft) * np.fft.rfft(response, n_fft), n_fft)
    heard: Waveform = (wet[: len(waveform)] / np.sqrt(1 + direct**2)).astype(np.float32)
    return heard


def little_noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Noise 8 to 22 dB below the speech."""
    return with_noise(waveform, _noise(len(waveform), rng), rng.uniform(8, 22))


def much_noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Noise 0 to 8 dB below the speech."""
    return with_noise(waveform, _noise(len(waveform), rng), rng.uniform(0, 8))


def with_noise(waveform: Waveform, noise: Waveform, decibels: float) -> Waveform:
    """Speech and `noise` `[L]`, scaled so that the speech is `decibels` stronger."""
    gain = waveform.std() / max(float(noise.std()), 1e-12) * 10 ** (-decibels / 20)
    noisy: Waveform = (waveform + gain * noise).astype(np.float32)
    return noisy


def clipped(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Overdriven: the loudest 2 to 20 % of the samples are cut off."""
    limit = np.quantile(np.abs(waveform), rng.uniform(0.80, 0.98))
    return np.clip(waveform, -limit, limit).astype(np.float32)


def short(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """One to two and a half seconds of it."""
    n_samples = int(SAMPLE_RATE * rng.uniform(1, 2.5))
    start = int(rng.integers(0, max(1, len(waveform) - n_samples)))
    return waveform[start : start + n_samples]


def _noise(n_samples: int, rng: np.random.Generator) -> Waveform:
    """White noise, or pink noise (3 dB less per octave)."""
    white: NDArray[np.float64] = rng.standard_normal(n_samples)
    if rng.random() < 0.5:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    lowest = 20 * n_samples / SAMPLE_RATE  # below 20 Hz it grows no further
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), lowest))
    return np.fft.irfft(spectrum, n_samples).astype(np.float32)


DISTORTIONS: Mapping[str, Distortion] = MappingProxyType(
    {
        "telephone": telephone,
        "mu_law": mu_law,
        "a_law": a_law,
        "mobile": mobile,
        "internet": internet,
        "microphone": microphone,
        "room": room,
        "little_noise": little_noise,
        "much_noise": much_noise,
        "clipped": clipped,
        "short": short,
    }
)

"""Codecs lose what they are known to lose, keep the voice, and do the same thing twice."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from speech2face.audio.codec import CODECS, Codec, encoded, through
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError

BURST = SAMPLE_RATE // 4  # samples, of every part of the test signal


def _signal() -> NDArray[np.float32]:
    """Two seconds of chords with harmonics, a quarter of a second each."""
    time = np.arange(BURST) / SAMPLE_RATE
    hertz = 120.0 * np.array([1.0, 1.2, 0.9, 1.5, 1.1, 0.8, 1.3, 1.0])
    harmonics = np.arange(1, 60)
    parts = [
        (np.sin(2 * np.pi * base * harmonics[:, None] * time) / harmonics[:, None]).sum(axis=0)
        for base in hertz
    ]
    return (0.1 * np.concatenate(parts)).astype(np.float32)


def _loudness(waveform: NDArray[np.float32], hertz: tuple[float, float]) -> NDArray[np.float64]:
    """Root mean square in a band of every quarter of a second."""
    frames = waveform[: 8 * BURST].reshape(8, BURST) * np.hanning(BURST)
    frequency = np.fft.rfftfreq(BURST, 1 / SAMPLE_RATE)
    band = (frequency >= hertz[0]) & (frequency < hertz[1])
    power: NDArray[np.float64] = (np.abs(np.fft.rfft(frames)) ** 2)[:, band].mean(axis=1)
    return np.sqrt(power)


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_keeps_length_and_the_band_of_a_voice(name: str) -> None:
    signal = _signal()
    heard = through(signal, CODECS[name])
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(len(signal), abs=2048)
    ratio = _loudness(heard, (300, 3000)) / _loudness(signal, (300, 3000))
    assert (np.abs(20 * np.log10(ratio)) < 3).all()


@pytest.mark.parametrize(
    "name", [name for name, codec in CODECS.items() if codec.sample_rate < 1e4]
)
def test_a_codec_of_8_khz_leaves_nothing_above_4_khz(name: str) -> None:
    above = _loudness(through(_signal(), CODECS[name]), (4500, 8000))
    assert (above < 0.03 * _loudness(_signal(), (4500, 8000))).all()


@pytest.mark.parametrize("name", ["Opus, 12 kbit/s", "MP3, 32 kbit/s", "AAC, 32 kbit/s"])
def test_a_file_has_the_rate_that_its_codec_states(name: str) -> None:
    stated = CODECS[name].bit_rate
    assert stated is not None
    bit_rate = 8 * len(encoded(np.tile(_signal(), 5), CODECS[name])) / 10  # of ten seconds
    assert 0.6 * stated < bit_rate < 1.3 * stated  # Opus needs less for what is easy


def test_mu_law_has_the_error_that_g711_has() -> None:
    """A sample of mu-law is wrong by at most half a step, 1/32 of its size, or 16 of 32768."""
    narrow = resample_poly(_signal().astype(np.float64), 1, 2)
    codec = Codec("pcm_mulaw", "wav", SAMPLE_RATE)  # without a change of the rate
    error = np.abs(through(narrow.astype(np.float32), codec) - narrow)
    assert (error <= np.abs(narrow) / 32 + 16 / 32768).all()


def test_the_same_voice_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, test_codec as t\n"
        "for codec in t.CODECS.values():\n"
        "    print(hashlib.sha256(t.encoded(t._signal(), codec)).hexdigest())"
    )
    folder = __file__.rpartition("/")[0]
    paths = f"import sys; sys.path[:0] = [{folder!r}]\n"
    finished = subprocess.run(
        [sys.executable, "-c", paths + code], capture_output=True, text=True, check=True
    )
    ours = [hashlib.sha256(encoded(_signal(), codec)).hexdigest() for codec in CODECS.values()]
    assert finished.stdout.split() == ours


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(Speech2FaceError, match="no encoder libnothing"):
        encoded(_signal(), Codec("libnothing", "wav"))

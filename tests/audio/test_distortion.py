"""Distortions change what they say they change, measured by other means, and nothing else."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from speech2face.audio.distortion import (
    DISTORTIONS,
    clipped,
    filtered,
    mu_law,
    room,
    telephone,
    with_noise,
)
from speech2face.audio.speech import SAMPLE_RATE

SPEECH = np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE).astype(np.float32) * 0.1


def _level(waveform: NDArray[np.float32], low: float, high: float) -> float:
    """Power between two frequencies in dB, by Welch's method."""
    frequency, power = welch(waveform.astype(np.float64), SAMPLE_RATE, nperseg=1024)
    return float(10 * np.log10(power[(frequency >= low) & (frequency <= high)].mean()))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distortion_is_finite_of_the_right_type_and_repeatable(name: str) -> None:
    once, again = (DISTORTIONS[name](SPEECH, np.random.default_rng(3)) for _ in range(2))
    assert once.dtype == np.float32 and np.isfinite(once).all()
    np.testing.assert_array_equal(once, again)
    if name == "short":
        assert SAMPLE_RATE <= len(once) <= 2.5 * SAMPLE_RATE
    else:
        assert len(once) == pytest.approx(len(SPEECH), abs=2048)  # codecs add a part of a frame


def test_a_telephone_passes_its_band_and_nothing_else() -> None:
    heard = telephone(SPEECH, np.random.default_rng(0))
    assert _level(heard, 400, 3200) == pytest.approx(_level(SPEECH, 400, 3200), abs=0.1)
    assert _level(heard, 4500, 8000) < _level(SPEECH, 4500, 8000) - 50
    assert _level(heard, 0, 150) < _level(SPEECH, 0, 150) - 25  # Welch's window leaks there


def test_mu_law_adds_the_error_of_eight_bits() -> None:
    band = telephone(SPEECH, np.random.default_rng(0))
    error = mu_law(SPEECH, np.random.default_rng(0)) - telephone(band, np.random.default_rng(0))
    ratio = 20 * np.log10(band.std() / error.std())
    assert 30 < ratio < 42  # G.711 reaches about 37 dB


def test_a_filter_has_the_gain_that_it_is_given() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, decibels in ((500, -6.0), (1000, 0.0), (2000, 6.0)):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)
        heard = filtered(tone, (250, 1000, 4000), (-12, 0, 12))
        assert 20 * np.log10(heard.std() / tone.std()) == pytest.approx(decibels, abs=0.05)


@pytest.mark.parametrize("decibels", [0.0, 10.0])
def test_noise_is_as_far_below_the_speech_as_asked(decibels: float) -> None:
    noise = np.random.default_rng(1).standard_normal(len(SPEECH)).astype(np.float32)
    added = with_noise(SPEECH, noise, decibels) - SPEECH
    assert 20 * np.log10(SPEECH.std() / added.std()) == pytest.approx(decibels, abs=1e-3)


def test_a_room_keeps_the_direct_sound_in_its_place() -> None:
    impulse = np.zeros(SAMPLE_RATE, np.float32)
    impulse[1000] = 1.0
    response = room(impulse, np.random.default_rng(5))
    assert not np.abs(response[:1000]).max() > 1e-5  # nothing before its cause
    assert np.abs(response[1001:1030]).max() < 1e-2 < response[1000]  # then 2 ms of silence
    early, late = np.square(response[1040:3000]).sum(), np.square(response[9000:]).sum()
    assert late < early


def test_clipping_cuts_the_loudest_samples_alone() -> None:
    heard = clipped(SPEECH, np.random.default_rng(0))
    changed = heard != SPEECH
    assert 0.02 <= changed.mean() <= 0.2
    assert np.abs(SPEECH[changed]).min() >= np.abs(SPEECH[~changed]).max()


@pytest.mark.parametrize("name", ["a_law", "mobile", "internet"])
def test_a_codec_hears_every_voice_at_one_loudness_and_gives_its_own_back(name: str) -> None:
    loud, quiet = SPEECH, SPEECH * np.float32(1e-3)
    heard = DISTORTIONS[name](loud, np.random.default_rng(0))
    again = DISTORTIONS[name](quiet, np.random.default_rng(0))
    assert _level(heard, 400, 3200) == pytest.approx(_level(loud, 400, 3200), abs=8)
    np.testing.assert_allclose(again * 1e3, heard, rtol=1e-2, atol=2e-3)

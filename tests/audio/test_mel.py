"""The mel spectrogram against NumPy's FFT, Slaney's definition written by hand, and its own rules.

Slaney's mel scale (Auditory Toolbox 1998, the default of librosa): 200/3 Hz a mel up to 1 kHz,
from there 27 mels to 6.4 kHz, logarithmic; triangles between neighbours, each of unit area.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speech2face.audio.io import decode
from speech2face.audio.mel import (
    HOP_LENGTH,
    N_BINS,
    N_MELS,
    TARGET_DBFS,
    WIN_LENGTH,
    MelSpectrogram,
    hertz_to_mel,
    mel_filterbank,
    mel_to_hertz,
    raise_volume,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def slaney_edges() -> NDArray[np.float64]:
    """The 42 corners of the 40 bands in Hz, by hand: 0 to 8000 Hz in equal steps of mel."""
    top = 15.0 + 27.0 * math.log(8.0) / math.log(6.4)  # 8 kHz in mel
    corners = []
    for number in range(42):
        mel = top * number / 41
        corners.append(200.0 / 3.0 * mel if mel < 15 else 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))
    return np.array(corners)


def slaney_filterbank() -> NDArray[np.float64]:
    """`[40, 201]`, one triangle after the other."""
    hertz = np.arange(201) * 40.0
    bank = np.zeros((40, 201))
    corners = slaney_edges()
    for band in range(40):
        lower, centre, upper = corners[band : band + 3]
        height = 2.0 / (upper - lower)  # of a triangle whose area is one
        bank[band] = np.interp(hertz, [lower, centre, upper], [0.0, height, 0.0])
    return bank


def mel_by_fft(waveform: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[L]` to `[T, 40]`: reflected at both ends, Hann, FFT, squared, one frame after the other."""
    padded = np.pad(waveform, 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = [padded[start : start + 400] for start in range(0, len(padded) - 399, 160)]
    power = [np.abs(np.fft.rfft(window * frame)) ** 2 for frame in frames]
    return np.array(power) @ slaney_filterbank().T


def loud_noise(n_samples: int, seed: int = 0) -> torch.Tensor:
    """White noise at -20 dBFS, `[1, n_samples]`, float64: its volume is left alone."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(1, n_samples, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def mel_spectrogram() -> MelSpectrogram:
    return MelSpectrogram()


def test_filterbank_is_slaneys() -> None:
    np.testing.assert_allclose(mel_filterbank().numpy(), slaney_filterbank(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("hertz", "mel"), [(0, 0), (500, 7.5), (1000, 15), (6400, 42)])
def test_mel_scale_has_the_values_of_its_definition(hertz: float, mel: float) -> None:
    found = hertz_to_mel(torch.tensor([hertz], dtype=torch.float64))
    assert found.item() == pytest.approx(mel, abs=1e-12)


def test_mel_scale_and_its_inverse_are_one_another() -> None:
    hertz = torch.linspace(0, 8000, 1001, dtype=torch.float64)
    torch.testing.assert_close(mel_to_hertz(hertz_to_mel(hertz)), hertz)


@pytest.mark.parametrize("n_samples", [400, 401, 559, 560, 16_000, 16_001])
def test_spectrogram_is_that_of_numpys_fft(mel_spectrogram: MelSpectrogram, n_samples: int) -> None:
    waveform = loud_noise(n_samples, seed=n_samples)
    ours = mel_spectrogram(waveform.float())[0].numpy()
    np.testing.assert_allclose(ours, mel_by_fft(waveform[0].numpy()), rtol=1e-4, atol=1e-6)


def test_spectrogram_of_speech_is_that_of_numpys_fft(mel_spectrogram: MelSpectrogram) -> None:
    speech = decode(EXAMPLES / "slt.ogg").waveform
    loud = speech / np.sqrt(np.mean(speech**2)) * 0.05  # -26 dBFS
    reference = mel_by_fft(loud.astype(np.float64))
    ours = mel_spectrogram(torch.from_numpy(loud)[None])[0].numpy()
    np.testing.assert_allclose(ours, reference, rtol=1e-3, atol=1e-7 * reference.max())


def test_convention_frame_count_is_one_more_than_the_hops(mel_spectrogram: MelSpectrogram) -> None:
    for n_samples in (96_000, 96_159, 96_160):
        shape = mel_spectrogram(torch.zeros(2, n_samples)).shape
        assert shape == (2, 1 + n_samples // HOP_LENGTH, N_MELS)


def test_convention_frame_t_is_centred_on_sample_160_t(mel_spectrogram: MelSpectrogram) -> None:
    impulse = torch.zeros(1, 16_000)
    impulse[0, 50 * HOP_LENGTH] = 100.0  # loud enough that the volume is left alone
    energy = mel_spectrogram(impulse)[0].sum(dim=-1)  # [T]
    assert energy.argmax() == 50
    torch.testing.assert_close(energy[49], energy[51])  # the window is even about its centre


def test_convention_bins_run_from_zero_to_eight_kilohertz(mel_spectrogram: MelSpectrogram) -> None:
    time = torch.arange(16_000) / 16_000  # s
    for hertz in (200.0, 1000.0, 4000.0):
        tone = 0.5 * torch.sin(2 * torch.pi * hertz * time)[None]
        loudest = int(mel_spectrogram(tone)[0, 50].argmax())
        lower, _, upper = slaney_edges()[loudest : loudest + 3]
        assert lower < hertz < upper
    assert (WIN_LENGTH, N_BINS) == (400, 201)


def test_power_has_no_logarithm(mel_spectrogram: MelSpectrogram) -> None:
    waveform = loud_noise(8000).float()
    torch.testing.assert_close(mel_spectrogram(2 * waveform), 4 * mel_spectrogram(waveform))


@pytest.mark.parametrize("gain", [1e-3, 0.1, 0.3])
def test_speech_below_minus_thirty_dbfs_sounds_the_same_at_any_gain(
    mel_spectrogram: MelSpectrogram, gain: float
) -> None:
    quiet = loud_noise(8000).float() * 0.3  # -30.5 dBFS
    expected = mel_spectrogram(quiet)
    torch.testing.assert_close(mel_spectrogram(gain * quiet), expected, rtol=1e-4, atol=1e-6)


def test_quiet_speech_is_raised_to_the_target_and_loud_speech_is_left_alone() -> None:
    noise = loud_noise(8000)
    raised = raise_volume(1e-3 * noise)
    decibels = 10 * torch.log10(raised.square().mean()).item()
    assert decibels == pytest.approx(TARGET_DBFS, abs=1e-9)
    torch.testing.assert_close(raise_volume(noise), noise, rtol=0, atol=0)


def test_volume_is_judged_voice_by_voice() -> None:
    loud, quiet = loud_noise(8000), 1e-3 * loud_noise(8000, seed=1)
    both = raise_volume(torch.cat([loud, quiet]))
    torch.testing.assert_close(both, torch.cat([raise_volume(loud), raise_volume(quiet)]))


def test_silence_stays_silent(mel_spectrogram: MelSpectrogram) -> None:
    assert not mel_spectrogram(torch.zeros(1, 8000)).any()


def test_what_is_derived_from_constants_is_no_part_of_a_checkpoint(
    mel_spectrogram: MelSpectrogram,
) -> None:
    assert not mel_spectrogram.state_dict()

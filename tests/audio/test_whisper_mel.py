"""The front end of Whisper against its definition, written out in NumPy and SciPy."""

import numpy as np
import torch
from scipy.signal import get_window

from speech2face.audio.whisper_mel import mel_triangles, whisper_mel


def test_a_sound_is_transformed_as_the_definition_says() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000  # s
    speech = 0.3 * np.sin(2 * np.pi * 440 * time) + 0.01 * rng.normal(size=16_000)
    found = whisper_mel(torch.from_numpy(speech).float()).numpy()
    assert found.shape == (80, 3000)
    padded = np.pad(np.concatenate([speech, np.zeros(464_000)]), 200, mode="reflect")
    window = get_window("hann", 400)
    bank = mel_triangles().double().numpy()
    frames = [np.fft.rfft(padded[start : start + 400] * window) for start in range(0, 16_000, 160)]
    logarithm = np.log10(np.maximum(bank @ np.abs(np.array(frames).T) ** 2, 1e-10))
    expected = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    np.testing.assert_allclose(found[:, :100], expected, atol=1e-3)
    assert (found[:, 110:] == found.min()).all()  # silence


def test_bands_are_slaneys() -> None:
    """Centres by hand: 2595 is HTK's; Slaney's are even in hertz up to 1 kHz, then in ratio."""
    bank = mel_triangles().numpy()
    bins = np.linspace(0, 8000, 201)
    centres = (bank * bins).sum(axis=1) / bank.sum(axis=1)
    low, high = centres[8:20], centres[40:]
    np.testing.assert_allclose(np.diff(low), 37.2, atol=5)  # 45.25 mel over 81 steps of 66.7 Hz
    ratios = high[1:] / high[:-1]
    np.testing.assert_allclose(ratios, 6.4 ** (45.2456 / 81 / 27), rtol=4e-3)
    areas = bank[20:].sum(axis=1) * 40  # Hz between bins: every triangle has area one
    np.testing.assert_allclose(areas, 1, atol=0.1)


def test_only_thirty_seconds_are_heard() -> None:
    speech = torch.randn(40 * 16_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whisper_mel(speech), whisper_mel(speech[: 30 * 16_000]))

"""The papers' forms of sound and photos against SciPy, NumPy and pictures whose answer is known."""

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from speech2face.baselines.front_ends import (
    FRONT_ENDS,
    KIM_SAMPLES,
    crop,
    kim_face,
    kim_voices,
    log_mel,
    log_mel_voices,
    mel_bands,
    svhf_face,
    svhf_voices,
    two_sided_spectrum,
    wav2pix_voices,
)

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype("f4")


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_convention_the_spectrum_of_svhf_is_two_sided_and_its_bins_are_normalised() -> None:
    rows = two_sided_spectrum(noise(4), rng())
    assert rows.shape == (512, 398)
    torch.testing.assert_close(rows[257:], rows[1:256].flip(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(512), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.std(dim=1), torch.ones(512), atol=1e-4, rtol=0)


def test_a_tone_that_begins_late_is_where_and_when_it_sounds() -> None:
    time = np.arange(4 * RATE) / RATE
    tone = (0.3 * np.sin(2 * np.pi * 2000 * time) * (time > 2)).astype(np.float32)
    rows = two_sided_spectrum(tone + noise(4) / 1000, rng())
    assert (rows[64, 210:] > 0.5).all() and (rows[64, :190] < -0.5).all()  # 2000 / 16000 * 512


def test_a_short_recording_is_repeated_and_all_parts_have_one_length() -> None:
    assert svhf_voices([noise(1), noise(5)], rng()).shape == (2, 1, 512, 300)
    batch = log_mel_voices([noise(1), noise(9)], rng())
    assert batch.shape[:2] == (2, 64) and 300 <= batch.shape[2] <= 800


def test_log_mel_frames_are_those_of_scipy() -> None:
    ours = log_mel(noise(4), 300).double().numpy()
    frames = ShortTimeFFT(hann(400, sym=False), hop=160, fs=RATE, mfft=1024)
    # Their frame p begins 200 samples before sample 160 p; ours begins at sample 160 p.
    delayed = np.concatenate([np.zeros(120), noise(4).astype(np.float64)])
    power = np.abs(frames.stft(delayed, p0=2, p1=2 + ours.shape[1])) ** 2
    theirs = np.log(mel_bands().numpy().T @ power)
    theirs -= theirs.mean(axis=1, keepdims=True)
    theirs /= theirs.std(axis=1, ddof=1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_low_tone_is_in_a_low_band_and_bands_cover_20_to_7200_hertz() -> None:
    bands = mel_bands()
    hertz = torch.linspace(0, 8000, 513)
    inside = (hertz > 100) & (hertz < 7000)
    assert (bands.sum(dim=1)[inside] > 0.4).all()
    assert (bands[hertz > 7200] == 0).all() and (bands[hertz < 20] == 0).all()
    assert (bands.max(dim=0).indices.diff() >= 0).all()


def test_kim_hears_ten_seconds_at_22050_hertz() -> None:
    time = np.arange(3 * RATE) / RATE
    (waveform,) = kim_voices([np.sin(2 * np.pi * 441 * time).astype(np.float32) / 2], rng())[0]
    assert waveform.shape == (KIM_SAMPLES,)
    spectrum = waveform[:22_050].double().numpy()  # the first second: 441 periods
    assert np.abs(np.fft.rfft(spectrum)).argmax() == 441
    assert np.abs(spectrum).max() == pytest.approx(16_384, rel=0.01)
    torch.testing.assert_close(waveform[:1000], waveform[3 * 22_050 : 3 * 22_050 + 1000])


def test_wav2pix_hears_the_middle_second() -> None:
    ramp = np.linspace(-1, 1, 3 * RATE, dtype=np.float32)
    (second,) = wav2pix_voices([ramp], rng())[0]
    middle = ramp[RATE : 2 * RATE] / np.abs(ramp[RATE : 2 * RATE]).max()
    expected = middle - 0.95 * np.concatenate([[0], middle[:-1]])
    np.testing.assert_allclose(second.numpy(), expected, atol=1e-6)
    assert torch.isfinite(wav2pix_voices([np.zeros(RATE, np.float32)], rng())).all()


def test_what_is_heard_of_a_recording_does_not_depend_on_those_before_it() -> None:
    for front_end in FRONT_ENDS.values():
        alone = front_end.voices([noise(9, 1)], np.random.default_rng(2))
        front_end.voices([noise(4, 7)], np.random.default_rng(3))
        assert torch.equal(front_end.voices([noise(9, 1)], np.random.default_rng(2)), alone)


def test_convention_kim_sees_blue_first_and_less_a_mean_colour() -> None:
    photo = np.zeros((300, 200, 3), np.uint8)
    photo[..., 2] = 200
    face = kim_face(photo, np.zeros((68, 2)))
    assert face.shape == (3, 224, 224)
    torch.testing.assert_close(face[:, 5, 5], torch.tensor([200.0 - 104, -117, -124]))


def test_svhf_sees_the_middle_of_a_photo() -> None:
    photo = np.full((400, 400, 3), 10, np.uint8)
    photo[30:370, 30:370] = 250  # 0.85 of each side
    face = svhf_face(photo, np.zeros((68, 2)))
    assert face.shape == (3, 224, 224) and face.min() > 100


def test_a_part_is_a_part() -> None:
    rows = torch.arange(20.0).view(2, 10)
    part = crop(rows, 4, rng())
    start = int(part[0, 0])
    assert torch.equal(part, rows[:, start : start + 4])

"""The log mel filterbank against Kaldi's own code, and against its conventions written by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speech2face.audio.fbank import (
    HOP_LENGTH,
    N_BINS,
    N_MELS,
    WIN_LENGTH,
    LogMelFilterbank,
    hertz_to_mel,
    mel_filterbank,
    povey_window,
)
from speech2face.audio.io import decode

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def kaldis(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[L]` to `[T, 80]` by Kaldi's C++."""
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = 16_000
    options.frame_opts.window_type = "povey"
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = 80
    fbank = kaldi.OnlineFbank(options)
    fbank.accept_waveform(16_000, (waveform * 32768).tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])


def mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def triangles() -> NDArray[np.float64]:
    """`[80, 257]`, one triangle after the other, by interpolation between its corners."""
    places = [mel(number * 16_000 / 512) for number in range(257)]
    corners = np.linspace(mel(20), mel(8000), 82)
    bands = range(80)
    return np.array([np.interp(places, corners[n : n + 3], [0.0, 1.0, 0.0]) for n in bands])


def by_hand(waveform: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[L]` to `[T, 80]`: frame by frame, step by step, in float64."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        frame = 32768 * waveform[start : start + 400]
        frame = frame - frame.mean()
        emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(emphasised * window, 512)) ** 2
        rows.append(np.log(np.maximum(triangles() @ power, 2.0**-23)))
    return np.array(rows)


def noise(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """White noise at -20 dBFS."""
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(n_samples)).astype(np.float32)


@pytest.fixture(scope="module")
def fbank() -> LogMelFilterbank:
    return LogMelFilterbank()


def ours(fbank: LogMelFilterbank, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    features: NDArray[np.float32] = fbank(torch.from_numpy(waveform)[None])[0].numpy()
    return features


@pytest.mark.parametrize("voice", ["slt", "rms", "awb", "kal16"])
def test_features_of_speech_are_kaldis(fbank: LogMelFilterbank, voice: str) -> None:
    waveform = decode(EXAMPLES / f"{voice}.ogg").waveform
    difference = np.abs(ours(fbank, waveform) - kaldis(waveform))
    # Kaldi sums in float32 as well: in the faintest bands both are off, to either side.
    assert difference.max() < 5e-3
    assert difference.mean() < 1e-4


@pytest.mark.parametrize("n_samples", [400, 559, 560, 16_000, 16_001])
def test_features_of_noise_are_kaldis(fbank: LogMelFilterbank, n_samples: int) -> None:
    waveform = noise(n_samples, seed=n_samples)
    np.testing.assert_allclose(ours(fbank, waveform), kaldis(waveform), rtol=0, atol=1e-3)


@pytest.mark.parametrize("voice", ["slt", "rms"])
def test_features_of_speech_are_those_of_the_definition(
    fbank: LogMelFilterbank, voice: str
) -> None:
    waveform = decode(EXAMPLES / f"{voice}.ogg").waveform[:32_000]
    expected = by_hand(waveform.astype(np.float64))
    np.testing.assert_allclose(ours(fbank, waveform), expected, rtol=0, atol=5e-3)


def test_triangles_are_straight_on_the_mel_axis() -> None:
    np.testing.assert_allclose(mel_filterbank().numpy(), triangles()[:, :256], atol=1e-12)
    assert not triangles()[:, 256].any()  # the last bin, which is left out, belongs to no band
    assert (N_BINS, N_MELS, WIN_LENGTH) == (256, 80, 400)


@pytest.mark.parametrize("hertz", [0.0, 20.0, 1000.0, 8000.0])
def test_mel_scale_is_htks(hertz: float) -> None:
    found = hertz_to_mel(torch.tensor([hertz], dtype=torch.float64)).item()
    assert found == pytest.approx(2595 * math.log10(1 + hertz / 700), rel=2e-4)


def test_convention_window_begins_and_ends_with_zero() -> None:
    window = povey_window()
    assert window[0] == window[-1] == 0.0
    torch.testing.assert_close(window, window.flip(0))
    assert window[100].item() == pytest.approx(math.sin(math.pi * 100 / 399) ** 1.7)


def test_convention_frames_lie_wholly_within_the_speech(fbank: LogMelFilterbank) -> None:
    for n_samples, n_frames in ((400, 1), (559, 1), (560, 2), (48_000, 298), (96_000, 598)):
        assert fbank(torch.zeros(2, n_samples)).shape == (2, n_frames, N_MELS)


def test_convention_frame_t_begins_at_sample_160_t(fbank: LogMelFilterbank) -> None:
    waveform = noise(4000)
    for frame in (0, 7):
        begin = frame * HOP_LENGTH
        alone = ours(fbank, waveform[begin : begin + WIN_LENGTH])
        np.testing.assert_allclose(ours(fbank, waveform)[frame], alone[0], atol=1e-5)


def test_tone_is_loudest_in_the_band_around_it(fbank: LogMelFilterbank) -> None:
    time = np.arange(16_000) / 16_000  # s
    corners = np.linspace(mel(20), mel(8000), 82)
    for hertz in (200.0, 1000.0, 4000.0):
        tone = (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        loudest = int(ours(fbank, tone)[50].argmax())
        assert corners[loudest] < mel(hertz) < corners[loudest + 2]


def test_gain_adds_its_logarithm(fbank: LogMelFilterbank) -> None:
    louder = ours(fbank, 2 * noise(8000)) - ours(fbank, noise(8000))
    np.testing.assert_allclose(louder, 2 * math.log(2), atol=1e-5)


def test_offset_is_not_heard(fbank: LogMelFilterbank) -> None:
    """An offset as large as the speech itself cancels in the kernels, float32 as they are."""
    waveform = noise(8000)
    np.testing.assert_allclose(ours(fbank, waveform + 0.1), ours(fbank, waveform), atol=1e-3)


def test_silence_is_the_floor_of_kaldi(fbank: LogMelFilterbank) -> None:
    silence = np.zeros(800, np.float32)
    np.testing.assert_array_equal(ours(fbank, silence), np.float32(math.log(2.0**-23)))
    np.testing.assert_allclose(ours(fbank, silence), kaldis(silence), rtol=1e-6)


def test_what_is_derived_from_constants_is_no_part_of_a_checkpoint(
    fbank: LogMelFilterbank,
) -> None:
    assert not fbank.state_dict()

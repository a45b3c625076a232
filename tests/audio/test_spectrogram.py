"""The complex spectrogram against an FFT written out frame by frame, and its conventions."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from speech2face.audio.segment import N_SAMPLES
from speech2face.audio.spectrogram import (
    HOP_LENGTH,
    N_BINS,
    N_FFT,
    N_FRAMES,
    WIN_LENGTH,
    ComplexSpectrogram,
    complex_spectrogram,
    compress,
)
from speech2face.errors import Speech2FaceError


def speech_like(n_samples: int, n_waveforms: int = 1, seed: int = 0) -> Tensor:
    """Noise under a slow envelope, with digital silence in between."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_waveforms, n_samples, generator=generator, dtype=torch.float64)
    envelope = torch.sin(torch.arange(n_samples, dtype=torch.float64) / 3000).clamp(min=0)
    return 0.1 * noise * envelope


def reference(waveform: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Frame by frame with NumPy's FFT, `[L]` to `[2, 257, T]`."""
    n = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    columns = []
    for start in range(0, len(waveform) - 400 + 1, 160):
        spectrum = np.fft.rfft(waveform[start : start + 400] * window, n=512)
        columns.append([spectrum.real, spectrum.imag])
    parts = np.array(columns).transpose(1, 2, 0)
    return np.sign(parts) * np.abs(parts) ** power


@pytest.mark.parametrize("n_samples", [400, 559, 560, 8_001, 16_000])
def test_spectrum_equals_numpys_fft(n_samples: int) -> None:
    waveform = speech_like(n_samples, n_waveforms=2)
    spectrum = complex_spectrogram(waveform, power=1.0)
    for index in range(2):
        expected = reference(waveform[index].numpy(), power=1.0)
        np.testing.assert_allclose(spectrum[index], expected, rtol=0, atol=1e-12)


def test_compressed_spectrum_equals_numpys_fft_to_a_power() -> None:
    waveform = speech_like(16_000)
    expected = reference(waveform[0].numpy(), power=0.3)
    # 0.3 turns a rounding error of 1e-14 near zero into 6e-5.
    np.testing.assert_allclose(complex_spectrogram(waveform)[0], expected, rtol=0, atol=2e-4)
    is_loud = np.abs(expected) > 1e-2
    np.testing.assert_allclose(
        complex_spectrogram(waveform)[0][is_loud], expected[is_loud], atol=1e-9
    )


def test_float32_is_within_a_hundred_thousandth_of_float64() -> None:
    waveform = speech_like(16_000)
    single = complex_spectrogram(waveform.float(), power=1.0).double()
    assert (single - complex_spectrogram(waveform, power=1.0)).abs().max() < 1e-5


@pytest.mark.parametrize(("seconds", "expected"), [(6, 598), (3, 298)])
def test_convention_six_seconds_are_598_frames_and_three_are_298(
    seconds: int, expected: int
) -> None:
    spectrogram = complex_spectrogram(torch.zeros(1, seconds * 16_000))
    assert spectrogram.shape == (1, 2, 257, expected)


def test_constants_are_those_of_table_1() -> None:
    assert (WIN_LENGTH, HOP_LENGTH, N_FFT, N_BINS, N_FRAMES) == (400, 160, 512, 257, 598)


def test_convention_phase_is_measured_from_the_first_sample_of_a_frame() -> None:
    impulse = torch.zeros(1, N_SAMPLES, dtype=torch.float64)
    impulse[0, 200] = 1.0  # the window's peak in frame 0
    real, imaginary = complex_spectrogram(impulse, power=1.0)[0, :, :, 0]
    angle = 2 * torch.pi * torch.arange(N_BINS, dtype=torch.float64) * 200 / N_FFT
    torch.testing.assert_close(real, angle.cos())
    torch.testing.assert_close(imaginary, -angle.sin())


@pytest.mark.parametrize("sample", [0, 1, 37, 200, 363, 399])
def test_convention_window_is_the_periodic_hann(sample: int) -> None:
    impulse = torch.zeros(1, 400, dtype=torch.float64)
    impulse[0, sample] = 1.0
    real, imaginary = complex_spectrogram(impulse, power=1.0)[0, :, :, 0]
    periodic = np.sin(np.pi * sample / 400) ** 2  # the symmetric one divides by 399
    torch.testing.assert_close(
        real.square() + imaginary.square(), torch.full_like(real, periodic**2)
    )


def test_convention_frames_start_every_160_samples() -> None:
    waveform = speech_like(4_000)
    later = complex_spectrogram(waveform[:, 160:])
    torch.testing.assert_close(complex_spectrogram(waveform)[..., 1 : later.shape[-1] + 1], later)


def test_convention_the_end_that_fills_no_frame_is_dropped() -> None:
    waveform = speech_like(400 + 160 * 5 + 159)
    changed = waveform.clone()
    changed[:, 400 + 160 * 5 :] = 9.0
    assert torch.equal(complex_spectrogram(waveform), complex_spectrogram(changed))


def test_real_and_imaginary_part_are_compressed_independently() -> None:
    spectrum = torch.tensor([[-0.008, 0.5], [32.0, -1e-9]], dtype=torch.float64)
    expected = [[-(0.008**0.3), 0.5**0.3], [32**0.3, -(1e-9**0.3)]]
    torch.testing.assert_close(compress(spectrum), torch.tensor(expected, dtype=torch.float64))
    magnitude = spectrum.norm(dim=0)  # what must not be compressed
    assert not torch.allclose(compress(spectrum).norm(dim=0), magnitude**0.3)


def test_silence_is_zero_and_so_are_the_imaginary_parts_at_0_and_8_kilohertz() -> None:
    assert torch.equal(complex_spectrogram(torch.zeros(1, 800)), torch.zeros(1, 2, 257, 3))
    imaginary = complex_spectrogram(speech_like(4_000).float())[:, 1]  # [B, 257, T]
    assert torch.equal(imaginary[:, [0, -1]], torch.zeros_like(imaginary[:, [0, -1]]))


def test_gradient_is_finite_on_digital_silence() -> None:
    waveform = torch.zeros(1, 1_200, dtype=torch.float64)
    waveform[0, 700:900] = speech_like(4_000)[0, 1_000:1_200]
    waveform.requires_grad_()
    complex_spectrogram(waveform).square().sum().backward()
    assert waveform.grad.isfinite().all()
    assert waveform.grad.abs().max() > 0


def test_gradient_of_the_compression_passes_gradcheck() -> None:
    spectrum = torch.tensor([-2.0, -0.3, 0.05, 1.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(compress, spectrum)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_exported_spectrogram_takes_any_length() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = io.BytesIO()
    torch.onnx.export(
        ComplexSpectrogram(),
        (torch.zeros(1, 2_000),),
        graph,
        input_names=["waveform"],
        output_names=["spectrogram"],
        dynamic_axes={"waveform": {1: "L"}, "spectrogram": {3: "T"}},
        dynamo=False,
        opset_version=17,
    )
    session = onnxruntime.InferenceSession(graph.getvalue())
    for n_samples in (400, 2_000, 48_000):
        waveform = speech_like(n_samples, seed=n_samples).float()
        (exported,) = session.run(None, {"waveform": waveform.numpy()})
        expected = complex_spectrogram(waveform)
        assert exported.shape == expected.shape
        # Where a value is near 0 the power law magnifies rounding; undo it to compare.
        undone = compress(torch.from_numpy(exported), 1 / 0.3)
        torch.testing.assert_close(undone, compress(expected, 1 / 0.3), rtol=1e-4, atol=1e-5)


def test_a_waveform_shorter_than_a_frame_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="399 samples.*repeat"):
        complex_spectrogram(torch.zeros(1, 399))


def test_a_waveform_without_a_batch_axis_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\[B, L\]"):
        complex_spectrogram(torch.zeros(16_000))

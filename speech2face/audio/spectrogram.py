"""The paper's front end: the complex spectrum of speech, compressed by a power law.

Conventions, each pinned by a `test_convention_*`:

* Frames are cut at 400 samples, every 160, with no centring and no padding at either end, so six
  seconds give 598 of them and three seconds 298. (`torch.stft` with `n_fft=512, win_length=400`
  frames by 512: 597.)
* A frame is multiplied by a periodic Hann window and zero-padded *at its end* to 512 samples. So
  the phase is that of a frame's first sample; centring the frame in the 512 would change it.
* Real and imaginary part are compressed separately, keep their signs, and are the two channels.

Framing, window and Fourier transform are one convolution with windowed cosines and sines: that form
exports to ONNX at any length, and a test compares it with NumPy's FFT. Source: Oh et al. 2019,
section 3 and Table 1; Ephrat et al. 2018.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.audio.segment import N_SAMPLES
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.errors import Speech2FaceError

WIN_LENGTH = SAMPLE_RATE * 25 // 1000  # 400 samples: 25 ms
HOP_LENGTH = SAMPLE_RATE * 10 // 1000  # 160 samples: 10 ms
N_FFT = 512
N_BINS = N_FFT // 2 + 1  # 257
POWER = 0.3


def n_frames(n_samples: int) -> int:
    """Frames in a waveform of that many samples."""
    return 1 + (n_samples - WIN_LENGTH) // HOP_LENGTH


N_FRAMES = n_frames(N_SAMPLES)
assert (N_FRAMES, N_BINS) == (598, 257)  # the input of Table 1


def complex_spectrogram(waveform: Tensor, power: float = POWER) -> Tensor:
    """Power-law compressed spectrum of 16 kHz speech, `[B, L]` to `[B, 2, 257, T]`.

    Args:
        waveform: mono at 16 kHz, `[B, L]`, L >= 400 samples.
        power: exponent p of sgn(S) |S|^p; 1 leaves the spectrum as it is.

    Returns:
        Real part, then imaginary part, `[B, 2, 257, T]` with T = 1 + (L - 400) // 160.

    Raises:
        Speech2FaceError: not `[B, L]`, or shorter than one frame.
    """
    if not torch.onnx.is_in_onnx_export():  # there the length is a tensor
        _check_waveform(waveform)
    kernels = _fourier_kernels().to(waveform)  # [514, 1, 400]
    spectrum = F.conv1d(waveform[:, None], kernels, stride=HOP_LENGTH)  # [B, 514, T]
    return compress(spectrum.unflatten(1, (2, N_BINS)), power)  # [B, 2, 257, T]


def compress(spectrum: Tensor, power: float = POWER) -> Tensor:
    """sgn(S) |S|^power of every entry.

    The slope is infinite at 0, where digital silence lies. The gradient there is defined as 0.
    """
    magnitude = spectrum.abs()
    magnitude = torch.where(magnitude > 0, magnitude, 1.0)  # the sign below is 0 there
    return spectrum.sign() * magnitude**power


class ComplexSpectrogram(nn.Module):
    """Same as `complex_spectrogram`, with `power` stored."""

    def __init__(self, power: float = POWER) -> None:
        super().__init__()
        self.power = power

    def forward(self, waveform: Tensor) -> Tensor:
        return complex_spectrogram(waveform, self.power)


@functools.cache
def _fourier_kernels() -> Tensor:
    """Windowed cosines, then windowed negative sines, of every bin: `[514, 1, 400]`, float64."""
    steps = torch.arange(N_BINS)[:, None] * torch.arange(WIN_LENGTH) % N_FFT  # [257, 400]
    turn = 2 * torch.pi * torch.arange(N_FFT, dtype=torch.float64) / N_FFT  # [512]
    cosine, sine = turn.cos(), turn.sin()
    # Rounding leaves 1e-16 where the circle crosses an axis. The power law would make 1e-5 of it.
    cosine[[N_FFT // 4, 3 * N_FFT // 4]] = 0.0
    sine[[0, N_FFT // 2]] = 0.0
    window = torch.hann_window(WIN_LENGTH, periodic=True, dtype=torch.float64)  # [400]
    return torch.cat([cosine[steps] * window, -sine[steps] * window])[:, None]


def _check_waveform(waveform: Tensor) -> None:
    if waveform.ndim != 2:
        raise Speech2FaceError(f"waveform {tuple(waveform.shape)}", "expected `[B, L]`, mono")
    if waveform.shape[1] < WIN_LENGTH:
        problem = f"a waveform of {waveform.shape[1]} samples is shorter than one frame"
        raise Speech2FaceError(problem, f"repeat it to {WIN_LENGTH} samples or more")

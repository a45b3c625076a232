"""Kaldi's log mel filterbank: the front end of the compact voice encoder.

These are the features that the pretrained speaker encoder (CAM++) was trained on: Kaldi's
`compute-fbank-feats` without dither. Samples are scaled to the range of 16 bits. Frames of 25 ms,
one every 10 ms, lie wholly within the speech (`snip_edges`). The mean of each frame is subtracted,
pre-emphasis is 0.97 (the first sample of a frame is its own predecessor), and the window is
Povey's. The power spectrum of a 512-point FFT goes through 80 triangular filters of height one,
which are linear on the mel scale from 20 Hz to 8 kHz, and the logarithm is natural.

Subtracting the mean, pre-emphasis, window and Fourier transform are linear in a frame, so together
they are one convolution. That form exports to ONNX at any length. A test compares it with Kaldi's
own code.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.audio.speech import SAMPLE_RATE

WIN_LENGTH = SAMPLE_RATE * 25 // 1000  # 400 samples: 25 ms
HOP_LENGTH = SAMPLE_RATE * 10 // 1000  # 160 samples: 10 ms
N_FFT = 512  # the frame is followed by zeros
N_BINS = N_FFT // 2  # the last bin, 8 kHz, lies on the upper edge of the last triangle
N_MELS = 80
LOWEST_HERTZ, HIGHEST_HERTZ = 20.0, SAMPLE_RATE / 2
FULL_SCALE = 32768.0  # Kaldi reads samples of 16 bits as they are
PREEMPHASIS = 0.97
_POVEY_EXPONENT = 0.85
_FLOOR = torch.finfo(torch.float32).eps  # of a band's power, as in Kaldi


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """Kaldi's mel scale, that of HTK with a natural logarithm."""
    return 1127.0 * torch.log1p(hertz / 700.0)


def mel_filterbank() -> Tensor:
    """Triangles over the FFT bins, `[N_MELS, N_BINS]`, float64; straight in mel, not in hertz."""
    ends = torch.tensor([LOWEST_HERTZ, HIGHEST_HERTZ], dtype=torch.float64)
    lowest, highest = hertz_to_mel(ends)
    steps = torch.linspace(0.0, 1.0, N_MELS + 2, dtype=torch.float64)
    edges = lowest + steps * (highest - lowest)  # [82] mel
    bins = hertz_to_mel(torch.arange(N_BINS, dtype=torch.float64) * SAMPLE_RATE / N_FFT)  # [256]
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - lower) / (centre - lower)  # [80, 256]
    falling = (upper - bins) / (upper - centre)  # [80, 256]
    return torch.minimum(rising, falling).clamp(min=0.0)


def povey_window() -> Tensor:
    """A symmetric Hann window to the power 0.85, `[WIN_LENGTH]`, float64."""
    hann = torch.hann_window(WIN_LENGTH, periodic=False, dtype=torch.float64)
    return hann**_POVEY_EXPONENT


def frame_kernels() -> Tensor:
    """What leads from a frame to its spectrum, `[2 * N_BINS, 1, WIN_LENGTH]`, float64.

    Real parts of every bin, then imaginary ones with the opposite sign (power needs no sign). The
    product of matrices is made in float64: the mean and most of the low frequencies cancel in it.
    """
    identity = torch.eye(WIN_LENGTH, dtype=torch.float64)
    centring = identity - 1.0 / WIN_LENGTH
    before = identity.roll(-1, dims=1).tril()  # [400, 400]: picks the sample before ...
    before[0, 0] = 1.0  # ... and the first one for itself
    shaping = povey_window()[:, None] * ((identity - PREEMPHASIS * before) @ centring)
    sample = torch.arange(WIN_LENGTH, dtype=torch.float64)
    angle = 2 * torch.pi / N_FFT * torch.arange(N_BINS, dtype=torch.float64)[:, None] * sample
    fourier = torch.cat([angle.cos(), angle.sin()])  # [512, 400]
    return (FULL_SCALE * fourier @ shaping)[:, None]  # [512, 1, 400]


class LogMelFilterbank(nn.Module):
    """Waveforms `[B, L]` at 16 kHz in -1..1 to log mel power `[B, T, 80]`.

    T = 1 + (L - 400) // 160; L is 400 or more.
    """

    kernels: Tensor
    filterbank: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Both are derived from constants above, so they are no part of a checkpoint.
        self.register_buffer("kernels", frame_kernels().float(), persistent=False)
        self.register_buffer("filterbank", mel_filterbank().float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        parts = F.conv1d(waveform[:, None], self.kernels, stride=HOP_LENGTH)  # [B, 512, T]
        power = parts[:, :N_BINS].square() + parts[:, N_BINS:].square()  # [B, 256, T]
        bands: Tensor = self.filterbank @ power  # [B, 80, T]
        return bands.clamp(min=_FLOOR).log().transpose(1, 2)  # [B, T, 80]

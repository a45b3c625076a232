"""Mel power spectrogram: the front end of the compact voice encoder.

It reproduces the features that the pretrained speaker encoder (Resemblyzer, GE2E) was trained on:
25-ms periodic Hann frames every 10 ms, *centred* (reflected at both ends), squared magnitude,
40 triangular bands on Slaney's mel scale, each of unit area, and **no** logarithm. Speech that is
quieter than -30 dBFS is raised to that level first, louder speech is left alone.

Framing and Fourier transform are one convolution with windowed cosines and sines, because that
form exports to ONNX exactly at any length; a test holds it against NumPy's FFT.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.audio.io import SAMPLE_RATE

WIN_LENGTH = SAMPLE_RATE * 25 // 1000  # 400 samples: 25 ms, also the FFT length
HOP_LENGTH = SAMPLE_RATE * 10 // 1000  # 160 samples: 10 ms
N_BINS = WIN_LENGTH // 2 + 1  # 201
N_MELS = 40
TARGET_DBFS = -30.0
_MINIMUM_POWER = 1e-10  # -100 dBFS: below it the gain is not raised further
_LOG_STEP = math.log(6.4) / 27.0  # 27 mels lead from 1 kHz to 6.4 kHz


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """Slaney's scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above."""
    logarithmic = 15.0 + torch.log(hertz.clamp(min=1000.0) / 1000.0) / _LOG_STEP
    return torch.where(hertz < 1000.0, hertz * 3.0 / 200.0, logarithmic)


def mel_to_hertz(mel: Tensor) -> Tensor:
    """Inverse of `hertz_to_mel`."""
    return torch.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * torch.exp((mel - 15.0) * _LOG_STEP))


def mel_filterbank() -> Tensor:
    """Triangles of unit area over the FFT bins, `[N_MELS, N_BINS]`, float64."""
    top = hertz_to_mel(torch.tensor(SAMPLE_RATE / 2, dtype=torch.float64))
    mels = torch.linspace(0.0, 1.0, N_MELS + 2, dtype=torch.float64) * top
    edges = mel_to_hertz(mels)  # [42] Hz
    bins = torch.linspace(0.0, SAMPLE_RATE / 2, N_BINS, dtype=torch.float64)  # [201] Hz
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - lower) / (centre - lower)  # [40, 201]
    falling = (upper - bins) / (upper - centre)  # [40, 201]
    return torch.minimum(rising, falling).clamp(min=0.0) * 2.0 / (upper - lower)


def fourier_kernels() -> Tensor:
    """Windowed cosines, then sines, of every bin: `[2 * N_BINS, 1, WIN_LENGTH]`, float64."""
    sample = torch.arange(WIN_LENGTH, dtype=torch.float64)
    angle = 2 * torch.pi * torch.arange(N_BINS, dtype=torch.float64)[:, None] * sample / WIN_LENGTH
    window = torch.hann_window(WIN_LENGTH, periodic=True, dtype=torch.float64)
    return (torch.cat([angle.cos(), angle.sin()]) * window)[:, None]  # [402, 1, 400]


def raise_volume(waveform: Tensor) -> Tensor:
    """Waveforms `[B, L]` brought up to -30 dBFS; those already louder are unchanged."""
    power = waveform.square().mean(dim=-1, keepdim=True).clamp(min=_MINIMUM_POWER)  # [B, 1]
    gain = (10.0 ** (TARGET_DBFS / 20.0)) / power.sqrt()
    raised: Tensor = waveform * gain.clamp(min=1.0)
    return raised


class MelSpectrogram(nn.Module):
    """Waveforms `[B, L]` at 16 kHz to mel power `[B, T, 40]`, with T = 1 + L // 160."""

    kernels: Tensor
    filterbank: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Both are derived from constants above, so they are no part of a checkpoint.
        self.register_buffer("kernels", fourier_kernels().float(), persistent=False)
        self.register_buffer("filterbank", mel_filterbank().float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        half = WIN_LENGTH // 2
        padded = F.pad(raise_volume(waveform)[:, None], (half, half), mode="reflect")
        parts = F.conv1d(padded, self.kernels, stride=HOP_LENGTH)  # [B, 402, T]
        power = parts[:, :N_BINS].square() + parts[:, N_BINS:].square()  # [B, 201, T]
        mel: Tensor = self.filterbank @ power  # [B, 40, T]
        return mel.transpose(1, 2)  # [B, T, 40]

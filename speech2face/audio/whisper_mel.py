"""The front end of Whisper: log mel power of thirty seconds, as OpenAI computes it.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.2.
Frames of 25 ms, one every 10 ms, are centred on their samples and windowed by a periodic Hann
window. Their power goes through 80 triangles of Slaney's mel scale (linear below 1 kHz, logarithmic
above), each of area one. The logarithm to base 10 is cut 8 below its maximum and scaled.
"""

import math

import torch
from torch import Tensor

from speech2face.audio.speech import SAMPLE_RATE

SECONDS = 30  # that the network always sees; shorter speech is followed by silence
N_FFT, HOP_LENGTH, N_MELS = 400, 160, 80
_BREAK_HERTZ, _HERTZ_PER_MEL = 1000.0, 200.0 / 3  # linear up to the break, which is 15 mel
_LOG_STEP = math.log(6.4) / 27  # per mel, above it
_FLOOR, _RANGE = 1e-10, 8.0  # of the power, and of its logarithm to base 10


def mel_to_hertz(mel: Tensor) -> Tensor:
    """Slaney's scale."""
    above = mel - _BREAK_HERTZ / _HERTZ_PER_MEL
    return torch.where(above < 0, mel * _HERTZ_PER_MEL, _BREAK_HERTZ * (above * _LOG_STEP).exp())


def mel_triangles() -> Tensor:
    """Weight of every bin of the spectrum in every band, `[80, 201]`; straight in hertz."""
    nyquist = SAMPLE_RATE / 2
    highest = _BREAK_HERTZ / _HERTZ_PER_MEL + math.log(nyquist / _BREAK_HERTZ) / _LOG_STEP  # mel
    edges = mel_to_hertz(torch.linspace(0.0, highest, N_MELS + 2, dtype=torch.float64))  # [82]
    bins = torch.linspace(0.0, nyquist, N_FFT // 2 + 1, dtype=torch.float64)  # [201]
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - lower) / (centre - lower), (upper - bins) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0.0) * 2.0 / (upper - lower)
    return triangles.float()


def whisper_mel(waveform: Tensor) -> Tensor:
    """Speech `[L]` at 16 kHz, cut or filled with zeros to 30 s, as `[80, 3000]`."""
    samples = waveform.new_zeros(SECONDS * SAMPLE_RATE)
    n_samples = min(len(waveform), len(samples))
    samples[:n_samples] = waveform[:n_samples]
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(samples, N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = spectrum[:, :-1].abs().square()  # [201, 3000]: the frame at the very end is left out
    logarithm = (mel_triangles() @ power).clamp(min=_FLOOR).log10()
    return (torch.maximum(logarithm, logarithm.max() - _RANGE) + 4.0) / 4.0

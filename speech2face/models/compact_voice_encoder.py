"""The compact voice encoder: a pretrained speaker encoder, then a small non-linear head.

The trunk is the GE2E network of Wan et al. (ICASSP 2018) as published with Resemblyzer: three LSTM
layers over 1.6-s windows of a mel spectrogram, then one linear layer. It was trained to tell
speakers apart and has heard thousands of them, which 700 paired clips cannot replace. The head is
kernel ridge regression written with random Fourier features (Rahimi & Recht, NeurIPS 2007): the
same function as a Gaussian kernel would give, without a single training voice stored in it.

Speech of any length is used whole: the windows' embeddings are averaged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speech2face.audio.mel import N_MELS, MelSpectrogram
from speech2face.errors import Speech2FaceError


@dataclass(frozen=True)
class CompactVoiceEncoderConfig:
    """Sizes of the trunk (fixed by the pretrained weights) and of the head (ours)."""

    feature_size: int = 160  # D: the code of a canonical face
    hidden_size: int = 256  # of each LSTM layer and of the speaker embedding
    n_layers: int = 3
    window_frames: int = 160  # 1.6 s: what the trunk was trained on
    window_hop_frames: int = 80  # 0.8 s: neighbouring windows overlap by half
    n_fourier: int = 2048  # random features of the head


class CompactVoiceEncoder(nn.Module):
    """Waveforms at 16 kHz, `[B, L]` with L of 1.6 s or more, to face features `[B, D]`."""

    embedding_mean: Tensor
    embedding_deviation: Tensor
    frequencies: Tensor
    phases: Tensor

    def __init__(self, config: CompactVoiceEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CompactVoiceEncoderConfig()
        size = config.hidden_size
        self.mel = MelSpectrogram()
        self.lstm = nn.LSTM(N_MELS, size, config.n_layers, batch_first=True)
        self.linear = nn.Linear(size, size)
        self.register_buffer("embedding_mean", torch.zeros(size))
        self.register_buffer("embedding_deviation", torch.ones(size))
        self.register_buffer("frequencies", torch.zeros(size, config.n_fourier))
        self.register_buffer("phases", torch.zeros(config.n_fourier))
        self.head = nn.Linear(config.n_fourier, config.feature_size)

    def speaker_embedding(self, waveform: Tensor) -> Tensor:
        """Mean over windows of the trunk's last layer, before ReLU and length, `[B, 256]`.

        Resemblyzer's own embedding has both. Without them the embedding keeps the loudness of each
        coordinate and predicts faces better (docs/experiments.md).
        """
        windows = self._windows(self.mel(waveform))  # [B, W, 160, 40]
        n_voices, n_windows = windows.shape[:2]
        _, (hidden, _) = self.lstm(windows.flatten(0, 1))  # [layers, B * W, 256]
        embedding = self.linear(hidden[-1])  # [B * W, 256]
        mean: Tensor = embedding.reshape(n_voices, n_windows, -1).mean(dim=1)  # [B, 256]
        return mean

    def fourier_features(self, embedding: Tensor) -> Tensor:
        """Random features whose inner products are a Gaussian kernel, `[B, 256]` to `[B, M]`."""
        standard = (embedding - self.embedding_mean) / self.embedding_deviation  # [B, 256]
        angle = standard @ self.frequencies + self.phases  # [B, M]
        features: Tensor = torch.cos(angle) * (2.0 / self.config.n_fourier) ** 0.5
        return features

    def forward(self, waveform: Tensor) -> Tensor:
        feature: Tensor = self.head(self.fourier_features(self.speaker_embedding(waveform)))
        return feature  # [B, D]

    def _windows(self, mel: Tensor) -> Tensor:
        """Overlapping windows of `[B, T, 40]`: `[B, W, window_frames, 40]`.

        They start every `window_hop_frames`; the last one is moved back to end with the speech,
        so that every frame is heard.
        """
        frames, hop = self.config.window_frames, self.config.window_hop_frames
        if not torch.onnx.is_in_onnx_export() and mel.shape[1] < frames:
            problem = f"speech of {mel.shape[1]} frames"
            raise Speech2FaceError(problem, f"give {frames} frames (1.6 s) or more: repeat it")
        last = mel.shape[1] - frames  # start of the last window
        starts = torch.arange(0, last + hop, hop, device=mel.device).clamp(max=last)  # [W]
        index = starts[:, None] + torch.arange(frames, device=mel.device)  # [W, 160]
        windows: Tensor = mel[:, index]  # [B, W, 160, 40]
        return windows


def draw_frequencies(
    size: int, n_fourier: int, *, gamma: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Frequencies `[size, M]` and phases `[M]` of the kernel exp(-gamma |x - y|^2 / size)."""
    deviation = (2.0 * gamma / size) ** 0.5
    frequencies = torch.randn(size, n_fourier, generator=generator) * deviation
    phases = torch.rand(n_fourier, generator=generator) * 2 * torch.pi
    return frequencies, phases

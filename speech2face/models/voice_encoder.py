"""The paper's voice encoder: Table 1 of Oh et al. 2019, spectrogram to face feature.

Ours where the paper is silent: padding is VALID (it gives the parameter count that a
re-implementation prints), batch norm has torch's momentum and epsilon, and the pooled map is
flattened, 57 x 512 values, because a literal 1x1 layer would leave 57 vectors instead of one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.audio.spectrogram import N_BINS
from speech2face.configuration import require_sizes
from speech2face.errors import Speech2FaceError

KERNEL = 4
PAPER_CHANNELS = (64, 64, 128, 128, 128, 256, 512, 512, 512)  # layers 1, 2, 3, 5, 7, 9, 11, 12, 13
POOLED = (3, 4, 5, 6)  # convolutions, counted from 1, that a max pool follows: layers 4, 6, 8, 10
STRIDED = (8, 9)  # convolutions with stride 2: layers 12 and 13
N_CONVOLUTIONS = len(PAPER_CHANNELS)
# Below 259 frames no position is left; the shortest input that the paper uses has 298 (3 s).
MIN_FRAMES = 298


@dataclass(frozen=True)
class VoiceEncoderConfig:
    """Sizes of the voice encoder; the defaults are Table 1. Kernels and strides are not options."""

    channels: tuple[int, ...] = PAPER_CHANNELS
    n_bins: int = N_BINS
    feature_size: int = 4096  # D: both fully connected layers
    batch_norm: bool = True  # without it: an ablation of the paper (arXiv, Fig. 9)

    def __post_init__(self) -> None:
        if len(self.channels) != N_CONVOLUTIONS:
            problem = f"channels of {len(self.channels)} layers"
            raise Speech2FaceError(problem, f"give {N_CONVOLUTIONS} numbers of channels")
        require_sizes(self, "channels", "n_bins", "feature_size")
        if self.n_pooled_bins < 1:
            raise Speech2FaceError(
                f"n_bins {self.n_bins}", "give 31 or more: the nine convolutions need them"
            )

    @property
    def n_pooled_bins(self) -> int:
        """Bins that are left after the last convolution: 57 of 257."""
        n_bins = self.n_bins
        for number in range(1, N_CONVOLUTIONS + 1):
            n_bins = (n_bins - KERNEL) // (2 if number in STRIDED else 1) + 1
        return n_bins


class ConvolutionBlock(nn.Module):
    """Convolution, ReLU, then batch norm if wanted: the order of Table 1."""

    def __init__(self, before: int, after: int, stride: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, KERNEL, stride)
        self.norm = nn.BatchNorm2d(after) if batch_norm else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        normalised: Tensor = self.norm(F.relu(self.convolution(maps)))  # [B, C, T', F']
        return normalised


class VoiceEncoder(nn.Module):
    """Complex spectrogram `[B, 2, F, T]`, T >= 298 frames, to a face feature `[B, D]`."""

    def __init__(self, config: VoiceEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VoiceEncoderConfig()
        widths = (2, *config.channels)
        layers: list[nn.Module] = []
        for number in range(1, N_CONVOLUTIONS):
            stride = 2 if number in STRIDED else 1
            before, after = widths[number - 1], widths[number]
            layers.append(ConvolutionBlock(before, after, stride, batch_norm=config.batch_norm))
            if number in POOLED:
                layers.append(nn.MaxPool2d((2, 1)))  # time only: the paper keeps frequency
        layers.append(nn.Conv2d(widths[-2], widths[-1], KERNEL, stride=2))  # 13: no activation
        self.trunk = nn.Sequential(*layers)
        self.pooled_norm = nn.BatchNorm2d(widths[-1]) if config.batch_norm else nn.Identity()
        self.hidden = nn.Linear(widths[-1] * config.n_pooled_bins, config.feature_size)
        self.feature = nn.Linear(config.feature_size, config.feature_size)

    def forward(self, spectrogram: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():  # there the length is a tensor
            self._check(spectrogram)
        maps: Tensor = self.trunk(spectrogram.transpose(2, 3))  # [B, 2, T, F] to [B, 512, T', 57]
        averaged = maps.mean(dim=2, keepdim=True)  # [B, 512, 1, 57]: over all time, layer 14
        pooled = self.pooled_norm(F.relu(averaged))  # [B, 512, 1, 57]
        hidden = F.relu(self.hidden(pooled.flatten(1)))  # [B, 4096]
        feature: Tensor = self.feature(hidden)  # [B, 4096]
        return feature

    def _check(self, spectrogram: Tensor) -> None:
        if spectrogram.ndim != 4 or spectrogram.shape[1:3] != (2, self.config.n_bins):
            problem = f"spectrogram {tuple(spectrogram.shape)}"
            raise Speech2FaceError(problem, f"expected `[B, 2, {self.config.n_bins}, T]`")
        if spectrogram.shape[3] < MIN_FRAMES:
            problem = f"a spectrogram of {spectrogram.shape[3]} frames is too short"
            remedy = f"repeat the speech before the transform, to {MIN_FRAMES} frames (3 s) or more"
            raise Speech2FaceError(problem, remedy)

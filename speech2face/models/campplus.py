"""CAM++: a D-TDNN speaker encoder with context-aware masking.

Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
Masking" (Interspeech 2023), down to the linear layer that makes a speaker embedding. The batch norm
after that layer has no weights of its own and is left out. A frame here is a column of features;
the network halves their number.

The network is frozen, so each batch norm is a scale and a shift per channel. After a convolution,
both are folded into the weights of that convolution; after a sum of earlier layers, they are an
`Affine`. So the network behaves alike in training and in use, and the weights that are rounded and
exported are those that compute.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

SEGMENT_FRAMES = 100  # of the halved frames: 2 s


@dataclass(frozen=True)
class CampplusConfig:
    """Sizes; the defaults are those of the published weights."""

    n_mels: int = 80
    front_channels: int = 32  # of the two-dimensional front end
    first_channels: int = 128  # that the first block receives
    bottleneck_channels: int = 128
    growth: int = 32  # channels that every dense layer adds
    n_layers: tuple[int, ...] = (12, 24, 16)  # of each block
    dilations: tuple[int, ...] = (1, 2, 2)  # of each block
    embedding_size: int = 192

    @property
    def n_channels(self) -> int:
        """Channels of the last frame-level layer."""
        return self.block_channels[-1]

    @property
    def block_channels(self) -> tuple[int, ...]:
        """Channels between blocks: what the first receives, then what follows each of them."""
        channels = [self.first_channels]
        for n_layers in self.n_layers:
            channels.append((channels[-1] + n_layers * self.growth) // 2)
        return tuple(channels)


class Context(NamedTuple):
    """How frames are averaged to segments and spread back to frames; the same for every layer."""

    averaging: Tensor  # [T, S]: sums to the mean of all frames and that of the segment
    segment: Tensor  # [T]: the segment that each frame belongs to


def context_of(n_frames: int, like: Tensor) -> Context:
    """Segments of `SEGMENT_FRAMES`, the last one shorter, on the device and of the type `like`."""
    segment = torch.arange(n_frames, device=like.device) // SEGMENT_FRAMES  # [T]
    n_segments = -(-n_frames // SEGMENT_FRAMES)
    member = nn.functional.one_hot(segment, n_segments).to(like.dtype)  # [T, S]
    return Context(member / member.sum(dim=0) + 1.0 / n_frames, segment)


class Affine(nn.Module):
    """One scale and one shift per channel of `[B, C, T]`: a frozen batch norm."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_channels, 1))
        self.shift = nn.Parameter(torch.zeros(n_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class ResidualBlock(nn.Module):
    """Two convolutions of `[B, C, F, T]` beside a shortcut; `stride` steps over frequencies."""

    def __init__(self, n_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_channels, n_channels, 3, stride=(stride, 1), padding=1)
        self.conv2 = nn.Conv2d(n_channels, n_channels, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Conv2d(n_channels, n_channels, 1, stride=(stride, 1))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.conv2(self.conv1(x).relu()) + self.shortcut(x)
        return added.relu()


class FrontEnd(nn.Module):
    """A residual network: log mel features `[B, F, T]` as a picture, to `[B, C * F / 8, T]`."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, n_channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(n_channels, stride) for stride in (2, 1, 2, 1))  # F / 4 after them
        )
        self.last = nn.Conv2d(n_channels, n_channels, 3, stride=(2, 1), padding=1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.blocks(self.first(features[:, None]).relu())  # [B, C, F / 4, T]
        picture: Tensor = self.last(x).relu()  # [B, C, F / 8, T]
        return picture.flatten(1, 2)


class DenseLayer(nn.Module):
    """`[B, C, T]` to `[B, growth, T]`: a dilated convolution, masked by its context.

    The mask is the same for all frames of a segment, so it is computed once per segment.
    """

    def __init__(self, n_channels: int, dilation: int, config: CampplusConfig) -> None:
        super().__init__()
        bottleneck, growth = config.bottleneck_channels, config.growth
        self.norm = Affine(n_channels)
        self.bottleneck = nn.Conv1d(n_channels, bottleneck, 1)
        self.local = nn.Conv1d(
            bottleneck, growth, 3, dilation=dilation, padding=dilation, bias=False
        )
        self.squeeze = nn.Conv1d(bottleneck, bottleneck // 2, 1)
        self.excite = nn.Conv1d(bottleneck // 2, growth, 1)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = self.bottleneck(self.norm(x).relu()).relu()  # [B, bottleneck, T]
        heard = x @ context.averaging  # [B, bottleneck, S]
        mask = self.excite(self.squeeze(heard).relu()).sigmoid()  # [B, growth, S]
        masked: Tensor = self.local(x) * mask[:, :, context.segment]
        return masked


class DenseBlock(nn.Module):
    """Dense layers, each fed by all earlier ones, then a transit that halves the channels."""

    def __init__(
        self, n_channels: int, n_halved: int, n_layers: int, dilation: int, config: CampplusConfig
    ) -> None:
        super().__init__()
        fed = [n_channels + number * config.growth for number in range(n_layers + 1)]
        self.layers = nn.ModuleList(DenseLayer(size, dilation, config) for size in fed[:-1])
        self.norm = Affine(fed[-1])
        self.transit = nn.Conv1d(fed[-1], n_halved, 1, bias=False)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x, context)], dim=1)
        halved: Tensor = self.transit(self.norm(x).relu())
        return halved


class Campplus(nn.Module):
    """Log mel features `[B, T, 80]`, each band less its mean, to statistics over time `[B, S]`."""

    def __init__(self, config: CampplusConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CampplusConfig()
        front_size = config.front_channels * config.n_mels // 8
        self.front = FrontEnd(config.front_channels)
        self.tdnn = nn.Conv1d(front_size, config.first_channels, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(
            DenseBlock(*channels, n_layers, dilation, config)
            for channels, n_layers, dilation in zip(
                pairwise(config.block_channels), config.n_layers, config.dilations, strict=True
            )
        )
        self.norm = Affine(config.n_channels)
        self.embedding = nn.Linear(2 * config.n_channels, config.embedding_size, bias=False)

    def frames(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Frames behind the last block but one, and those of the last layer, `[B, 512, T']` each.

        T' = (T + 1) // 2.
        """
        x = self.tdnn(self.front(features.transpose(1, 2))).relu()  # [B, 128, T']
        context = context_of(int(x.shape[-1]), like=x)  # a plain number: constant in a trace
        inner = x
        for block in self.blocks:
            inner, x = x, block(x, context)
        return inner, self.norm(x).relu()

    def statistics(self, features: Tensor) -> Tensor:
        """Mean over time of every channel, then its standard deviation, `[B, S]`.

        First those of the last block but one, then those of the last layer, from which the
        published network makes its embedding. The deviation is the unbiased one, as published;
        T is 3 or more.
        """
        parts = [
            statistic
            for frames in self.frames(features)
            for statistic in (frames.mean(dim=-1), frames.std(dim=-1))
        ]
        return torch.cat(parts, dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        return self.statistics(features)

    def embed(self, statistics: Tensor) -> Tensor:
        """The speaker embedding of statistics, `[B, S]` to `[B, E]`; it is linear."""
        embedding: Tensor = self.embedding(statistics[..., -2 * self.config.n_channels :])
        return embedding

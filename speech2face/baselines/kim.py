"""On learning associations of faces and voices (Kim et al., ACCV 2018).

Two towers whose vectors are compared by squared distance. The vectors are not brought to length 1.
One network is trained for each direction of the question.
"""

import torch
from torch import Tensor, nn

from speech2face.baselines.frozen_view import FrozenView, layers, on_view
from speech2face.baselines.widths import all_narrowed, narrowed
from speech2face.evaluation.scores import Distance

EMBEDDING = 128
INITIAL_SCALE = 0.05  # of the compact towers
# Kernel, channels and pool of each layer of SoundNet up to conv6; the stride is 2, the margin half
# the kernel. The last one has neither batch norm nor ReLU.
SOUND_LAYERS = ((64, 16, 8), (32, 32, 8), (16, 64, 1), (8, 128, 1), (4, 256, 4), (4, 512, 1))
VGG16_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VoiceTower(nn.Module):
    """SoundNet and two layers, `[B, 1, 220500]` (ten seconds of 22,050 Hz) to `[B, 128]`."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        n_inputs = 1
        for place, (kernel, of_paper, pool) in enumerate(SOUND_LAYERS):
            channels = narrowed(of_paper, share)
            stack.append(nn.Conv1d(n_inputs, channels, kernel, stride=2, padding=kernel // 2))
            if place < len(SOUND_LAYERS) - 1:
                stack += [nn.BatchNorm1d(channels), nn.ReLU()]
            if pool > 1:
                stack.append(nn.MaxPool1d(pool))
            n_inputs = channels
        self.trunk = nn.Sequential(*stack)
        self.head = layers((n_inputs, EMBEDDING, EMBEDDING))

    def forward(self, waveforms: Tensor) -> Tensor:
        """`[B, 1, L]` to `[B, 128]`; the remaining steps (14 of ten seconds) are averaged."""
        embedding: Tensor = self.head(self.trunk(waveforms).mean(dim=-1))
        return embedding


class FaceTower(nn.Module):
    """VGG-16 up to its last convolution, and two layers, `[B, 3, 224, 224]` to `[B, 128]`."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        n_inputs = 3
        for block in VGG16_CHANNELS:
            for channels in all_narrowed(block, share):
                stack += [nn.Conv2d(n_inputs, channels, 3, padding=1), nn.ReLU()]
                n_inputs = channels
            stack.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*stack[:-1])  # pool5 is left out: 14 x 14 remain
        self.head = layers((n_inputs, EMBEDDING, EMBEDDING))

    def forward(self, photos: Tensor) -> Tensor:
        """`[B, 3, H, W]` to `[B, 128]`."""
        embedding: Tensor = self.head(self.trunk(photos).mean(dim=(2, 3)))
        return embedding


class TwoTowers(nn.Module):
    """A tower for voices and one for faces: an `Embedder`."""

    distance: Distance = "euclidean"
    voice: nn.Module
    face: nn.Module

    def __init__(self, voice: nn.Module, face: nn.Module) -> None:
        super().__init__()
        self.voice, self.face = voice, face


def paper_kim(share: float = 1.0) -> TwoTowers:
    """The network at the size of the paper, or at a share of its widths."""
    return TwoTowers(VoiceTower(share), FaceTower(share))


def compact_kim(voice: FrozenView, face: FrozenView, size: int) -> TwoTowers:
    """One linear layer on each frozen encoder."""
    return TwoTowers(
        on_view(voice, size, initial_scale=INITIAL_SCALE),
        on_view(face, size, initial_scale=INITIAL_SCALE),
    )


def ratio_loss(query: Tensor, own: Tensor, wrong: Tensor) -> Tensor:
    """The ratio loss: squared distance of softmax(d+, d-) from (0, 1), mean over the batch.

    d+ and d- are the *squared* distances to the own and to the wrong candidate, because the
    published code decides by squared ones. With p the first of the two shares it is 2 p^2.

    Args:
        query: vectors `[B, D]`.
        own: of the person of the query, `[B, D]`.
        wrong: of another person, `[B, D]`.
    """
    near, far = ((query - other).square().sum(dim=-1) for other in (own, wrong))  # [B] each
    shares = torch.softmax(torch.stack([near, far], dim=-1), dim=-1)  # [B, 2]
    return (shares - shares.new_tensor([0.0, 1.0])).square().sum(dim=-1).mean()

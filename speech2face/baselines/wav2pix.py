"""Wav2Pix: a conditional GAN from a waveform to a face (Duarte et al., ICASSP 2019).

It was made for ten known people who are in training and in test. On people it has not seen, it is
used outside of its definition. Derived from the description of the paper and of its published
settings, not from its code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from speech2face.baselines.frozen_view import FrozenView, layers, on_view
from speech2face.baselines.widths import all_narrowed

CODE = 128  # z
ENCODER_CHANNELS = (16, 32, 128, 256, 512, 1024)
GENERATOR_64 = (512, 256, 128, 64)
GENERATOR_128 = (1024, 512, 256, 128, 64)
DISCRIMINATOR_64 = (64, 128, 256, 512)
DROPOUT = 0.5  # of the generator
INITIAL_SCALE = 4.0  # of the layer that makes z in the compact size
REAL_TARGET = 0.9  # of the discriminator; a softened 1


class WaveformEncoder(nn.Module):
    """One second of 16 kHz sound, `[B, 1, 16000]`, to z `[B, 128]`."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        n_inputs = 1
        for channels in all_narrowed(ENCODER_CHANNELS, share):
            stack += [
                nn.ConstantPad1d((6, 7), 0.0),
                nn.Conv1d(n_inputs, channels, 15, stride=4),
                nn.BatchNorm1d(channels),
                nn.LeakyReLU(0.3),
            ]
            n_inputs = channels
        self.trunk = nn.Sequential(*stack, nn.Flatten())
        self.head = layers((4 * n_inputs, 256, CODE, CODE))

    def forward(self, waveforms: Tensor) -> Tensor:
        """`[B, 1, 16000]` to `[B, 128]`."""
        code: Tensor = self.head(self.trunk(waveforms))
        return code


class IdentityHead(nn.Module):
    """Who of K people speaks, from z; batch norm acts on the logits too, as published."""

    def __init__(self, n_people: int, code: int = CODE) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code, 200),
            nn.BatchNorm1d(200),
            nn.LeakyReLU(0.2),
            nn.Linear(200, n_people),
            nn.BatchNorm1d(n_people),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """`[B, 128]` to logits `[B, K]`."""
        logits: Tensor = self.layers(codes)
        return logits


class FaceGenerator(nn.Module):
    """z `[B, 128]` to a face `[B, 3, H, H]` in -1..1; H is 4 doubled once for each layer.

    There is no noise: the only chance is the dropout in training. In a narrow generator the
    published dropout leaves too little of a layer: then it draws the same face of every voice.
    """

    def __init__(
        self, channels: Sequence[int] = GENERATOR_64, code: int = CODE, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        for place, (n_inputs, n_outputs) in enumerate(
            zip((code, *channels), (*channels, 3), strict=True)
        ):
            stride, padding = (1, 0) if place == 0 else (2, 1)
            convolution = nn.ConvTranspose2d(n_inputs, n_outputs, 4, stride, padding, bias=False)
            stack += [spectral_norm(convolution), nn.Dropout(dropout), nn.ReLU()]
        self.layers = nn.Sequential(*stack[:-2], nn.Tanh())

    def forward(self, codes: Tensor) -> Tensor:
        """`[B, Z]` to `[B, 3, H, H]`."""
        faces: Tensor = self.layers(codes[..., None, None])
        return faces


class Judgement(NamedTuple):
    """What a discriminator says of pictures."""

    scores: Tensor  # [B]
    activations: Tensor  # of its trunk, [B, C, 4, 4]


class FaceDiscriminator(nn.Module):
    """Whether a face `[B, 3, 64, 64]` is real and fits z."""

    def __init__(self, channels: Sequence[int] = DISCRIMINATOR_64, code: int = CODE) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        n_inputs = 3
        for n_outputs in channels:
            convolution = nn.Conv2d(n_inputs, n_outputs, 4, 2, 1, bias=False)
            stack += [spectral_norm(convolution), nn.LeakyReLU(0.2)]
            n_inputs = n_outputs
        self.trunk = nn.Sequential(*stack)
        self.last = nn.Conv2d(n_inputs + code, 1, 4, bias=False)

    def forward(self, faces: Tensor, codes: Tensor) -> Judgement:
        """`[B, 3, 64, 64]` and `[B, Z]` to scores and activations."""
        activations = self.trunk(faces)  # [B, C, 4, 4]
        spread = codes[..., None, None].expand(-1, -1, *activations.shape[2:])
        scores = self.last(torch.cat([activations, spread], dim=1)).flatten()
        return Judgement(scores, activations)


class Wav2Pix(nn.Module):
    """Encoder, identity head and generator, which one optimiser trains together: a `Generator`."""

    def __init__(
        self, encoder: nn.Module, identity: IdentityHead, generator: FaceGenerator
    ) -> None:
        super().__init__()
        self.encoder, self.identity, self.generator = encoder, identity, generator

    def face(self, voices: Tensor) -> Tensor:
        """Faces `[B, 3, H, H]` in -1..1.

        The network must be in eval mode. The published code generates in train mode, in which a
        face depends on the other voices of its batch.
        """
        faces: Tensor = self.generator(self.encoder(voices))
        return faces


def paper_wav2pix(n_people: int, share: float = 1.0, dropout: float = DROPOUT) -> Wav2Pix:
    """The network at the size of the paper, 64 pixels, or at a share of its widths."""
    generator = FaceGenerator(all_narrowed(GENERATOR_64, share), dropout=dropout)
    return Wav2Pix(WaveformEncoder(share), IdentityHead(n_people), generator)


def compact_wav2pix(
    voice: FrozenView, n_people: int, channels: Sequence[int], dropout: float
) -> Wav2Pix:
    """The same heads on a frozen voice encoder, with a narrower generator.

    One linear layer makes z. With more layers, at their usual initial weights, z hardly differs
    between voices, and the generator draws the same face of all of them for thousands of updates.
    """
    encoder = on_view(voice, CODE, initial_scale=INITIAL_SCALE)
    return Wav2Pix(encoder, IdentityHead(n_people), FaceGenerator(channels, dropout=dropout))


def discriminator_loss(real: Tensor, fake: Tensor, mismatched: Tensor) -> Tensor:
    """Least squares: real faces to 0.9, made ones and faces of other people to 0; `[B]` each."""
    return (
        F.mse_loss(real, torch.full_like(real, REAL_TARGET))
        + fake.square().mean()
        + mismatched.square().mean()
    )


def generator_losses(
    fake: Judgement, real: Judgement, made: Tensor, photos: Tensor, logits: Tensor, people: Tensor
) -> dict[str, Tensor]:
    """The unweighted terms of the generator by name.

    Args:
        fake: of the discriminator about the made faces.
        real: about the true ones.
        made: faces, `[B, 3, H, H]`.
        photos: true faces, `[B, 3, H, H]`.
        logits: of the identity head, `[B, K]`.
        people: numbers of the speakers, `[B]`.
    """
    of_fake, of_real = (one.activations.mean(dim=0) for one in (fake, real))
    return {
        "adversarial": F.mse_loss(fake.scores, torch.ones_like(fake.scores)),
        "activations": F.mse_loss(of_fake, of_real.detach()),
        "pixels": F.l1_loss(made, photos),
        "identity": F.cross_entropy(logits, people),
    }

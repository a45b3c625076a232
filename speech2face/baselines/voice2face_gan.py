"""The voice-to-face GAN: reconstructing faces from voices (Wen, Singh, Raj, NeurIPS 2019).

A frozen voice encoder (the one of DIMNet), a generator, and a network that judges faces with two
heads: real or made, and who it is. A voice and a face are never a pair: each is drawn by itself,
and the made face should look like the *person* of its voice. Derived from the description of the
paper and of its published settings, not from its code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.baselines.frozen_view import FrozenView
from speech2face.baselines.widths import all_narrowed

CODE = 64
GENERATOR_CHANNELS = (1024, 512, 256, 128, 64)
TRUNK_CHANNELS = (32, 64, 128, 256, 512)
NOISE = 0.05  # added to every number of a voice's vector in training


class FaceGenerator(nn.Module):
    """A voice's vector `[B, 64]` to a face `[B, 3, 64, 64]`.

    There are no normalisation layers and no tanh: values are limited to -1..1 only in pictures.
    """

    def __init__(self, channels: Sequence[int] = GENERATOR_CHANNELS, code: int = CODE) -> None:
        super().__init__()
        stack: list[nn.Module] = [nn.ConvTranspose2d(code, channels[0], 4), nn.ReLU()]
        for n_inputs, n_outputs in zip(channels, channels[1:], strict=False):
            stack += [nn.ConvTranspose2d(n_inputs, n_outputs, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*stack, nn.Conv2d(channels[-1], 3, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """`[B, Z]` to `[B, 3, 64, 64]`."""
        faces: Tensor = self.layers(codes[..., None, None])
        return faces


class Judgement(NamedTuple):
    """What the judge says of faces."""

    real: Tensor  # logits of being real, [B]
    identity: Tensor  # logits of K people, [B, K]


class FaceJudge(nn.Module):
    """The face trunk, `[B, 3, 64, 64]` to `[B, 64]`, and two linear heads without bias."""

    def __init__(
        self, n_people: int, channels: Sequence[int] = TRUNK_CHANNELS, code: int = CODE
    ) -> None:
        super().__init__()
        stack: list[nn.Module] = [nn.Conv2d(3, channels[0], 1), nn.LeakyReLU(0.2)]
        for n_inputs, n_outputs in zip(channels, channels[1:], strict=False):
            stack += [nn.Conv2d(n_inputs, n_outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*stack, nn.Conv2d(channels[-1], code, 4))
        self.real = nn.Linear(code, 1, bias=False)
        self.identity = nn.Linear(code, n_people, bias=False)

    def forward(self, faces: Tensor) -> Judgement:
        """`[B, 3, 64, 64]` to both kinds of logits."""
        seen = self.trunk(faces).flatten(1)  # [B, 64]
        return Judgement(self.real(seen)[:, 0], self.identity(seen))


class Voice2Face(nn.Module):
    """A frozen voice encoder and the generator: a `Generator`.

    Args:
        voice: from voices `[B, ...]` to `[B, D]`; it stays as it is, and in eval mode.
        generator: from `[B, D]` to faces.
    """

    def __init__(self, voice: nn.Module, generator: FaceGenerator) -> None:
        super().__init__()
        self.voice = voice.requires_grad_(False).eval()
        self.generator = generator

    def train(self, mode: bool = True) -> "Voice2Face":
        """Put the generator into this mode; the voice encoder stays in eval mode."""
        super().train(mode)
        self.voice.eval()
        return self

    def code(self, voices: Tensor) -> Tensor:
        """Vectors of length 1, `[B, D]`."""
        return F.normalize(self.voice(voices), dim=-1)

    def face(self, voices: Tensor) -> Tensor:
        """Faces `[B, 3, 64, 64]`, limited to -1..1."""
        faces: Tensor = self.generator(self.code(voices))
        return faces.clamp(-1.0, 1.0)


def paper_voice2face(voice: nn.Module, share: float = 1.0) -> Voice2Face:
    """The generator at the size of the paper, on DIMNet's voice network or another one of 64-D."""
    return Voice2Face(voice, FaceGenerator(all_narrowed(GENERATOR_CHANNELS, share)))


def compact_voice2face(voice: FrozenView, channels: Sequence[int]) -> Voice2Face:
    """A narrower generator on a frozen speaker encoder, reduced to a few directions."""
    return Voice2Face(voice, FaceGenerator(channels, voice.weight.shape[1]))


def varied(photos: Tensor, shift: int, generator: np.random.Generator) -> Tensor:
    """Photos `[B, 3, H, W]`, every second one mirrored, each moved by up to `shift` pixels.

    The published training mirrors. Movement is ours: with one photo of a person, the judge knows
    the person by single pixels, and the generator satisfies it without any likeness.
    """
    mirrors = generator.integers(2, size=len(photos)).astype(bool)
    moves = generator.integers(-shift, shift + 1, size=(len(photos), 2))
    wide = F.pad(photos, (shift,) * 4, mode="replicate") if shift else photos
    height, width = photos.shape[2:]
    rows = []
    for photo, mirror, (down, right) in zip(wide, mirrors, moves, strict=True):
        top, left = int(shift + down), int(shift + right)
        seen = photo[:, top : top + height, left : left + width]
        rows.append(seen.flip(-1) if mirror else seen)
    return torch.stack(rows)


def with_noise(codes: Tensor, noise: Tensor) -> Tensor:
    """Vectors `[B, D]` moved by normal numbers `[B, D]` and brought back to length 1."""
    return F.normalize(codes + NOISE * noise, dim=-1)


def judge_losses(of_real: Judgement, of_fake: Judgement, people_seen: Tensor) -> dict[str, Tensor]:
    """The terms of the judge by name; `people_seen` are the people in the photos, `[B]`."""
    return {
        "real": F.binary_cross_entropy_with_logits(of_real.real, torch.ones_like(of_real.real)),
        "fake": F.binary_cross_entropy_with_logits(of_fake.real, torch.zeros_like(of_fake.real)),
        "identity": F.cross_entropy(of_real.identity, people_seen),
    }


def generator_losses(of_fake: Judgement, people_heard: Tensor) -> dict[str, Tensor]:
    """The terms of the generator by name; `people_heard` are the speakers, `[B]`."""
    return {
        "adversarial": F.binary_cross_entropy_with_logits(
            of_fake.real, torch.ones_like(of_fake.real)
        ),
        "identity": F.cross_entropy(of_fake.identity, people_heard),
    }

"""Learning textures: first to draw them at all, then to draw them from a code.

Transposed convolutions that start from noise need many pairs to find how skin and edges look. So
they begin as the second half of an autoencoder of textures, for which every texture is a pair; the
code is then regressed onto the autoencoder's inner maps, and both are trained on together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.losses import edge_loss, landmark_loss, texture_loss
from speech2face.models.face_decoder import FaceDecoder, TransposedTexture
from speech2face.training.canonical_space import CanonicalSpace
from speech2face.training.config import AdamConfig, Plan
from speech2face.training.state import TrainState
from speech2face.training.step import descend

AUTOENCODER_CHANNELS = (16, 24, 48)  # of the first half, before the decoder's first map
HALVINGS = len(AUTOENCODER_CHANNELS) + 1  # 224 pixels to the 14 of that map
CHUNK = 32  # faces at a time, where no gradient is wanted


@dataclass(frozen=True)
class TextureLambdas:
    """Weights of the texture's terms, and of landmarks in pixels."""

    texture: float = 1.0
    edge: float = 2.0
    coarse_edge: float = 1.0
    landmark: float = 0.001


@dataclass(frozen=True)
class TextureTraining:
    """Settings of one of the two trainings; the defaults are those of drawing."""

    adam: AdamConfig = field(
        default_factory=lambda: AdamConfig(
            learning_rate=1e-3, decay=0.8, decay_iterations=250, beta1=0.9, epsilon=1e-8
        )
    )
    plan: Plan = field(
        default_factory=lambda: Plan(
            batch_size=8, total_samples=16_000, validate_every=4_000, checkpoint_every=2_000
        )
    )
    lambdas: TextureLambdas = field(default_factory=TextureLambdas)


class TextureBatch(NamedTuple):
    """Faces, or morphs between two of them."""

    code: Tensor  # [B, D]
    landmarks: Tensor  # [B, 68, 2], pixels
    texture: Tensor  # [B, 3, 224, 224], RGB in 0..1


class Morphs:
    """Batches of faces, of morphs between them, and of faces whose code is known roughly.

    Cole et al. enlarge their training set by morphs, landmarks and textures interpolated. That is
    good for learning to draw. A decoder that learns from morphs draws two heads of hair into each
    other, as they do; one that learns from uncertain codes has to decide for one.

    Args:
        codes: `[M, D]`.
        landmarks: pixels, `[M, 68, 2]`.
        textures: uint8, `[M, 3, 224, 224]`.
        seed: of what is drawn.
        share: of the faces in a batch that are on their way to another one.
        noise: standard deviation of what is added to a code, in that of the codes.
    """

    def __init__(
        self,
        codes: Tensor,
        landmarks: Tensor,
        textures: Tensor,
        *,
        seed: int,
        share: float = 0.5,
        noise: float = 0.0,
    ) -> None:
        self.codes, self.landmarks, self.textures = codes, landmarks, textures
        self.seed, self.share, self.noise = seed, share, noise

    def __len__(self) -> int:
        return len(self.codes)

    def varied(self, *, share: float, noise: float) -> "Morphs":
        """The same faces, otherwise varied."""
        return Morphs(
            self.codes, self.landmarks, self.textures, seed=self.seed, share=share, noise=noise
        )

    def batch(self, positions: Sequence[int], samples_seen: int) -> TextureBatch:
        """Faces at `positions`, varied.

        How is a function of the seed and of `samples_seen`, so that a resumed training sees what
        an unbroken one would have seen.
        """
        draw = np.random.default_rng([self.seed, samples_seen])
        others = draw.integers(0, len(self), len(positions))
        is_morph = draw.random(len(positions)) < self.share
        weight = torch.tensor(
            np.where(is_morph, draw.random(len(positions)), 0.0), dtype=torch.float32
        )
        own, other = self.plain(positions), self.plain(others.tolist())
        pairs = zip(own, other, strict=True)
        batch = TextureBatch(*(_lerp(first, second, weight) for first, second in pairs))
        if not self.noise:
            return batch
        normal = torch.tensor(draw.standard_normal(batch.code.shape), dtype=torch.float32)
        return batch._replace(code=batch.code + self.noise * self.codes.std(dim=0) * normal)

    def plain(self, positions: Sequence[int]) -> TextureBatch:
        """The faces at `positions` themselves."""
        index = torch.tensor(list(positions))
        textures = self.textures[index].float() / 255.0
        return TextureBatch(self.codes[index], self.landmarks[index], textures)


class TextureAutoencoder(nn.Module):
    """Texture to a small map and back; the second half is a decoder's texture branch.

    Args:
        branch: whose transposed convolutions learn to draw.
        mean_texture: around which textures are drawn, `[3, H, W]`.
    """

    mean_texture: Tensor

    def __init__(self, branch: TransposedTexture, mean_texture: Tensor) -> None:
        super().__init__()
        self.config = {"channels": list(AUTOENCODER_CHANNELS), "first_map": branch.first_map}
        widths = (3, *AUTOENCODER_CHANNELS, branch.first_map[0])
        self.halvings = nn.ModuleList(
            nn.Conv2d(before, after, 5, stride=2, padding=2)
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.doublings, self.colour = branch.doublings, branch.colour
        self._render = branch.render
        self.register_buffer("mean_texture", mean_texture)

    def first_map(self, texture: Tensor) -> Tensor:
        """Textures `[B, 3, 224, 224]` to the map before its ReLU, `[B, C, 14, 14]`."""
        activation = texture - self.mean_texture
        for halving in self.halvings[:-1]:
            activation = F.relu(halving(activation))  # [B, C, H / 2, W / 2]
        first_map: Tensor = self.halvings[-1](activation)
        return first_map

    def forward(self, texture: Tensor) -> Tensor:
        return self._render(F.relu(self.first_map(texture))) + self.mean_texture


def start_drawing(branch: TransposedTexture) -> None:
    """First weights that keep the scale of activations, and a small first picture.

    A picture that starts far off sends the first, largest steps through layers that have learned
    nothing yet; enough ReLUs then die for the mean texture to be all that is ever drawn.
    """
    for doubling in branch.doublings:
        assert isinstance(doubling, nn.ConvTranspose2d)
        nn.init.kaiming_normal_(doubling.weight)
        nn.init.zeros_(doubling.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        branch.colour.weight.mul_(0.3)
    nn.init.zeros_(branch.colour.bias)  # type: ignore[arg-type]


def transposed_branch(decoder: FaceDecoder) -> TransposedTexture:
    """The texture branch of `decoder`, which must be one of transposed convolutions."""
    if not isinstance(decoder.texture, TransposedTexture):
        raise Speech2FaceError("a linear texture branch", 'choose texture_branch = "transposed"')
    return decoder.texture


@torch.no_grad()
def start_decoder(
    decoder: FaceDecoder,
    space: CanonicalSpace,
    autoencoder: TextureAutoencoder,
    morphs: Morphs,
    *,
    ridge: float = 1e-3,
) -> None:
    """Let `decoder` begin as the linear map from codes to landmarks and to inner maps.

    Its first layer has a ReLU: as (c, -c) it passes a code on undamaged, since
    relu(c) - relu(-c) = c.

    Args:
        decoder: twice as many hidden units as code coordinates, no further landmark layers.
        space: whose codes it will decode.
        autoencoder: trained; its texture branch is the decoder's.
        morphs: the faces on which codes are regressed onto inner maps.
        ridge: of that regression, in variances of the code.
    """
    size = decoder.config.feature_size
    identity = torch.eye(size)
    decoder.first.weight.copy_(torch.cat([identity, -identity]))
    decoder.first.bias.zero_()
    landmark_map = space.landmark_map(decoder.config.n_landmarks)  # [D, N * 2]
    displacement = decoder.landmarks.displacement
    displacement.weight.copy_(torch.cat([landmark_map, -landmark_map]).T)
    displacement.bias.zero_()
    slopes, mean_map = _inner_map_regression(autoencoder, morphs, ridge)
    project = transposed_branch(decoder).project
    project.weight.copy_(torch.cat([slopes, -slopes]).T)
    project.bias.copy_(mean_map)
    assert decoder.texture_bias is not None
    decoder.texture_bias.copy_(autoencoder.mean_texture)


def _inner_map_regression(
    autoencoder: TextureAutoencoder, morphs: Morphs, ridge: float
) -> tuple[Tensor, Tensor]:
    """Ridge regression of inner maps on codes: slopes `[D, C * h * w]` and mean `[C * h * w]`."""
    starts = range(0, len(morphs), CHUNK)
    maps = torch.cat(
        [
            autoencoder.first_map(
                morphs.plain(range(start, min(start + CHUNK, len(morphs)))).texture
            )
            for start in starts
        ]
    ).flatten(1)  # [M, C * h * w]
    mean_map = maps.mean(dim=0)
    codes = morphs.codes  # [M, D]; their mean is 0
    identity = torch.eye(codes.shape[1])
    gram = codes.T @ codes + ridge * len(morphs) * identity * codes.var()
    return torch.linalg.solve(gram, codes.T @ (maps - mean_map)), mean_map


def texture_losses(predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Terms of a drawn texture, `[B, 3, H, W]` each, to scalars by name."""
    return {
        "texture": texture_loss(predicted, target),
        "edge": edge_loss(predicted, target),
        "coarse_edge": edge_loss(F.avg_pool2d(predicted, 2), F.avg_pool2d(target, 2)),
    }


def autoencoder_losses(model: TextureAutoencoder, batch: TextureBatch) -> dict[str, Tensor]:
    """How well textures come back."""
    return texture_losses(model(batch.texture), batch.texture)


def decoder_losses(
    model: FaceDecoder, batch: TextureBatch, focus: Tensor | None = None
) -> dict[str, Tensor]:
    """How well codes become the face that they are the code of; no warp is needed for that.

    Args:
        focus: how much each pixel of the texture counts, `[H, W]`; all alike unless given.
    """
    landmarks, texture = model.decode_parts(batch.code)
    target = batch.texture
    if focus is not None:
        texture, target = texture * focus, target * focus
    return {"landmark": landmark_loss(landmarks, batch.landmarks)} | texture_losses(texture, target)


def update(
    state: TrainState, losses: dict[str, Tensor], lambdas: dict[str, float], n_samples: int
) -> dict[str, Tensor]:
    """One step of Adam down the weighted sum; the losses and their total, detached."""
    weights = {name: lambdas[name] for name in losses}  # drawing has no landmarks
    return descend(state, losses, weights, n_samples, epsilon=state.adam.epsilon)


def _lerp(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    weight = weight.reshape(-1, *[1] * (first.ndim - 1))
    return first + weight * (second - first)

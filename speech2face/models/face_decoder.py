"""Face decoders after Cole et al. (CVPR 2017): a feature becomes landmarks, a texture and a face.

The texture lives in the frame of the mean landmarks; the warp moves it to the predicted ones.
`FaceDecoder` is the network of the paper; that of the embedded model is in `canonical_decoder.py`.
Where the papers are silent (number and widths of the landmark layers, biases, output range) the
choice is ours, and a comment beside it says so.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.configuration import require, require_sizes
from speech2face.errors import Speech2FaceError
from speech2face.models.warp import WarpConfig, warp_image

MAX_IMAGE_SIZE = 4096  # pixels
MAX_LAYERS = 32


class DecodedFace(NamedTuple):
    """What a decoder makes of a feature."""

    image: Tensor  # [B, 3, H, W], RGB in 0..1: the texture, warped and clipped
    landmarks: Tensor  # [B, N, 2], pixels, (x, y)
    texture: Tensor  # [B, 3, H, W], RGB around 0..1, in the frame of the mean landmarks


class WarpingFaceDecoder(nn.Module):
    """What both decoders share: a feature `[B, D]` is decoded to parts, and the warp joins them.

    Args:
        feature_size: D.
        mean_landmarks: frame of the textures, pixels, (x, y), `[N, 2]`. It is stored with the
            weights.
        warp: how the texture is moved.
    """

    mean_landmarks: Tensor

    def __init__(self, feature_size: int, mean_landmarks: Tensor, warp: WarpConfig) -> None:
        super().__init__()
        self.feature_size, self.warp = feature_size, warp
        self.register_buffer("mean_landmarks", mean_landmarks)

    def decode_parts(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks `[B, N, 2]` and texture `[B, 3, H, W]` of features, before the warp."""
        raise NotImplementedError

    def forward(self, feature: Tensor) -> DecodedFace:
        """Decode features `[B, D]` to the face, its landmarks and its texture.

        Raises:
            Speech2FaceError: the features have another size.
        """
        if feature.ndim != 2 or feature.shape[1] != self.feature_size:
            remedy = f"expected `[B, {self.feature_size}]`"
            raise Speech2FaceError(f"face feature {tuple(feature.shape)}", remedy)
        landmarks, texture = self.decode_parts(feature)  # [B, N, 2], [B, 3, H, W]
        return DecodedFace(self.join(landmarks, texture), landmarks, texture)

    def join(self, landmarks: Tensor, texture: Tensor) -> Tensor:
        """The face `[B, 3, H, W]`, RGB in 0..1: the texture, warped to the landmarks."""
        image = warp_image(texture, self.mean_landmarks, landmarks, config=self.warp)
        return image.clamp(0.0, 1.0)


@dataclass(frozen=True)
class FaceDecoderConfig:
    """Sizes of the paper's decoder; the defaults are the paper's."""

    feature_size: int = 4096  # D: VGG-Face fc7
    hidden_size: int = 1000  # first layer: f_dec of Eq. (1)
    n_landmarks: int = 68  # ours, dlib's scheme; the papers name no number
    landmark_widths: tuple[int, ...] = (400, 200)  # ours; the papers say a shallow perceptron
    base_size: int = 14  # pixels: height and width of the first map of the texture branch
    channels: tuple[int, ...] = (256, 128, 64, 32, 32)  # of that map, then after each doubling
    warp: WarpConfig = field(default_factory=WarpConfig)

    def __post_init__(self) -> None:
        require(len(self.channels) > 0, "channels", self.channels, "one number or more")
        require_sizes(self, "feature_size", "hidden_size", "n_landmarks", "base_size", "channels")
        require_sizes(self, "landmark_widths")
        require(len(self.landmark_widths) <= MAX_LAYERS, "landmark_widths", "too many", "fewer")
        is_small = len(self.channels) <= MAX_LAYERS and self.image_size <= MAX_IMAGE_SIZE
        require(is_small, "channels", self.channels, f"an image of {MAX_IMAGE_SIZE} pixels or less")

    @property
    def image_size(self) -> int:
        """Height and width of the face in pixels: the base size, doubled after each map."""
        return self.base_size << (len(self.channels) - 1)


class TransposedTexture(nn.Module):
    """Texture by transposed convolutions: `[B, hidden_size]` to `[B, 3, H, W]`."""

    def __init__(self, config: FaceDecoderConfig) -> None:
        super().__init__()
        self.first_map = (config.channels[0], config.base_size, config.base_size)
        self.project = nn.Linear(config.hidden_size, math.prod(self.first_map))
        # Kernel 5, stride 2; this padding makes the doubling exact.
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
            for before, after in zip(config.channels[:-1], config.channels[1:], strict=True)
        )
        self.colour = nn.Conv2d(config.channels[-1], 3, kernel_size=1)

    def forward(self, activation: Tensor) -> Tensor:
        first_map = F.relu(self.project(activation)).reshape(-1, *self.first_map)
        return self.render(first_map)

    def render(self, first_map: Tensor) -> Tensor:
        """The part behind the projection: `[B, 256, 14, 14]` to `[B, 3, 224, 224]`."""
        texture = first_map
        for doubling in self.doublings:
            texture = F.relu(doubling(texture))  # [B, C, 2H, 2W]
        rgb: Tensor = self.colour(texture)  # [B, 3, 224, 224]
        return rgb


class LandmarkPerceptron(nn.Module):
    """Displacements of the landmarks from their mean: `[B, hidden_size]` to `[B, N, 2]`, pixels."""

    def __init__(self, config: FaceDecoderConfig) -> None:
        super().__init__()
        self.n_landmarks = config.n_landmarks
        widths = (config.hidden_size, *config.landmark_widths)
        self.hidden = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.displacement = nn.Linear(widths[-1], config.n_landmarks * 2)

    def forward(self, activation: Tensor) -> Tensor:
        for layer in self.hidden:
            activation = F.relu(layer(activation))  # [B, width]
        displacement: Tensor = self.displacement(activation)  # [B, N * 2]
        return displacement.reshape(-1, self.n_landmarks, 2)  # [B, N, 2]


class FaceDecoder(WarpingFaceDecoder):
    """The decoder of the paper: landmarks by a perceptron, texture by transposed convolutions.

    Args:
        config: sizes; the default is the paper's network.
        mean_landmarks: frame of the textures, pixels, (x, y), `[N, 2]`; without it, a placeholder
            of distinct points waits for `load_state_dict`.
    """

    def __init__(
        self, config: FaceDecoderConfig | None = None, mean_landmarks: Tensor | None = None
    ) -> None:
        config = config or FaceDecoderConfig()
        frame = mean_frame(config.n_landmarks, config.image_size, mean_landmarks)
        super().__init__(config.feature_size, frame, config.warp)
        self.config = config
        self.first = nn.Linear(config.feature_size, config.hidden_size)
        self.landmarks = LandmarkPerceptron(config)
        self.texture = TransposedTexture(config)

    def first_layer(self, feature: Tensor) -> Tensor:
        """f_dec of Eq. (1), `[B, D]` to `[B, hidden_size]`, ReLU included.

        The paper says "activation of the first layer" and not whether the ReLU belongs to it; it
        does here, since the activation is what the rest of the decoder sees.
        """
        return F.relu(self.first(feature))

    def decode_parts(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks `[B, N, 2]` and texture `[B, 3, H, W]` of features, before the warp."""
        activation = self.first_layer(feature)  # [B, hidden_size]
        landmarks: Tensor = self.mean_landmarks + self.landmarks(activation)  # [B, N, 2]
        texture: Tensor = self.texture(activation)  # [B, 3, H, W]
        return landmarks, texture


def mean_frame(n_landmarks: int, image_size: int, mean_landmarks: Tensor | None) -> Tensor:
    """The given mean landmarks `[N, 2]`, checked, or distinct points spread over the middle."""
    if mean_landmarks is None:
        index = torch.arange(n_landmarks)
        radius = 0.3 * image_size * ((index + 0.5) / n_landmarks).sqrt()  # [N]
        turn = index * (math.pi * (3.0 - math.sqrt(5.0)))  # [N]: the golden angle keeps them apart
        centre = (image_size - 1) / 2
        return centre + radius[:, None] * torch.stack([turn.cos(), turn.sin()], dim=-1)  # [N, 2]
    if mean_landmarks.shape != (n_landmarks, 2):
        problem = f"mean landmarks {tuple(mean_landmarks.shape)}"
        raise Speech2FaceError(problem, f"expected (x, y) as `[{n_landmarks}, 2]`")
    return mean_landmarks.detach().to(torch.get_default_dtype(), copy=True)

"""The face decoder of Cole et al. (CVPR 2017): a feature becomes landmarks, a texture and a face.

The texture lives in the frame of the mean landmarks; the warp moves it to the predicted ones. Where
the papers are silent (number and widths of the landmark layers, biases, output range) the choice
is ours and is said so beside it.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.face_region import face_region
from speech2face.models.warp import WarpConfig, warp_image

TEXTURE_BRANCHES = ("transposed", "linear")


@dataclass(frozen=True)
class FaceDecoderConfig:
    """Sizes of the decoder. The defaults are the paper's; the compact model has smaller numbers."""

    feature_size: int = 4096  # D: VGG-Face fc7
    hidden_size: int = 1000  # first layer: f_dec of Eq. (1)
    n_landmarks: int = 68  # ours, dlib's scheme; the papers name no number
    landmark_widths: tuple[int, ...] = (400, 200)  # ours; the papers say a shallow perceptron
    texture_branch: str = "transposed"  # or "linear", Cole's section 7.2
    base_size: int = 14  # pixels: height and width of the first map of the texture branch
    channels: tuple[int, ...] = (256, 128, 64, 32, 32)  # of that map, then after each doubling
    texture_rank: int | None = None  # of the linear branch; None: one full matrix, as in Cole
    texture_size: int | None = None  # pixels; of the linear branch, enlarged; None: the image's
    texture_bias: bool = False  # a learned value a pixel, where a mean texture may be put
    haze: float = 0.0  # darkness around the face that is taken for white ground, see `clear_haze`
    face_reach: float = 1.1  # of the face that haze is left in, see `face_region`
    warp: WarpConfig = field(default_factory=WarpConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "landmark_widths", tuple(self.landmark_widths))  # JSON, TOML lists
        object.__setattr__(self, "channels", tuple(self.channels))
        sizes = (self.feature_size, self.hidden_size, self.n_landmarks, self.base_size)
        optional = (self.texture_rank or 1, self.texture_size or 1)
        if min(*sizes, *optional, *self.channels, *self.landmark_widths) < 1:
            raise Speech2FaceError("a size of the face decoder is below 1", "give positive sizes")
        if not 0.0 <= self.haze < 1.0:
            raise Speech2FaceError(f"haze {self.haze}", "give a darkness in 0..1, 0 to keep it")
        if self.texture_branch not in TEXTURE_BRANCHES:
            problem = f"texture_branch {self.texture_branch!r}"
            raise Speech2FaceError(problem, f"choose one of {TEXTURE_BRANCHES}")

    @property
    def image_size(self) -> int:
        """Height and width of the face in pixels: the base size, doubled after each map."""
        return self.base_size << (len(self.channels) - 1)


class DecodedFace(NamedTuple):
    """What the decoder makes of a feature."""

    image: Tensor  # [B, 3, H, W], RGB in 0..1: the texture, warped and clipped
    landmarks: Tensor  # [B, N, 2], pixels, (x, y)
    texture: Tensor  # [B, 3, H, W], RGB around 0..1, in the frame of the mean landmarks


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


class LinearTexture(nn.Module):
    """Texture as one linear map of the feature itself: `[B, D]` to `[B, 3, H, W]`.

    The alternative that Cole et al. compare in their section 7.2. Of low rank it is a basis of
    textures, as of principal components, with learned coordinates.
    """

    def __init__(self, config: FaceDecoderConfig) -> None:
        super().__init__()
        size = config.texture_size or config.image_size
        self.shape = (3, size, size)
        self.image_shape = (config.image_size, config.image_size)
        rank = config.texture_rank
        self.coordinates = (
            nn.Linear(config.feature_size, rank, bias=False) if rank else nn.Identity()
        )
        self.textures = nn.Linear(rank or config.feature_size, math.prod(self.shape))

    def forward(self, feature: Tensor) -> Tensor:
        drawn: Tensor = self.textures(self.coordinates(feature))  # [B, 3 * h * w]
        texture = drawn.reshape(-1, *self.shape)  # [B, 3, h, w]
        if self.shape[1:] == self.image_shape:
            return texture
        return F.interpolate(texture, self.image_shape, mode="bicubic", align_corners=False)


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


class FaceDecoder(nn.Module):
    """Feature of a face, or one predicted from a voice, to a frontal face: `[B, D]` to images.

    Args:
        config: sizes; the default is the paper's network.
        mean_landmarks: frame of the textures, pixels, (x, y), `[N, 2]`. It is stored with the
            weights; without it, a placeholder of distinct points waits for `load_state_dict`.
    """

    mean_landmarks: Tensor

    def __init__(
        self, config: FaceDecoderConfig | None = None, mean_landmarks: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config = config or FaceDecoderConfig()
        self.first = nn.Linear(config.feature_size, config.hidden_size)
        self.landmarks = LandmarkPerceptron(config)
        self.texture: nn.Module = (
            LinearTexture(config)
            if config.texture_branch == "linear"
            else TransposedTexture(config)
        )
        shape = (3, config.image_size, config.image_size)
        self.texture_bias = nn.Parameter(torch.zeros(shape)) if config.texture_bias else None
        self.register_buffer("mean_landmarks", _mean_frame(config, mean_landmarks))

    def first_layer(self, feature: Tensor) -> Tensor:
        """f_dec of Eq. (1), `[B, D]` to `[B, hidden_size]`, ReLU included.

        The paper says "activation of the first layer" and not whether the ReLU belongs to it; it
        does here, since the activation is what the rest of the decoder sees.
        """
        return F.relu(self.first(feature))

    def forward(self, feature: Tensor) -> DecodedFace:
        """Decode features `[B, D]` to the face, its landmarks and its texture."""
        if feature.ndim != 2 or feature.shape[1] != self.config.feature_size:
            remedy = f"expected `[B, {self.config.feature_size}]`"
            raise Speech2FaceError(f"face feature {tuple(feature.shape)}", remedy)
        landmarks, texture = self.decode_parts(feature)  # [B, N, 2], [B, 3, H, W]
        image = warp_image(texture, self.mean_landmarks, landmarks, config=self.config.warp)
        return DecodedFace(image.clamp(0.0, 1.0), landmarks, texture)

    def decode_parts(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks `[B, N, 2]` and texture `[B, 3, H, W]` of features, before the warp."""
        activation = self.first_layer(feature)  # [B, hidden_size]
        landmarks: Tensor = self.mean_landmarks + self.landmarks(activation)  # [B, N, 2]
        return landmarks, self._decode_texture(feature, activation)

    def _decode_texture(self, feature: Tensor, activation: Tensor) -> Tensor:
        is_linear = isinstance(self.texture, LinearTexture)
        texture: Tensor = self.texture(feature if is_linear else activation)  # [B, 3, H, W]
        if self.texture_bias is not None:
            texture = texture + self.texture_bias
        if not self.config.haze:
            return texture
        size, reach = self.config.image_size, self.config.face_reach
        region = face_region(self.mean_landmarks, size, reach=reach)
        return clear_haze(texture, region, self.config.haze)


def clear_haze(texture: Tensor, region: Tensor, haze: float) -> Tensor:
    """Let the white ground through where little covers it.

    A predicted face is near a mean of many, and a mean of many heads of hair is a grey haze around
    each. What covers the ground by less than `haze` fades, smoothly, the more the thinner it is.

    Args:
        texture: RGB around 0..1, white ground, `[B, 3, H, W]`.
        region: of the face, where nothing is changed, 1 inside to 0 outside, `[H, W]`.
        haze: darkness, 1 - value of the darkest channel, from which on nothing is changed.
    """
    cover = ((1.0 - texture).amax(dim=1, keepdim=True) / haze).clamp(0.0, 1.0)  # [B, 1, H, W]
    kept = cover.square() * (3.0 - 2.0 * cover)  # smoothstep
    kept = kept + (1.0 - kept) * region
    return 1.0 - (1.0 - texture) * kept


def _mean_frame(config: FaceDecoderConfig, mean_landmarks: Tensor | None) -> Tensor:
    """The given mean landmarks `[N, 2]`, checked, or distinct points spread over the middle."""
    if mean_landmarks is None:
        index = torch.arange(config.n_landmarks)
        radius = 0.3 * config.image_size * ((index + 0.5) / config.n_landmarks).sqrt()  # [N]
        turn = index * (math.pi * (3.0 - math.sqrt(5.0)))  # [N]: the golden angle keeps them apart
        centre = (config.image_size - 1) / 2
        return centre + radius[:, None] * torch.stack([turn.cos(), turn.sin()], dim=-1)  # [N, 2]
    if mean_landmarks.shape != (config.n_landmarks, 2):
        problem = f"mean landmarks {tuple(mean_landmarks.shape)}"
        raise Speech2FaceError(problem, f"expected (x, y) as `[{config.n_landmarks}, 2]`")
    return mean_landmarks.detach().to(torch.get_default_dtype(), copy=True)

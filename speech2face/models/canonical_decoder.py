"""The face decoder of the embedded model: a code of a canonical face becomes landmarks and a face.

Landmarks and texture are linear in the code, the alternative of Cole et al. (CVPR 2017) in their
section 7.2. A code has coordinates of the face, then of its surround. Of the face only the pixels
where it is are kept; the surround is smooth and kept on a coarse grid. What stands around the face
is then decided, see `DecidedSurround`, and the warp moves the texture to the landmarks.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.configuration import require, require_sizes
from speech2face.models.decided_surround import (
    INNER_REACH,
    DecidedSurround,
    SurroundConfig,
    along_both,
    enlarging,
)
from speech2face.models.face_decoder import MAX_IMAGE_SIZE, WarpingFaceDecoder, mean_frame
from speech2face.models.face_region import face_region
from speech2face.models.warp import WarpConfig


@dataclass(frozen=True)
class CanonicalFaceDecoderConfig:
    """Sizes of the decoder; the defaults are those of the embedded model."""

    n_face: int = 320  # coordinates of landmarks and face
    n_surround: int = 64  # coordinates of hair, shoulders and ground
    n_landmarks: int = 68
    texture_size: int = 112  # pixels; height and width of the textures that are added to the mean
    n_pixels: int = 6400  # of them that belong to the face
    grid_size: int = 56  # cells; height and width of the surround
    image_size: int = 224  # pixels; height and width of the face
    surround: SurroundConfig = field(default_factory=SurroundConfig)
    warp: WarpConfig = field(default_factory=lambda: WarpConfig(flow_stride=4))

    def __post_init__(self) -> None:
        require_sizes(self, "n_face", "n_surround", "n_landmarks")
        require_sizes(self, "texture_size", "image_size", "grid_size", most=MAX_IMAGE_SIZE)
        require_sizes(self, "n_pixels", most=self.texture_size**2)
        for name in ("texture_size", "image_size"):
            is_multiple = getattr(self, name) % self.grid_size == 0
            require(is_multiple, name, getattr(self, name), f"a multiple of {self.grid_size}")

    @property
    def feature_size(self) -> int:
        """D: coordinates of a code."""
        return self.n_face + self.n_surround


class CanonicalFaceDecoder(WarpingFaceDecoder):
    """Codes `[B, D]` to faces.

    Args:
        config: sizes; the default is the decoder of the embedded model.
        mean_landmarks: frame of the textures, pixels, (x, y), `[N, 2]`; without it, a placeholder
            of distinct points waits for `load_state_dict`.
    """

    enlarge: Tensor
    shrink: Tensor
    place_of: Tensor

    def __init__(
        self,
        config: CanonicalFaceDecoderConfig | None = None,
        mean_landmarks: Tensor | None = None,
    ) -> None:
        config = config or CanonicalFaceDecoderConfig()
        size, grid = config.image_size, config.grid_size
        frame = mean_frame(config.n_landmarks, size, mean_landmarks)
        super().__init__(config.feature_size, frame, config.warp)
        self.config = config
        self.landmarks = nn.Linear(config.n_face, config.n_landmarks * 2, bias=False)
        self.face = nn.Linear(config.n_face, 3 * config.n_pixels, bias=False)
        self.around = nn.Linear(config.n_surround, 3 * grid * grid, bias=False)
        self.surround = DecidedSurround(config.surround, config.n_surround, grid, size)
        self.mean_texture = nn.Parameter(torch.zeros(3, size, size))
        # Where each pixel is in `face`; those outside the face are at a place behind its last one.
        places = torch.arange(config.texture_size**2).clamp(max=config.n_pixels)
        self.register_buffer("place_of", places)
        self.register_buffer("enlarge", enlarging(config.texture_size, size), persistent=False)
        means = torch.eye(grid).repeat_interleave(size // grid, dim=1) / (size // grid)  # [G, H]
        self.register_buffer("shrink", means, persistent=False)

    def decode_parts(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks `[B, N, 2]` and texture `[B, 3, H, W]` of codes, before the warp."""
        config = self.config
        of_face, of_surround = feature[:, : config.n_face], feature[:, config.n_face :]
        moved = self.landmarks(of_face).reshape(-1, config.n_landmarks, 2)  # [B, N, 2]
        texture, small = self.linear_texture(of_face, of_surround)
        inner = face_region(self.mean_landmarks, config.image_size, reach=INNER_REACH)  # [H, W]
        return self.mean_landmarks + moved, self.surround(of_surround, texture, small, inner)

    def linear_texture(self, of_face: Tensor, of_surround: Tensor) -> tuple[Tensor, Tensor]:
        """Texture `[B, 3, H, W]` before the surround is decided, and on the grid `[B, 3, G, G]`."""
        config = self.config
        drawn = self.face(of_face).reshape(-1, 3, config.n_pixels)
        face = F.pad(drawn, (0, 1))[:, :, self.place_of]  # the place behind the last one holds 0
        face = face.reshape(-1, 3, config.texture_size, config.texture_size)
        around = self.around(of_surround).reshape(-1, 3, config.grid_size, config.grid_size)
        texture = self.mean_texture + along_both(self.enlarge, face)
        texture = texture + along_both(self.surround.enlarge, around)  # [B, 3, H, W]
        small = along_both(self.shrink, self.mean_texture)  # not folded into a second copy of it
        return texture, small + block_means(face, config.grid_size) + around


def block_means(picture: Tensor, grid: int) -> Tensor:
    """Means over blocks of pixels, `[..., N, N]` to `[..., grid, grid]`."""
    block = picture.shape[-1] // grid
    blocks = picture.reshape(*picture.shape[:-2], grid, block, grid, block)
    return blocks.mean(dim=(-3, -1))


def face_places(frame: Tensor, config: CanonicalFaceDecoderConfig) -> Tensor:
    """`place_of`, int64 `[texture_size ** 2]`: the pixels that belong most to a face of this frame.

    Args:
        frame: mean landmarks, pixels of the full size, (x, y), `[N, 2]`.
    """
    size = config.texture_size
    region = face_region(frame * size / config.image_size, size, reach=1.0).flatten()
    # Far from the face the region is 0 for all, and the first pixels are taken.
    nearest = region.sort(descending=True, stable=True).indices[: config.n_pixels].sort().values
    places = torch.full((size * size,), config.n_pixels)
    places[nearest] = torch.arange(config.n_pixels)
    return places

"""What stands around a predicted face, decided: covered or white ground, with nothing between.

A linear prediction of hair is a mean over people with it and without it, and so a grey haze around
every head. Here two questions are answered apart. *Where* the white ground is covered, the opacity,
is predicted in principal components of the opacities of training faces, drawn towards averages of
many similar heads (steps of mean shift, Cheng 1995), and made decisive by a smooth step across its
contour at one half. *What colour* covers it comes from the linear prediction, by normalised
convolution (Knutsson and Westin 1993): a pixel counts as much as it is certain.

Both are smooth and live on a grid that is coarser than the image; matrix products along rows and
columns blur and enlarge them. A prototype is an average of many heads, nobody's own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech2face.configuration import require, require_sizes

FLATTEST = 0.005  # opacity a pixel: the slope that a contour is taken to have at least
SOFTENING = 4.0  # pixels: blur of the opacity and of the colour, so that outlines are smooth
NEAR, FAR = 8.0, 40.0  # pixels: reach of the normalised convolution, and where nothing near counts
FAR_SHARE = 0.03
THIN_SHARE = 0.005  # weight in the convolution of what covers, and is not certain
CERTAIN = 0.98  # eroded opacity from which on a pixel's own colour counts in full
INNER_REACH = 0.95  # of the face, see `face_region`: it always covers, in its own colour
MOST_PIXELS = 256.0  # of a length in the settings


@dataclass(frozen=True)
class SurroundConfig:
    """Every choice about the surround; made on train and val."""

    n_components: int = 24  # of the opacity
    n_prototypes: int = 128  # averages of opacities
    shift_width: float = 0.15  # of the mean shift, in root mean square distances from the mean
    n_shifts: int = 2  # 0: the linear prediction of the opacity
    outline: float = 2.0  # pixels: half the width of the step across the outline
    erosion: float = 8.0  # pixels: nearer to the outline a colour is not certain
    certain_from: float = 0.85  # eroded opacity from which on a pixel's own colour begins to count

    def __post_init__(self) -> None:
        require_sizes(self, "n_components", "n_prototypes", most=1024)
        require(0 <= self.n_shifts <= 16, "n_shifts", self.n_shifts, "0 to 16")
        is_width = 1e-3 <= self.shift_width <= 1e3
        require(is_width, "shift_width", self.shift_width, "a number in 0.001..1000")
        for name in ("outline", "erosion"):
            is_length = 0.1 <= getattr(self, name) <= MOST_PIXELS
            require(is_length, name, getattr(self, name), f"pixels in 0.1..{MOST_PIXELS:g}")
        is_share = 0 <= self.certain_from < CERTAIN
        require(is_share, "certain_from", self.certain_from, f"0 or more, below {CERTAIN}")


class DecidedSurround(nn.Module):
    """Covers the white ground around a face where a head would, in the colour predicted there.

    Args:
        config: see there.
        n_code: coordinates of the surround's code, S.
        grid: height and width of the fields of opacity and colour, G.
        size: height and width of the texture in pixels; a multiple of the grid.
    """

    prototypes: Tensor
    scale: Tensor
    near: Tensor
    far: Tensor
    soften: Tensor
    erode: Tensor
    enlarge: Tensor

    def __init__(self, config: SurroundConfig, n_code: int, grid: int, size: int) -> None:
        super().__init__()
        self.config, self.grid, self.cell = config, grid, size / grid
        self.place = nn.Linear(n_code, config.n_components)  # the code to the opacity's components
        self.opacity = nn.Linear(config.n_components, grid * grid)
        self.register_buffer("prototypes", torch.zeros(config.n_prototypes, config.n_components))
        self.register_buffer("scale", torch.ones(()))  # root mean square distance from the mean
        lines = {
            "near": blurring(grid, NEAR / self.cell),
            "far": blurring(grid, FAR / self.cell),
            "erode": blurring(grid, config.erosion / self.cell),
            "soften": continued_blurring(grid, SOFTENING / self.cell),
            "enlarge": enlarging(grid, size),
        }
        for name, matrix in lines.items():
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, code: Tensor, texture: Tensor, small: Tensor, inner: Tensor) -> Tensor:
        """The texture with its surround decided.

        Args:
            code: of the surround, `[B, S]`.
            texture: linear prediction, RGB around 0..1, white ground, `[B, 3, H, W]`.
            small: the same on the grid, `[B, 3, G, G]`.
            inner: 1 where the texture is kept as it is, 0 outside, smooth between, `[H, W]`.
        """
        place = self.place(code)  # [B, C]
        linear = self.opacity_of(place).clamp(0.0, 1.0)  # [B, 1, G, G]
        depth = self.depth(self.opacity_of(self.shift(place)))  # [B, 1, G, G]
        certain = self.certainty(linear)  # [B, 1, G, G]
        colour = self.colour(1.0 - small, linear, certain)  # [B, 3, G, G]
        fields = along_both(self.enlarge, torch.cat([colour, certain, depth], dim=1))
        colour, certain, depth = fields[:, :3], fields[:, 3:4], fields[:, 4:]  # [B, ., H, W]
        certain = torch.maximum(certain.clamp(0.0, 1.0), inner)
        cover = torch.maximum(self.cover(depth), inner)  # [B, 1, H, W]
        darkness = certain * (1.0 - texture) + (1.0 - certain) * colour
        return 1.0 - cover * darkness

    def opacity_of(self, place: Tensor) -> Tensor:
        """Opacity on the grid, about 0..1, `[B, 1, G, G]`, of its components `[B, C]`."""
        flat: Tensor = self.opacity(place)
        return flat.reshape(-1, 1, self.grid, self.grid)

    def shift(self, place: Tensor) -> Tensor:
        """Components `[B, C]` drawn towards the prototypes near them, by steps of mean shift."""
        sharpness = 0.5 / (self.config.shift_width * self.scale).square()
        for _ in range(self.config.n_shifts):
            apart = (place[:, None] - self.prototypes).square().sum(dim=2)  # [B, K]
            place = torch.softmax(-sharpness * apart, dim=1) @ self.prototypes  # [B, C]
        return place

    def depth(self, opacity: Tensor) -> Tensor:
        """About how many pixels a cell lies inside the contour at one half, `[B, 1, G, G]`.

        It is the opacity above one half over its slope, so that an outline is equally sharp
        wherever the opacity is steep and wherever it is flat.
        """
        opacity = along_both(self.soften, opacity)
        padded = F.pad(opacity, (1, 1, 1, 1), mode="replicate")
        across = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / (2 * self.cell)
        down = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) / (2 * self.cell)
        slope = (across.square() + down.square() + FLATTEST**2).sqrt()
        reach = 4 * self.config.outline
        return ((opacity - 0.5) / slope).clamp(-reach, reach)

    def cover(self, depth: Tensor) -> Tensor:
        """How much of the white ground is covered, 0..1: a smooth step across the contour."""
        return smooth_step(0.5 + 0.5 * depth / self.config.outline)

    def certainty(self, opacity: Tensor) -> Tensor:
        """How far a cell's own colour is used, 0..1: only well inside of what covers."""
        inside = along_both(self.erode, opacity)
        least = self.config.certain_from
        return smooth_step((inside - least) / (CERTAIN - least))

    def colour(self, darkness: Tensor, opacity: Tensor, certain: Tensor) -> Tensor:
        """How dark what covers is, `[B, 3, G, G]`, at its outline too.

        Args:
            darkness: 1 - RGB of ground that is partly covered, `[B, 3, G, G]`.
            opacity: how much of it is, `[B, 1, G, G]`.
            certain: weight of each cell, `[B, 1, G, G]`.
        """
        weight = certain + THIN_SHARE * opacity.pow(4)
        fields = torch.cat([weight * darkness, weight * opacity], dim=1)  # [B, 4, G, G]
        spread = along_both(self.near, fields) + FAR_SHARE * along_both(self.far, fields)
        mean = (spread[:, :3] / (spread[:, 3:] + 1e-6)).clamp(0.0, 1.0)
        # Short hair is a dark band along the outline, where nothing is certain.
        own = (darkness / opacity.clamp(min=0.5)).clamp(0.0, 1.0)
        widened = F.max_pool2d(torch.maximum(mean, own), 3, stride=1, padding=1)
        return along_both(self.soften, widened)


def smooth_step(values: Tensor) -> Tensor:
    """0 below 0, 1 above 1, 3 x^2 - 2 x^3 between."""
    inside = values.clamp(0.0, 1.0)
    return inside.square() * (3.0 - 2.0 * inside)


def enlarging(before: int, after: int) -> Tensor:
    """Weights `[after, before]` that enlarge one side of a picture as `F.interpolate` does.

    Two products with them take a tenth of the time of the bicubic `Resize` of onnxruntime.
    """
    identity = torch.eye(before)[None, None]  # [1, 1, before, before]
    return F.interpolate(identity, (after, before), mode="bicubic", align_corners=False)[0, 0]


def blurring(size: int, sigma: float) -> Tensor:
    """Gaussian weights `[size, size]` of a line of cells; each row adds up to 1."""
    cell = torch.arange(size, dtype=torch.float32)
    return torch.softmax(-0.5 * ((cell[:, None] - cell) / sigma).square(), dim=1)


def continued_blurring(size: int, sigma: float) -> Tensor:
    """The same of a line that goes on straight beyond its ends, so that ramps are not bent."""
    reach = int(4 * sigma) + 1
    line = torch.eye(size)
    beyond = torch.arange(reach, 0, -1, dtype=torch.float32)[:, None]  # cells
    step = 1 if size > 1 else 0
    before = line[0] + beyond * (line[0] - line[step])
    after = line[-1] + beyond.flip(0) * (line[-1] - line[-1 - step])
    continued = torch.cat([before, line, after])  # [size + 2 reach, size]
    return (blurring(len(continued), sigma) @ continued)[reach : reach + size]


def along_both(matrix: Tensor, picture: Tensor) -> Tensor:
    """A matrix `[M, N]` applied to rows and to columns of `[..., N, N]`: `[..., M, M]`."""
    return matrix @ picture @ matrix.T

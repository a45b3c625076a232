"""Fit of the decided surround, in closed form: where training faces cover the white background.

How far a face covers the background is measured in its texture and called opacity. Three things are
fitted: the principal components of opacities; a ridge regression from the code of a surround to
its position in these components; and prototypes, which are averages over clusters of many faces
(k-means).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2face.models.canonical_decoder import CanonicalFaceDecoderConfig, block_means
from speech2face.models.decided_surround import DecidedSurround, smooth_step

GROUND, COVERED = 0.04, 0.26  # darkness of a pixel: up to the first white, from the second opaque
FEWEST = 12  # a prototype is an average of at least so many faces
RIDGE = 1e-3  # in units of the mean variance of a coordinate of the code
N_STEPS = 40  # steps of k-means
SEED = 0
_PART = 64  # textures that are processed at once


def opacities(textures: Tensor, grid: int) -> Tensor:
    """How far textures cover the white background, from 0 to 1, on a grid.

    Args:
        textures: uint8 or float in 0..1, `[M, 3, H, W]`.
        grid: G, the number of rows and columns.

    Returns:
        Opacities `[M, G * G]`.
    """
    whole = 255.0 if textures.dtype == torch.uint8 else 1.0
    return torch.cat([_opacities(part / whole, grid) for part in textures.split(_PART)])


def _opacities(textures: Tensor, grid: int) -> Tensor:
    darkness = (1.0 - textures).amax(dim=1)  # [M, H, W], darkness of the darkest channel
    return block_means(smooth_step((darkness - GROUND) / (COVERED - GROUND)), grid).flatten(1)


@torch.no_grad()
def fit_surround(
    codes: Tensor, covered: Tensor, config: CanonicalFaceDecoderConfig
) -> DecidedSurround:
    """Fit the surround to training faces.

    Args:
        codes: codes of their surrounds, `[M, S]`.
        covered: their opacities, `[M, G * G]`.
        config: sizes of the decoder to which the surround belongs.
    """
    surround = DecidedSurround(config.surround, codes.shape[1], config.grid_size, config.image_size)
    mean = covered.mean(dim=0)  # [G * G]
    centred = covered - mean
    basis = _components(centred, config.surround.n_components)  # [C, G * G]
    places = centred @ basis.T  # [M, C]
    middle = codes.mean(dim=0)  # [S]
    slopes = _ridge(codes - middle, places)  # [S, C]
    surround.place.weight.copy_(slopes.T)
    surround.place.bias.copy_(-middle @ slopes)
    surround.opacity.weight.copy_(basis.T)
    surround.opacity.bias.copy_(mean)
    surround.prototypes.copy_(averages(places, config.surround.n_prototypes))
    surround.scale.copy_(places.square().sum(dim=1).mean().sqrt().clamp(min=1e-3))
    return surround.requires_grad_(False)


def averages(points: Tensor, n_averages: int) -> Tensor:
    """Means of clusters of points `[M, C]` by k-means, `[n_averages, C]`.

    Each is a mean of at least `FEWEST` points, or of all points if there are fewer. The mean of a
    smaller cluster is replaced by the nearest mean of a large one. If there are too few points for
    so many means, the means are repeated.
    """
    fewest = min(FEWEST, len(points))
    n_means = min(n_averages, len(points) // fewest)
    first = torch.randperm(len(points), generator=torch.Generator().manual_seed(SEED))[:n_means]
    means = points[first]
    count = torch.zeros(n_means)
    for _ in range(N_STEPS):
        belongs = F.one_hot(torch.cdist(points, means).argmin(dim=1), n_means).to(points)  # [M, K]
        count = belongs.sum(dim=0)  # [K]
        sums = belongs.T @ points  # [K, C]
        means = torch.where(count[:, None] > 0, sums / count.clamp(min=1)[:, None], means)
    large = means[count >= fewest]  # never empty: clusters have at least `fewest` points on average
    nearest = large[torch.cdist(means, large).argmin(dim=1)]
    means = torch.where((count >= fewest)[:, None], means, nearest)
    return means[torch.arange(n_averages) % n_means]


def _components(centred: Tensor, n_components: int) -> Tensor:
    """Principal directions `[n_components, P]` of `[M, P]`; zeros beyond the rank of the rows."""
    # The Gram matrix of the rows is smaller than their covariance, or not much larger.
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # ascending
    values, vectors = values.flip(0)[:n_components], vectors.flip(1)[:, :n_components]
    is_spanned = values > 1e-5 * values[0].clamp(min=1e-5)
    factors = torch.where(is_spanned, values.clamp(min=1e-12).rsqrt(), 0.0)
    found = (vectors * factors).T @ centred
    return F.pad(found, (0, 0, 0, n_components - len(found)))


def _ridge(deviations: Tensor, targets: Tensor) -> Tensor:
    """Slopes `[S, C]` from centred inputs `[M, S]` to centred targets `[M, C]`."""
    gram = deviations.T @ deviations
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    slopes: Tensor = torch.linalg.solve(gram + penalty, deviations.T @ targets)
    return slopes

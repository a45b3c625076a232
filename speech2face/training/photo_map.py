"""The linear map from a recogniser's feature of a photo to the code of the canonical face."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from speech2face.training.measurements import CANONICAL


@dataclass(frozen=True)
class PhotoMap:
    """Code = weight @ feature + bias."""

    weight: Tensor  # [D, 128]
    bias: Tensor  # [D]


def fit_photo_map(
    photo_features: Tensor,
    render_features: Mapping[str, Tensor],
    codes: Mapping[str, Tensor],
    *,
    ridge: float,
    render_weight: float,
) -> PhotoMap:
    """Weighted ridge regression of codes on recogniser features, of photos and of the renders.

    A render has no pose and no background, so its features are shifted against those of photos.
    Photos and renders are therefore centred separately, each before they are put together.

    Args:
        photo_features: of M photos, `[M, 128]`; their target is the code of the canonical face.
        render_features: by render, `[M, 128]`; the target is the code of the render itself.
        codes: by render, `[M, D]`.
        ridge: penalty on the squared slopes, per row.
        render_weight: weight of a render's squared error, where a photo's has weight 1.
    """
    photo_mean = photo_features.mean(dim=0)  # [128]
    render_mean = render_features[CANONICAL].mean(dim=0)
    rendered = torch.cat(list(render_features.values())) - render_mean
    features = torch.cat([photo_features - photo_mean, rendered]).double()  # [rows, 128]
    targets = torch.cat([codes[CANONICAL], *(codes[name] for name in render_features)]).double()
    weight = features.new_ones(len(features), 1)
    weight[len(photo_features) :] = render_weight
    design = torch.cat([features, features.new_ones(len(features), 1)], dim=1)  # [rows, 129]
    penalty = torch.eye(design.shape[1], dtype=torch.float64) * ridge * len(design)
    penalty[-1, -1] = 0.0  # of the constant
    solution = torch.linalg.solve(
        design.T @ (weight * design) + penalty, design.T @ (weight * targets)
    )
    slopes, constant = solution[:-1].T.float(), solution[-1].float()  # [D, 128], [D]
    return PhotoMap(slopes, constant - slopes @ photo_mean)

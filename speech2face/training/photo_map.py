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
    """Weighted ridge regression of codes on recogniser features of photos and renders.

    A render has no pose and no background, so the mean of its features differs from that of photos.
    Photos and renders are therefore centred separately before they are joined.

    Args:
        photo_features: features of M photos, `[M, 128]`; their targets are the codes of the
            canonical faces.
        render_features: features `[M, 128]` by render; their targets are the codes of the renders.
        codes: codes `[M, D]` by render.
        ridge: penalty on the squared slopes, per row.
        render_weight: weight of the squared error of a render; that of a photo is 1.
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
    penalty[-1, -1] = 0.0  # the constant is not penalised
    solution = torch.linalg.solve(
        design.T @ (weight * design) + penalty, design.T @ (weight * targets)
    )
    slopes, constant = solution[:-1].T.float(), solution[-1].float()  # [D, 128], [D]
    return PhotoMap(slopes, constant - slopes @ photo_mean)

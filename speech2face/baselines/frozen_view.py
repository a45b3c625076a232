"""What a frozen encoder says, in the directions in which it varies: the input of compact systems.

A voice is described by thousands of numbers, and there are hundreds of clips. A compact system
therefore begins with a fixed linear map, fitted to the training clips without any label: numbers of
a part have a fixed variance in sum, and directions are divided by the root of their variance plus
a ridge. The matcher begins in the same way (`training/correlation.py`), with more directions and a
smaller ridge; networks that are trained step by step need fewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speech2face.configuration import require, require_sizes


@dataclass(frozen=True)
class ViewConfig:
    """How a description becomes the input of a compact network.

    Chosen for two towers by five folds of the people of the train split.
    """

    size: int = 64  # directions that are kept, the most varied first
    voice_ridge: float = 0.1  # where the variances of all numbers add up to 1
    face_ridge: float = 0.18

    def __post_init__(self) -> None:
        require_sizes(self, "size")
        for name in ("voice_ridge", "face_ridge"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")


class FrozenView(nn.Module):
    """A fixed affine map from a description `[B, V]` to `[B, P]`; it is never trained."""

    mean: Tensor  # [V]
    weight: Tensor  # [V, P]

    def __init__(self, n_inputs: int, n_outputs: int, of: Literal["voice", "face"]) -> None:
        super().__init__()
        self.of = of
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("weight", torch.zeros(n_inputs, n_outputs))

    def forward(self, description: Tensor) -> Tensor:
        """`[B, V]` to `[B, P]`."""
        return (description - self.mean) @ self.weight

    def fit(
        self, descriptions: NDArray[np.float64], scale: NDArray[np.float64], ridge: float
    ) -> None:
        """Fit the map to the descriptions of the training clips.

        Args:
            descriptions: `[M, V]`.
            scale: factor of each number before directions are found, `[V]`.
            ridge: added to the variance of every direction.
        """
        mean = descriptions.mean(axis=0)
        rows = (descriptions - mean) * scale / np.sqrt(len(descriptions))  # [M, V]
        _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
        kept = min(self.weight.shape[1], len(lengths))
        weight = np.zeros(tuple(self.weight.shape))
        weight[:, :kept] = scale[:, None] * directions[:kept].T
        weight[:, :kept] /= np.sqrt(lengths[:kept] ** 2 + ridge)
        self.mean.copy_(torch.from_numpy(mean))
        self.weight.copy_(torch.from_numpy(weight))


def layers(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes, with a ReLU between any two."""
    stack: list[nn.Module] = []
    for n_inputs, n_outputs in zip(sizes, sizes[1:], strict=False):
        stack += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
    return nn.Sequential(*stack[:-1])


def on_view(view: FrozenView, size: int, *, initial_scale: float = 1.0) -> nn.Sequential:
    """A trained linear layer of `size` outputs on a view: a compact tower.

    Args:
        view: of a frozen encoder.
        size: of the vectors.
        initial_scale: factor of the usual initial weights. Where vectors are compared directly,
            initial weights are noise in every distance, which hundreds of clips do not train away.
    """
    layer = nn.Linear(view.weight.shape[1], size)
    with torch.no_grad():
        layer.weight.mul_(initial_scale)
    return nn.Sequential(view, layer)

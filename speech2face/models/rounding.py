"""Rounding of large weights for a model file: int8 with one scale per channel, or float16.

Round before exporting, so that torch and ONNX compute with the same numbers. A layer that is fitted
on the output of another is fitted on the output of the rounded one.
"""

import copy
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

LARGE_BYTES = 16 * 1024  # float32 tensors larger than this are worth rounding
_MAX_LEVEL = 127  # of int8; -128 is not used, so that a weight and its negative round alike
_QUANTISED_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
M = TypeVar("M", bound=nn.Module)


def rounded_weights(model: M) -> M:
    """Copy of `model` with the weights that its file will hold, as float32.

    Large weights of linear and convolution layers are rounded to int8, see `quantise`; every other
    large tensor to float16, or not at all if it has a value beyond that (65504).
    """
    copied = copy.deepcopy(model)
    quantised = {
        f"{name}.weight"
        for name, layer in copied.named_modules()
        if isinstance(layer, _QUANTISED_LAYERS)
    }
    with torch.no_grad():
        for name, tensor in copied.state_dict().items():  # not what is derived from constants
            if tensor.dtype == torch.float32 and is_large(tensor):
                rounded = quantise(tensor).value if name in quantised else tensor.half().float()
                if rounded.isfinite().all():
                    tensor.copy_(rounded)
    return copied


class Quantised(NamedTuple):
    """A weight as integer levels and scales; `levels * step` is exact in float32."""

    levels: Tensor  # int8, shape of the weight
    step: Tensor  # float32, the scale of each slice: all sizes but one are 1

    @property
    def value(self) -> Tensor:
        return self.levels.float() * self.step


def is_large(tensor: Any) -> bool:
    """Whether a tensor or array is worth rounding."""
    return bool(tensor.nbytes > LARGE_BYTES)


def quantise(weight: Tensor) -> Quantised:
    """Round a float32 weight `[M, N, ...]` to int8, with one scale per slice of dimension 0 or 1.

    The dimension with the smaller error is chosen, see `_relative_error`. Usually the outputs
    (dimension 0) differ most in size; in a basis, such as the textures of a decoder, the inputs do,
    because each is one component. Rounding a rounded weight again does not change it.
    """
    candidates = [quantise_along(weight, dimension) for dimension in (0, 1)]
    return min(candidates, key=lambda found: _relative_error(found.value, weight))


def _relative_error(value: Tensor, weight: Tensor) -> float:
    """Mean squared error of the slices of both dimensions, each relative to the slice's own energy.

    So small slices count as much as large ones. With the plain error they could be rounded to zero.
    """
    error, energy = (value - weight).square(), weight.square()
    total = 0.0
    for dimension in (0, 1):
        others = [other for other in range(weight.ndim) if other != dimension]
        held = energy.sum(dim=others)
        total += float((error.sum(dim=others) / held.where(held > 0, 1.0)).mean())
    return total


def quantise_along(weight: Tensor, dimension: int) -> Quantised:
    """Round a weight to int8, with one scale per slice of `dimension`: its largest value over 127.

    The scale (`step`) is itself rounded to bfloat16, which has eight significant bits. Its product
    with a level of seven bits is then exact in float32 on every processor, and the largest value
    still has level 127. A slice of zeros has scale 0.
    """
    others = [other for other in range(weight.ndim) if other != dimension]
    largest = weight.abs().amax(dim=others, keepdim=True)
    step = (largest / _MAX_LEVEL).bfloat16().float()
    levels = (weight / step.where(step > 0, 1.0)).round().clamp(-_MAX_LEVEL, _MAX_LEVEL)
    return Quantised(levels.to(torch.int8), step)

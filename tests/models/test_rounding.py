"""Rounding of weights, slice by slice, against NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speech2face.models.rounding import quantise, quantise_along, rounded_weights


def weights_of(shape: tuple[int, ...], sizes_along: int, seed: int = 0) -> Tensor:
    """Random weights whose slices of one dimension differ by orders of magnitude; one is zero."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-4, 2, shape[sizes_along])
    sizes[1] = 0.0
    sizes = sizes.reshape([-1 if n == sizes_along else 1 for n in range(len(shape))])
    return torch.randn(shape, generator=generator) * sizes


@pytest.mark.parametrize("shape", [(30, 20), (12, 9, 3), (6, 8, 3, 3)])
@pytest.mark.parametrize("along", [0, 1])
def test_quantising_is_rounding_of_each_slice_to_its_own_steps(
    shape: tuple[int, ...], along: int
) -> None:
    weight = weights_of(shape, sizes_along=along)
    levels, step = quantise_along(weight, along)
    assert levels.dtype == torch.int8
    slices = zip(
        *(np.moveaxis(part.numpy(), along, 0) for part in (weight, levels, step)), strict=True
    )
    for one, found, width in slices:
        assert width.size == 1
        if not one.any():
            assert not found.any() and not width.any()
            continue
        np.testing.assert_allclose(width.item(), np.abs(one).max() / 127, rtol=2**-8)
        np.testing.assert_array_equal(found, np.rint(one / width))
        assert np.abs(found).max() == 127
        exact = found.astype(np.float64) * width.astype(np.float64)
        np.testing.assert_array_equal(exact.astype(np.float32), exact)  # no digit is lost
        assert np.abs(exact - one).max() <= 0.5 * width.item() * (1 + 1e-6)


@pytest.mark.parametrize("along", [0, 1])
def test_steps_go_with_the_dimension_whose_slices_differ(along: int) -> None:
    step = quantise(weights_of((30, 20), sizes_along=along)).step
    assert step.shape == ((30, 1), (1, 20))[along]


@pytest.mark.parametrize("along", [0, 1])
def test_quantising_again_or_transposed_finds_the_same_numbers(along: int) -> None:
    value = quantise(weights_of((30, 20), sizes_along=along)).value
    assert torch.equal(quantise(value).value, value)
    assert torch.equal(quantise(value.T).value, value.T)


def test_any_network_is_rounded_and_the_one_that_was_given_is_not() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(100, 80), nn.Linear(4, 3), nn.Conv1d(80, 60, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stored = rounded_weights(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(stored[0].weight, quantise(before["0.weight"]).value)
    assert torch.equal(stored[2].weight, quantise(before["2.weight"]).value)
    assert torch.equal(stored[1].weight, before["1.weight"])  # small
    assert (stored[0].weight - before["0.weight"]).norm() < 0.01 * before["0.weight"].norm()

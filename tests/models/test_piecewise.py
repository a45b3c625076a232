"""In torch, pieces go through a network as one batch would. Of graphs: inference/test_export.py."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.models.piecewise import AT_ONCE, piecewise, recorded


class Watched(nn.Module):
    """Doubles and adds one, and notes how many pieces it is given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, pieces: Tensor) -> Tensor:
        self.sizes.append(len(pieces))
        return 2 * pieces.sum(dim=-1) + 1


@pytest.mark.parametrize("n_pieces", range(1, 2 * AT_ONCE + 2))
def test_every_piece_is_given_once_in_order_and_never_more_than_a_few_at_once(
    n_pieces: int,
) -> None:
    pieces = torch.randn(n_pieces, 5, 3, generator=torch.Generator().manual_seed(0))
    network = Watched()
    torch.testing.assert_close(piecewise(network, pieces), 2 * pieces.sum(dim=-1) + 1)
    assert network.sizes == ([n_pieces] if n_pieces <= AT_ONCE else [1] * n_pieces)


def test_networks_are_recorded_by_name_and_give_the_same_values() -> None:
    pieces = torch.arange(24.0).reshape(8, 3)
    first, second = Watched(), Watched()
    with recorded() as used:
        torch.testing.assert_close(piecewise(first, pieces), 2 * pieces.sum(dim=-1) + 1)
        piecewise(second, pieces[:, :2])
    assert [one.network for one in used.values()] == [first, second]
    assert [tuple(one.piece.shape) for one in used.values()] == [(1, 3), (1, 2)]


def test_networks_can_be_trained_through_pieces() -> None:
    layer = nn.Linear(3, 2).double()
    pieces = torch.randn(AT_ONCE + 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: piecewise(layer, given), pieces)

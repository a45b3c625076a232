"""What trained systems say of clips, against a plain loop."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from speech2face.baselines import judging
from speech2face.baselines.svhf import PairClassifier, Svhf


def test_leads_are_those_of_a_loop_over_all_pairs() -> None:
    torch.manual_seed(0)
    network = Svhf(nn.Linear(5, 4), nn.Linear(6, 4), PairClassifier(4, (8,))).eval()
    queries, gallery = torch.randn(3, 5), torch.randn(7, 6)
    found = judging.leads(network, queries, gallery)
    assert found.mean.shape == (3, 7)
    for row in range(3):
        for column in range(7):
            own, other, query = gallery[row], gallery[column], queries[row]
            with torch.no_grad():
                first = network(own[None], other[None], query[None])[0]
                second = network(other[None], own[None], query[None])[0]
            assert found.own_first[row, column] == pytest.approx(
                float(first[0] - first[1]), abs=1e-5
            )
            assert found.own_second[row, column] == pytest.approx(
                float(second[1] - second[0]), abs=1e-5
            )


def test_an_answer_changes_with_the_order_where_the_signs_differ() -> None:
    own_first = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, -1.0]])
    own_second = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -2.0]])
    assert judging.Leads(own_first, own_second).changed == 1 / 4  # of four pairs of two people


class White(nn.Module):
    """Draws white at the top and values beyond the range below."""

    def face(self, voices: torch.Tensor) -> torch.Tensor:
        picture = torch.ones(len(voices), 3, 64, 64)
        picture[:, :, 32:] = -2.0
        return picture


def test_faces_are_written_within_the_range_of_a_picture(tmp_path: Path) -> None:
    (file,) = judging.draw_faces(White(), {"a": torch.zeros(4)}, tmp_path / "faces")
    pixels = np.asarray(Image.open(file))
    assert pixels.shape == (224, 224, 3)
    assert pixels[10, 10].tolist() == [255, 255, 255] and pixels[200, 10].tolist() == [0, 0, 0]

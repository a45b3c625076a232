"""The ellipse around the landmarks: where it is 1, where it is 0, and how it falls between."""

import math

import pytest
import torch

from speech2face.models.face_region import face_region

LANDMARKS = torch.tensor([[40.0, 30.0], [120.0, 80.0], [80.0, 150.0]])  # centre (80, 90)


@pytest.mark.parametrize("reach", [0.5, 1.0])
def test_value_is_that_of_the_formula_at_every_pixel(reach: float) -> None:
    region = face_region(LANDMARKS, 160, reach=reach)
    for x, y in ((80, 90), (40, 90), (80, 30), (100, 120), (0, 0), (159, 159)):
        radius = ((x - 80) / (40 * reach)) ** 2 + ((y - 90) / (60 * reach)) ** 2
        assert float(region[y, x]) == pytest.approx(math.exp(-(radius**4)), abs=1e-6)


def test_inside_is_1_and_the_corners_are_0() -> None:
    region = face_region(LANDMARKS, 160, reach=1.0)
    assert region.shape == (160, 160)
    assert region[70:110, 70:90].min() > 0.99
    assert region[:10, :10].max() == 0
    assert region.min() >= 0 and region.max() <= 1


def test_it_moves_with_the_landmarks() -> None:
    here = face_region(LANDMARKS, 160, reach=0.5)
    there = face_region(LANDMARKS + torch.tensor([7.0, -4.0]), 160, reach=0.5)
    torch.testing.assert_close(there[:-4, 7:], here[4:, :-7])

"""Measures of pictures on drawn shapes whose answers are known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "picture.py"
spec = importlib.util.spec_from_file_location("picture", FILE)
assert spec is not None and spec.loader is not None
picture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(picture)


def edge(ramp: float) -> np.ndarray:
    """White on the left, black on the right, linear over `ramp` pixels, `[1, 224, 224, 3]`."""
    dark = np.clip(0.5 + (np.arange(224) - 111.5) / ramp, 0, 1)
    grey = np.rint(255 * (1 - dark)).astype(np.uint8)
    return np.broadcast_to(grey[None, None, :, None], (1, 224, 224, 3)).copy()


@pytest.mark.parametrize("ramp", [20.0, 50.0, 100.0])
def test_outline_and_haze_of_a_linear_ramp_are_their_shares_of_it(ramp: float) -> None:
    assert picture.outline_width(edge(ramp))[0] == pytest.approx(0.4 * ramp, abs=1.0)
    assert picture.haze(edge(ramp))[0] * 224 == pytest.approx(0.22 * ramp, abs=1.0)


def test_the_outline_of_a_disc_counts_sides_of_pixels() -> None:
    """The contour of a disc runs along 8 r sides, 4 / pi times the circle."""
    at = np.arange(224) - 111.5
    dark = np.clip(0.3 + (70 - np.hypot(at, at[:, None])) / 20, 0, 1)
    grey = np.rint(255 * (1 - dark)).astype(np.uint8)
    disc = np.repeat(grey[None, :, :, None], 3, axis=-1)
    assert picture.outline_width(disc)[0] == pytest.approx(8 * np.pi / 4, rel=0.05)


def test_sharpness_is_the_slope_of_grey_and_spread_the_deviation_between_pictures() -> None:
    assert picture.inner_sharpness(edge(200.0))[0] == pytest.approx(0.5, rel=0.01)
    two = np.stack([np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 120, np.uint8)])
    assert picture.spread_between(two) == pytest.approx(10)

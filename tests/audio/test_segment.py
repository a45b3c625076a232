"""Lengths of speech: repeated, cut, halved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2face.audio.segment import N_SAMPLES, halves, tile_or_cut, tile_to
from speech2face.errors import Speech2FaceError


def ramp(n_samples: int) -> np.ndarray:
    return np.arange(n_samples, dtype=np.float32)


def test_convention_a_clip_is_six_seconds_at_16_khz() -> None:
    assert N_SAMPLES == 96_000 == len(tile_or_cut(ramp(5)))


@given(length=st.integers(1, 50), wanted=st.integers(1, 120))
def test_sample_i_of_a_tiled_waveform_is_sample_i_modulo_its_length(
    length: int, wanted: int
) -> None:
    np.testing.assert_array_equal(tile_or_cut(ramp(length), wanted), np.arange(wanted) % length)


@given(length=st.integers(1, 50), wanted=st.integers(1, 120))
def test_tiling_lengthens_and_never_shortens(length: int, wanted: int) -> None:
    tiled = tile_to(ramp(length), wanted)
    np.testing.assert_array_equal(tiled, np.arange(max(length, wanted)) % length)


def test_leading_axes_are_kept() -> None:
    batch = np.stack([ramp(4), -ramp(4)])
    tiled = tile_or_cut(batch, 10)
    assert tiled.shape == (2, 10) and tiled.dtype == np.float32
    np.testing.assert_array_equal(tiled[1], -tile_or_cut(ramp(4), 10))


def test_an_empty_waveform_cannot_be_tiled() -> None:
    with pytest.raises(Speech2FaceError, match="empty"):
        tile_or_cut(ramp(0), 10)


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8])
def test_halves_are_disjoint_and_of_one_length(length: int) -> None:
    first, second = halves(ramp(length))
    assert len(first) == len(second) == length // 2
    np.testing.assert_array_equal(np.concatenate([first, second]), ramp(length // 2 * 2))

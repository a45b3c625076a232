"""The file of the maps: whole, exact, and refused in a sentence if it is anything else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching import tiny_maps
from safetensors.numpy import load_file, save_file

from speech2face.errors import Speech2FaceError
from speech2face.models.matching_maps import (
    BIASES,
    WEIGHTS,
    Calibration,
    MatchingMaps,
    content_of,
    read_maps,
    rounded,
    unit_rows,
)

HEADER = {
    "format": 1,
    "recognisers": ["colour"],
    "intercept": 0.0,
    "slope": 1.0,
    "hearing_sha256": "0",
}


def random_maps(seed: int = 0) -> MatchingMaps:
    rng = np.random.default_rng(seed)
    return replace(
        tiny_maps("1" * 64),
        voice_weight=rng.standard_normal((4, 7)).astype(np.float32),
        voice_bias=rng.standard_normal(4).astype(np.float32),
        face_weight=rng.standard_normal((4, 5)).astype(np.float32),
        face_bias=rng.standard_normal(4).astype(np.float32),
        recognisers=("one", "two"),
        calibration=Calibration(-0.123456789012345, 3.3333333333333335),
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    maps, file = random_maps(), tmp_path / "maps.safetensors"
    file.write_bytes(content_of(maps))
    read, expected = read_maps(file), rounded(maps)
    for name in (*WEIGHTS, *BIASES):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))
    assert (read.recognisers, read.calibration) == (maps.recognisers, maps.calibration)
    assert read.hearing_sha256 == maps.hearing_sha256
    assert content_of(read) == content_of(maps)


def test_a_transposed_map_is_read_again_as_it_was(tmp_path: Path) -> None:
    """The recipe computes maps as transposed arrays, whose numbers lie in another order."""
    maps, file = random_maps(), tmp_path / "maps.safetensors"
    turned = replace(maps, **{name: np.asfortranarray(getattr(maps, name)) for name in WEIGHTS})
    file.write_bytes(content_of(turned))
    for name in WEIGHTS:
        np.testing.assert_array_equal(
            getattr(read_maps(file), name), getattr(rounded(maps), name), err_msg=name
        )


def test_rounding_hardly_moves_a_score() -> None:
    maps, rng = random_maps(), np.random.default_rng(1)
    voices = rng.standard_normal((20, 7))
    faces = {"one": rng.standard_normal((20, 2)), "two": rng.standard_normal((20, 3))}
    scores = [one.of_voices(voices) @ one.of_faces(faces).T for one in (maps, rounded(maps))]
    np.testing.assert_allclose(scores[0], scores[1], atol=5e-3)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=7, max_size=7),
    st.floats(1e-3, 1e3),
)
def test_vectors_have_length_one_and_photos_no_brightness(
    descriptors: list[float], factor: float
) -> None:
    """A recogniser's feature counts by its direction, however long it is."""
    maps = random_maps()
    voice = maps.of_voices(np.array([descriptors]))
    assert np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)
    one, two = np.array([[1.0, -2.0]]), np.array([[0.5, 0.2, 3.0]])
    np.testing.assert_allclose(
        maps.of_faces({"one": one, "two": two}),
        maps.of_faces({"two": two, "one": factor * one}),
        atol=1e-5,
    )


def test_a_row_of_zeros_stays_one() -> None:
    np.testing.assert_array_equal(
        unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]]
    )


def test_calibration_rises_with_the_score_and_is_half_where_the_odds_are_even() -> None:
    calibration = Calibration(intercept=-1.0, slope=4.0)
    assert calibration(0.25) == pytest.approx(0.5)
    assert calibration(0.5) == pytest.approx(1 / (1 + np.exp(-1)))
    probabilities = calibration(np.linspace(-1, 1, 9))
    assert (np.diff(probabilities) > 0).all() and 0 < probabilities[0] < probabilities[-1] < 1


def tensors(**changes: Any) -> dict[str, np.ndarray]:
    maps = tiny_maps("0")
    return {name: getattr(maps, name) for name in (*WEIGHTS, *BIASES)} | changes


HOSTILE: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("no tensors\n" * 9),
    "another safetensors": lambda file: save_file(tensors(), str(file)),
    "a header that is no JSON": lambda file: save_file(tensors(), str(file), {"speech2face": "{"}),
    "a header that is a list": lambda file: save_file(tensors(), str(file), {"speech2face": "[]"}),
    "a later format": lambda file: save(file, header={"format": 2}),
    "no recogniser": lambda file: save(file, header={"recognisers": []}),
    "a slope that is a word": lambda file: save(file, header={"slope": "steep"}),
    "a recogniser that is a number": lambda file: save(file, header={"recognisers": 7}),
    "other sizes": lambda file: save(file, voice_bias=np.zeros(3, np.float32)),
    "a flat map": lambda file: save(file, voice_weight=np.zeros(6, np.float32)),
    "sides of two sizes": lambda file: save(file, face_weight=np.zeros((3, 3), np.float32)),
    "no coordinate": lambda file: save(
        file, **{name: value[:0] for name, value in tensors().items()}
    ),
    "NaN": lambda file: save(file, face_bias=np.array([0, np.nan], np.float32)),
}


def save(file: Path, header: dict[str, Any] | None = None, **changes: Any) -> None:
    text = json.dumps(HEADER | (header or {}))
    save_file(tensors(**changes), str(file), {"speech2face": text})


@pytest.mark.parametrize("case", HOSTILE)
def test_another_file_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    file = tmp_path / "maps.safetensors"
    HOSTILE[case](file)
    with pytest.raises(Speech2FaceError, match="default-matcher") as refused:
        read_maps(file)
    assert refused.value.path == str(file)


def test_the_file_that_the_hostile_ones_vary_is_good(tmp_path: Path) -> None:
    save(tmp_path / "maps.safetensors")
    assert read_maps(tmp_path / "maps.safetensors").recognisers == ("colour",)


@settings(max_examples=60)
@given(cut=st.integers(0, 10_000), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, bit: int
) -> None:
    file = tmp_path_factory.mktemp("damaged") / "maps.safetensors"
    content = bytearray(content_of(random_maps()))
    content[place % len(content)] ^= 1 << bit
    file.write_bytes(content[: len(content) - cut % 40])
    try:
        assert np.isfinite(read_maps(file).voice_weight).all()
    except Speech2FaceError as refused:
        assert refused.path == str(file)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="without a matcher"):
        read_maps(tmp_path / "none.safetensors")


def test_the_file_holds_halves(tmp_path: Path) -> None:
    file = tmp_path / "maps.safetensors"
    file.write_bytes(content_of(random_maps()))
    kinds = {name: value.dtype for name, value in load_file(str(file)).items()}
    assert kinds == dict.fromkeys(WEIGHTS, np.float16) | dict.fromkeys(BIASES, np.float32)

"""The maps of the matcher: a voice and a photo become vectors of one space, by two linear maps.

One file of a few hundred kilobytes, `NAME-match.safetensors` beside the model `NAME.onnx`. It names
the SHA-256 of the hearing graph whose descriptors of a voice it takes, and the recognisers whose
features of a photo it takes, because with others its numbers mean nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.records import parse_json_object
from speech2face.tensor_files import content_of_arrays, read_arrays

FORMAT = 1
WEIGHTS, BIASES = ("voice_weight", "face_weight"), ("voice_bias", "face_bias")
MAKE_AGAIN = "make it again for this model: speech2face default-matcher"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """From the score of a pair to the probability that its voice and face belong together.

    It is said of a pair that is as likely to be a true one as to be made of a voice and the face
    of a stranger of the same apparent gender: log odds = intercept + slope * score.
    """

    intercept: float
    slope: float

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of scores, in the same shape."""
        odds = self.intercept + self.slope * np.asarray(scores, np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


@dataclass(frozen=True, eq=False)
class MatchingMaps:
    """The two linear maps into the common space, and what their scores mean."""

    voice_weight: Floats  # [K, V]
    voice_bias: Floats  # [K]
    face_weight: Floats  # [K, sum of the sizes of the recognisers' features]
    face_bias: Floats  # [K]
    recognisers: tuple[str, ...]  # whose features, one after the other, the face side takes
    calibration: Calibration
    hearing_sha256: str  # of the one hearing graph whose descriptors the voice side takes

    def of_voices(self, descriptors: NDArray[Any]) -> Floats:
        """Vectors of length 1, `[N, K]`, of descriptors `[N, V]`."""
        return self._placed(descriptors, self.voice_weight, self.voice_bias)

    def of_faces(self, features: Mapping[str, NDArray[Any]]) -> Floats:
        """Vectors of length 1, `[N, K]`, of features by name of the recogniser, `[N, D]` each."""
        inputs = [unit_rows(features[name]) for name in self.recognisers]
        return self._placed(np.concatenate(inputs, axis=1), self.face_weight, self.face_bias)

    def _placed(self, inputs: NDArray[Any], weight: Floats, bias: Floats) -> Floats:
        mapped = inputs.astype(np.float64) @ weight.T.astype(np.float64) + bias  # [N, K]
        return np.asarray(unit_rows(mapped), np.float32)


def rounded(maps: MatchingMaps) -> MatchingMaps:
    """The maps as a file holds them: weights of half precision, computed with as float32."""
    return replace(
        maps,
        **{name: getattr(maps, name).astype(np.float16).astype(np.float32) for name in WEIGHTS},
    )


def content_of(maps: MatchingMaps) -> bytes:
    """The file of `rounded(maps)`; the same maps give the same bytes."""
    header = {
        "format": FORMAT,
        "recognisers": list(maps.recognisers),
        "intercept": maps.calibration.intercept,
        "slope": maps.calibration.slope,
        "hearing_sha256": maps.hearing_sha256,
    }
    arrays = {name: getattr(maps, name).astype(np.float16) for name in WEIGHTS}
    arrays |= {name: getattr(maps, name).astype(np.float32) for name in BIASES}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    return content_of_arrays(arrays, text, extra="face")


def read_maps(path: Path) -> MatchingMaps:
    """The maps in a file.

    Raises:
        Speech2FaceError: missing, damaged, or another kind of file.
    """
    if not path.is_file():
        problem = "the model came without a matcher"
        raise Speech2FaceError(problem, MAKE_AGAIN, str(path))
    try:
        said, arrays = read_arrays(path, (*WEIGHTS, *BIASES), extra="face")
        header = parse_json_object(said, path, remedy=MAKE_AGAIN, part="its header")
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']}")
        maps = MatchingMaps(
            **{name: array.astype(np.float32) for name, array in arrays.items()},
            recognisers=tuple(str(name) for name in header["recognisers"]),
            calibration=Calibration(float(header["intercept"]), float(header["slope"])),
            hearing_sha256=str(header["hearing_sha256"]),
        )
        _refuse_odd_sizes(maps)
        return maps
    except (ValueError, KeyError, TypeError) as error:
        raise Speech2FaceError(f"not a matcher ({error})", MAKE_AGAIN, str(path)) from error


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows of `[N, D]` at length 1; a row of zeros stays one."""
    wide = rows.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.where(norm > 0, norm, 1.0)
    return unit


def _refuse_odd_sizes(maps: MatchingMaps) -> None:
    """Raise ValueError unless sizes agree and all numbers are finite."""
    (size, _), (face_size, _), *biases = shapes = [
        getattr(maps, name).shape for name in (*WEIGHTS, *BIASES)
    ]
    if not size or size != face_size or biases != [(size,), (size,)] or not maps.recognisers:
        raise ValueError(f"shapes {shapes}, recognisers {maps.recognisers}")
    numbers = [[maps.calibration.intercept, maps.calibration.slope]]
    numbers += [getattr(maps, name) for name in (*WEIGHTS, *BIASES)]
    if not all(np.isfinite(part).all() for part in numbers):
        raise ValueError("numbers that are not finite")

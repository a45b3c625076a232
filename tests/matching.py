"""A tiny matcher, and people to fit one to: the stand-in hears, a recogniser of colours sees."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stand_in import WITH_DESCRIPTORS, write_stand_in

from speech2face.face.detect import Box, LocatedFace
from speech2face.inference.matcher import Matcher, matcher_path_of, write_matcher
from speech2face.inference.pipeline import load_model
from speech2face.models.matching_maps import Calibration, MatchingMaps
from speech2face.training.recipes.matcher import Pairs

CARD = {"version": 1, "licence": "none", "trained_on": "nobody"}


class Eye:
    """Finds a face in everything that is not black."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        return LocatedFace(Box(0, 0, 9, 9), np.zeros((68, 2)), found=bool(image.any()))


class Colour:
    """The mean colour as a feature."""

    name, size = "colour", 3

    def __init__(self, detector: Eye | None = None) -> None:
        self.detector = detector or Eye()

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


def tiny_maps(hearing_sha256: str, **changes: Any) -> MatchingMaps:
    """A voice is placed by mean loudness and peak, a photo by its share of red and of green."""
    fields: dict[str, Any] = {
        "voice_weight": np.array([[8, 0, 0], [0, 0, 1]], np.float32),
        "voice_bias": np.array([-0.5, 0.25], np.float32),
        "face_weight": np.array([[1, 0, 0], [0, 1, 0]], np.float32),
        "face_bias": np.zeros(2, np.float32),
        "recognisers": (Colour.name,),
        "calibration": Calibration(-1.0, 4.0),
        "hearing_sha256": hearing_sha256,
    }
    return MatchingMaps(**(fields | changes))


def write_tiny_matcher(folder: Path) -> Path:
    """The stand-in model, maps of it and their card; returns the model."""
    model = write_stand_in(folder / "tiny.onnx", **WITH_DESCRIPTORS)
    sha256 = load_model(model).card.sha256
    write_matcher(tiny_maps(sha256), matcher_path_of(model), CARD)
    return model


def tiny_matcher(model: Path) -> Matcher:
    """The matcher of `write_tiny_matcher`, in memory."""
    pipeline = load_model(model)
    maps = tiny_maps(pipeline.card.sha256)
    return Matcher(pipeline, maps, detector=Eye(), encoders=[Colour()])


def invented_pairs(n_people: int = 120, *, noise: float = 0.5, seed: int = 0) -> Pairs:
    """One clip a person: six causes, seen through 30 numbers of a voice and 24 of a face."""
    world = np.random.default_rng(99)  # the same for all people
    hears, sees = world.standard_normal((6, 30)), world.standard_normal((6, 24))
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n_people, 6))

    def through(sense: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = causes @ sense
        return seen + noise * rng.standard_normal(seen.shape) + 3.0

    voices, faces = through(hears) * np.linspace(0.1, 30, 30), through(sees)
    return Pairs(
        voices,
        (20, 10),
        {"one": faces[:, :16], "two": faces[:, 16:]},
        tuple(f"person {number}" for number in range(n_people)),
        np.where(causes[:, 0] > 0, "female", "male"),
    )

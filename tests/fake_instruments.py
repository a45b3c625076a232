"""Instruments that read colours in place of faces, for tests that need no face package."""

import numpy as np

from speech2face.face.attributes import Attributes
from speech2face.face.detect import Box, LocatedFace
from speech2face.face.instruments import Instruments


class Eye:
    """Landmarks that depend on the picture's colours."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        points = np.stack([np.arange(68.0), np.arange(68.0)[::-1] ** 1.1], axis=1)
        wave = np.sin(np.arange(68) * image.mean() / 40)[:, None]
        return LocatedFace(Box(0, 0, 9, 9), points + wave, found=True)


class ColourEncoder:
    """Mean colours of quarters as a feature."""

    name, size = "colour", 12

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        quarters = [np.array_split(image, 4) for image in images]
        return np.array(
            [[part.mean(axis=(0, 1)) + 1 for part in parts] for parts in quarters], np.float32
        ).reshape(len(images), -1)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


class Labeller:
    """Says "female" to bright pictures."""

    name = "labeller"

    def classify(self, images: list[np.ndarray], located: list[LocatedFace]) -> list[Attributes]:
        return [
            Attributes("female" if image.mean() > 170 else "male", 1.0, int(20 + image.mean() % 40))
            for image in images
        ]


INSTRUMENTS = Instruments(Eye(), (ColourEncoder(),), Labeller())  # type: ignore[arg-type]

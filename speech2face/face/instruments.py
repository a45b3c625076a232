"""The fixed instruments that read a picture for evaluation, and what they read.

A detector, the recognisers and the attribute classifier each look at a picture once. A picture in
which no face is found is read in a fixed box and kept: dropping such pictures would drop the hard
ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.face.attributes import AttributeClassifier
from speech2face.face.detect import DlibDetector, FaceDetector
from speech2face.face.encoder import DlibFaceEncoder, FaceEncoder
from speech2face.face.image import RGBImage
from speech2face.face.sface import SFaceEncoder

# How the features of each recogniser are compared. A recogniser that is not listed: by cosine.
DISTANCES: Mapping[str, Literal["cosine", "euclidean"]] = MappingProxyType(
    {"dlib_resnet_v1": "euclidean", "sface_2021dec_int8": "cosine"}
)
FEATURE = "feature_"  # begins the name of a recogniser's feature in a `Reading`

Reading = Mapping[str, NDArray[Any]]  # of one picture, as `Instruments.read` returns it


@dataclass(frozen=True)
class Instruments:
    """What reads a picture; each instrument loads its model when it is first used.

    To judge with a further recogniser, add its `FaceEncoder` to `encoders`, and its distance to
    `DISTANCES` if that is not the cosine.
    """

    detector: FaceDetector = field(default_factory=DlibDetector)
    encoders: tuple[FaceEncoder, ...] = field(
        default_factory=lambda: (DlibFaceEncoder(), SFaceEncoder())
    )
    classifier: AttributeClassifier = field(default_factory=AttributeClassifier)

    @property
    def name(self) -> str:
        """Names of all instruments together: readings of other instruments are not reused."""
        return "+".join([*(encoder.name for encoder in self.encoders), self.classifier.name])

    def read(self, image: RGBImage) -> dict[str, NDArray[Any]]:
        """Everything that is read from one picture, `[H, W, 3]` RGB, by name."""
        face = self.detector.locate(image)
        attributes = self.classifier.classify([image], [face])[0]
        features = {
            FEATURE + encoder.name: encoder.encode_located([image], [face])[0]
            for encoder in self.encoders
        }
        return features | {
            "found": np.array(face.found),
            "landmarks": face.landmarks,
            "apparent_gender": np.array(attributes.apparent_gender),
            "age": np.array(float(attributes.age)),
        }


@dataclass(frozen=True, eq=False)
class Readings:
    """What the instruments read from N pictures, in their order.

    Attributes:
        found: False where the detector found nothing and the fixed box was read, `[N]`.
        landmarks: `[N, 68, 2]` in pixels of the picture, (x, y).
        features: of each recogniser by its name, `[N, D]`.
        apparent_gender: the classifier's word, "female" or "male", `[N]`.
        age: the classifier's number in years, `[N]`.
    """

    found: NDArray[np.bool_]
    landmarks: NDArray[np.float64]
    features: Mapping[str, NDArray[np.float64]]
    apparent_gender: NDArray[np.str_]
    age: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.found)

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Readings:
        """The readings of one or more pictures together."""

        def numbers(name: str) -> NDArray[np.float64]:
            return np.stack([reading[name] for reading in readings]).astype(np.float64)

        return cls(
            found=np.array([bool(reading["found"]) for reading in readings]),
            landmarks=numbers("landmarks"),
            features={
                name.removeprefix(FEATURE): numbers(name)
                for name in readings[0]
                if name.startswith(FEATURE)
            },
            apparent_gender=np.array([str(reading["apparent_gender"]) for reading in readings]),
            age=numbers("age"),
        )

    def take(self, rows: ArrayLike) -> Readings:
        """The pictures at `rows`, in that order."""
        index = np.asarray(rows, np.intp)
        return Readings(
            self.found[index],
            self.landmarks[index],
            {name: feature[index] for name, feature in self.features.items()},
            self.apparent_gender[index],
            self.age[index],
        )

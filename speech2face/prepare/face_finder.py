"""Which of the faces in a picture is meant, and where its 68 landmarks are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from speech2face.data.store import Rejected
from speech2face.face.detect import Box, DlibDetector, LocatedFace
from speech2face.face.image import RGBImage
from speech2face.face.yunet import Detection, YuNet

DetectorName = Literal["yunet", "dlib"]
DETECTORS: tuple[DetectorName, ...] = ("yunet", "dlib")

MAX_DISTANCE = 0.75  # of the face from where it should be, over the side of its box
MAX_RIVAL = 0.5  # area of the second face over that of the first, if nothing says which is meant

# dlib's landmarks are trained to begin from the box of dlib's own detector. The square of this side
# around the mean of YuNet's five points is most like that box; `benchmarks/prepare.py` measures by
# how much the landmarks then differ.
DLIB_SIDE = 0.93  # over the square root of the area of YuNet's box
DLIB_SHIFT = -0.02  # downwards, over that side


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A face that was found: its box for dlib's landmarks, its middle and its area, in pixels."""

    box: Box
    centre: NDArray[np.float64]  # [2]
    area: float


class FaceFinder:
    """Finds the one face that is meant. It can be used by one thread."""

    def __init__(self, detector: DetectorName) -> None:
        """
        Args:
            detector: what finds boxes. The landmarks are dlib's with either.
        """
        self._dlib = DlibDetector()
        self._yunet = YuNet() if detector == "yunet" else None

    def find(self, image: RGBImage, centre: tuple[float, float] | None) -> LocatedFace | Rejected:
        """The face that is meant, or `no_face`, `face_elsewhere` or `several_faces`.

        Args:
            image: uint8 RGB, `[H, W, 3]`.
            centre: where its middle should be, (x, y) in 0..1 of the picture, if that is known.
        """
        faces = self._candidates(image)
        if not faces:
            return Rejected("no_face", "no face was found in the pictures that were looked at")
        chosen = _largest(faces) if centre is None else _nearest(faces, centre, image)
        if isinstance(chosen, Rejected):
            return chosen
        return LocatedFace(chosen.box, self._dlib.landmarks_in(image, chosen.box), found=True)

    def _candidates(self, image: RGBImage) -> list[_Candidate]:
        if self._yunet is not None:
            return [_of_yunet(face) for face in self._yunet.detect(image)]
        return [_of_dlib(box) for box in self._dlib.boxes(image)]


def _of_yunet(face: Detection) -> _Candidate:
    side = DLIB_SIDE * float(np.sqrt(face.area))
    x, y = face.points.mean(axis=0) + [0, DLIB_SHIFT * side]
    left, top = round(x - side / 2), round(y - side / 2)
    box = Box(left, top, left + round(side) - 1, top + round(side) - 1)
    return _Candidate(box, face.centre, face.area)


def _of_dlib(box: Box) -> _Candidate:
    centre = np.array([box.left + box.right + 1, box.top + box.bottom + 1]) / 2
    return _Candidate(box, centre, box.area)


def _largest(faces: Sequence[_Candidate]) -> _Candidate | Rejected:
    """The largest face, unless another one is nearly as large."""
    first, *others = sorted(faces, key=lambda face: -face.area)
    if others and others[0].area > MAX_RIVAL * first.area:
        detail = f"{len(faces)} faces, and nothing says which of them speaks"
        return Rejected("several_faces", detail)
    return first


def _nearest(
    faces: Sequence[_Candidate], centre: tuple[float, float], image: RGBImage
) -> _Candidate | Rejected:
    """The face nearest to a place, if it is near."""
    place = np.array(centre) * [image.shape[1], image.shape[0]]

    def distance(face: _Candidate) -> float:
        return float(np.linalg.norm(face.centre - place) / np.sqrt(face.area))

    nearest = min(faces, key=distance)
    if distance(nearest) > MAX_DISTANCE:
        detail = f"the nearest face is {distance(nearest):.1f} of its sides from where it should be"
        return Rejected("face_elsewhere", detail)
    return nearest

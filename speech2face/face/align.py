"""Crops of a face: a similarity fitted to its landmarks, and the loose crop of the paper.

Conventions, each pinned by a test: points are (x, y) in pixels and the centre of the first pixel
is (0, 0), as in `face.landmarks`; a similarity maps points of the photograph to points of the crop;
beyond the border of the photograph its outermost pixels are repeated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech2face.face.detect import LocatedFace
from speech2face.face.image import RGBImage, check_image, shrink
from speech2face.face.landmarks import LEFT_EYE, RIGHT_EYE

# Right eye, left eye, nose tip, right and left mouth corner on a crop of 112 x 112 pixels: the
# template that recognisers of the ArcFace family, SFace among them, are trained with.
ARCFACE_SIDE = 112
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)

# The crops that the authors released are about 1.6 times the larger extent of the 68 points
# (quartiles 1.49 and 1.71), and the middle of the points lies 0.60 from the top (.58 to .63) and
# .53 from the left (.50 to .56), measured by dlib on 848 of them. The middle is kept at 0.5 here,
# so that the crop of a mirrored picture is the mirrored crop.
LOOSE_MARGIN = 1.6
LOOSE_MIDDLE = (0.5, 0.6)  # (x, y), as parts of the side


@dataclass(frozen=True, eq=False)
class Similarity:
    """Scaling, rotation and shift of the plane: x to `matrix @ x + shift`; no reflection."""

    matrix: NDArray[np.float64]  # [2, 2], scale times rotation
    shift: NDArray[np.float64]  # [2], pixels

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Images of the points, `[*, 2]` to `[*, 2]`."""
        return np.asarray(points, dtype=np.float64) @ self.matrix.T + self.shift

    @property
    def scale(self) -> float:
        """Pixels of the destination for one pixel of the source."""
        return float(np.sqrt(np.linalg.det(self.matrix)))

    def inverse(self) -> "Similarity":
        """The way back."""
        matrix = np.linalg.inv(self.matrix).astype(np.float64)
        return Similarity(matrix, -matrix @ self.shift)


def fit_similarity(source: NDArray[np.floating], destination: NDArray[np.floating]) -> Similarity:
    """Similarity that takes `source` nearest to `destination`, in the least-squares sense.

    Args:
        source, destination: corresponding points, `[N, 2]` each, N at least 2.

    Raises:
        ValueError: fewer than two distinct source points.

    Source:
        Umeyama, Least-squares estimation of transformation parameters between two point patterns,
        IEEE PAMI 13(4), 1991, eq. 39 to 43.
    """
    source = np.asarray(source, dtype=np.float64)
    destination = np.asarray(destination, dtype=np.float64)
    source_mean, destination_mean = source.mean(axis=0), destination.mean(axis=0)  # [2] each
    centred = source - source_mean  # [N, 2]
    variance = (centred**2).sum()
    if len(source) < 2 or variance == 0:
        raise ValueError("a similarity needs two distinct source points")
    covariance = (destination - destination_mean).T @ centred  # [2, 2]
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])  # no reflection
    scale = (singular @ signs) / variance
    matrix: NDArray[np.float64] = scale * (left * signs) @ right  # [2, 2]
    return Similarity(matrix, destination_mean - matrix @ source_mean)


def similarity_crop(
    image: RGBImage,
    landmarks: NDArray[np.floating],
    template: NDArray[np.floating],
    size: int,
) -> RGBImage:
    """Picture of `size` x `size` pixels in which `landmarks` lie on `template` as well as they can.

    Args:
        image: uint8 RGB, `[H, W, 3]`.
        landmarks: points of the face in `image`, (x, y) in pixels, `[N, 2]`.
        template: the same points in the crop, (x, y) in pixels, `[N, 2]`.
        size: side of the crop in pixels.

    Returns:
        uint8 RGB, `[size, size, 3]`, bilinear, from an averaged copy where it shrinks.
    """
    return warp(check_image(image), fit_similarity(landmarks, template), size)


def arcface_template(size: int = ARCFACE_SIDE) -> NDArray[np.float64]:
    """`ARCFACE_TEMPLATE` on a crop of `size` x `size` pixels, `[5, 2]`."""
    return _resized(np.array(ARCFACE_TEMPLATE), size / ARCFACE_SIDE)


def _resized(points: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    return (points + 0.5) * scale - 0.5  # corners of the picture stay its corners, not centres


def face_crop(
    image: RGBImage,
    located: LocatedFace,
    *,
    size: int = 224,
    margin: float = LOOSE_MARGIN,
    remove_roll: bool = False,
) -> RGBImage:
    """Loose square crop of the face, with forehead, hair and part of the neck (paper, section 3).

    Args:
        image: uint8 RGB, `[H, W, 3]`, any size.
        located: the face in it. A face that no detector found is cropped around the fixed box.
        size: side of the crop in pixels; the paper feeds VGG-Face with 224.
        margin: side of the crop over the larger extent of the landmarks. The paper states none;
            the default is what the authors' released crops show (`LOOSE_MARGIN`).
        remove_roll: turn the line between the eyes level. The paper does not, its decoder's
            training photographs are turned.

    Returns:
        uint8 RGB, `[size, size, 3]`.
    """
    placed = crop_placement(located, size=size, margin=margin, remove_roll=remove_roll)
    return warp(check_image(image), placed, size)


def crop_placement(
    located: LocatedFace,
    *,
    size: int = 224,
    margin: float = LOOSE_MARGIN,
    remove_roll: bool = False,
) -> Similarity:
    """Where `face_crop` puts the face: from pixels of the photograph to pixels of the crop."""
    points = located.landmarks
    turn = _levelling(points) if remove_roll else np.eye(2)  # [2, 2], a rotation
    turned = points @ turn.T  # [68, 2]
    lowest, highest = turned.min(axis=0), turned.max(axis=0)  # [2] each
    scale = size / (margin * (highest - lowest).max())
    middle = np.array(LOOSE_MIDDLE) * size - 0.5  # [2], pixels of the crop
    return Similarity(scale * turn, middle - scale * (lowest + highest) / 2)


def _levelling(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation that makes the line from the right to the left eye point to the right, `[2, 2]`."""
    across = landmarks[LEFT_EYE].mean(axis=0) - landmarks[RIGHT_EYE].mean(axis=0)  # [2]
    cosine, sine = across / np.linalg.norm(across)
    return np.array([[cosine, sine], [-sine, cosine]])


def warp(image: RGBImage, placed: Similarity, size: int) -> RGBImage:
    """The `size` x `size` pixels that `placed` takes out of `image`, `[H, W, 3]` to `[S, S, 3]`."""
    factor = max(1, int(1 / placed.scale))  # so that no pixel of the photograph is skipped
    shrunk = shrink(image, factor)
    axis = np.arange(size, dtype=np.float64)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)  # [S, S, 2], (x, y) in the crop
    points = (placed.inverse()(grid) + 0.5) / factor - 0.5  # [S, S, 2], (x, y) in `shrunk`
    return np.rint(_bilinear(shrunk, points)).astype(np.uint8)


def _bilinear(image: RGBImage, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of `image` `[H, W, 3]` at `points` (x, y) `[*, 2]`, to `[*, 3]`; border repeated."""
    highest = np.array([image.shape[1] - 1, image.shape[0] - 1])
    points = points.clip(0, highest)
    corner = np.floor(points).astype(np.intp).clip(0, np.maximum(highest - 1, 0))  # [*, 2]
    x, y = np.moveaxis(points - corner, -1, 0)[..., None]  # [*, 1] each, in 0..1
    column, row = np.moveaxis(corner, -1, 0)  # [*] each
    next_column = np.minimum(column + 1, highest[0])
    next_row = np.minimum(row + 1, highest[1])
    upper = (1 - x) * image[row, column] + x * image[row, next_column]  # [*, 3]
    lower = (1 - x) * image[next_row, column] + x * image[next_row, next_column]  # [*, 3]
    blended: NDArray[np.float64] = (1 - y) * upper + y * lower
    return blended

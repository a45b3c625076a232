"""The 68-point scheme of facial landmarks (iBUG 300-W), counted from 0; numpy only.

Conventions, each pinned by a test: points are (x, y) in pixels, y downwards, and the centre of the
first pixel is (0, 0). "Right" and "left" are those of the person shown, so the right eye is on the
left side of the picture.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.records import read_json

N_LANDMARKS = 68
MAX_COORDINATE = 2240  # of a point in a file: ten times the side of a canonical face, in pixels

# Groups of neighbouring points, for `landmarks[..., JAW, :]`.
JAW = slice(0, 17)  # from the person's right ear over the chin to the left ear
RIGHT_EYEBROW = slice(17, 22)  # outer end first
LEFT_EYEBROW = slice(22, 27)  # inner end first
NOSE_BRIDGE = slice(27, 31)  # from between the eyes down to the tip
NOSE_BASE = slice(31, 36)  # nostrils, the person's right to left
RIGHT_EYE = slice(36, 42)  # outer corner, upper lid, inner corner, lower lid
LEFT_EYE = slice(42, 48)  # inner corner, upper lid, outer corner, lower lid
OUTER_LIPS = slice(48, 60)  # right corner, upper edge, left corner, lower edge
INNER_LIPS = slice(60, 68)  # in the same order
MOUTH = slice(48, 68)

# Single points under the names of anthropometry, or the nearest there is in this scheme.
JAW_END_RIGHT, JAW_END_LEFT = 0, 16
GONION_RIGHT, GONION_LEFT = 4, 12  # corners of the lower jaw
CHIN = 8  # gnathion
NASION = 27  # root of the nose
NOSE_TIP = 30  # pronasale
ALARE_RIGHT, ALARE_LEFT = 31, 35  # widest points of the nose
SUBNASALE = 33  # where the nose meets the upper lip
EXOCANTHION_RIGHT, EXOCANTHION_LEFT = 36, 45  # outer corners of the eyes
ENDOCANTHION_RIGHT, ENDOCANTHION_LEFT = 39, 42  # inner corners of the eyes
CHEILION_RIGHT, CHEILION_LEFT = 48, 54  # corners of the mouth
LABIALE_SUPERIUS = 51  # middle of the upper lip's upper edge
LABIALE_INFERIUS = 57  # middle of the lower lip's lower edge
STOMION_UPPER, STOMION_LOWER = 62, 66  # middle of the upper lip's lower edge, and the reverse

# (right, left): the two points that change places in a mirror. All others lie on the midline.
PAIRS = (
    *((point, 16 - point) for point in range(8)),  # jaw
    *((17 + step, 26 - step) for step in range(5)),  # eyebrows
    *((31, 35), (32, 34)),  # nostrils
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (58, 56), (59, 55)),  # outer lips
    *((60, 64), (61, 63), (67, 65)),  # inner lips
)


def _mirror_order() -> NDArray[np.intp]:
    order = np.arange(N_LANDMARKS)
    for right, left in PAIRS:
        order[[right, left]] = left, right
    return order


def mirror_landmarks(landmarks: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Landmarks of the picture seen in a mirror, `[*, 68, 2]` to the same.

    Args:
        landmarks: (x, y) in pixels, `[*, 68, 2]`.
        width: of the picture, in pixels: `image[:, ::-1]` moves column x to `width - 1 - x`.
    """
    mirrored = landmarks[..., _mirror_order(), :].copy()  # [*, 68, 2]: right becomes left
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def five_points(landmarks: NDArray[np.floating]) -> NDArray[np.floating]:
    """Eyes, nose tip and mouth corners, `[*, 68, 2]` to `[*, 5, 2]`.

    The order is that of the usual five-point templates: right eye, left eye, nose tip, right
    corner, left corner. An eye is the mean of its six points.
    """
    right_eye = landmarks[..., RIGHT_EYE, :].mean(axis=-2)  # [*, 2]
    left_eye = landmarks[..., LEFT_EYE, :].mean(axis=-2)  # [*, 2]
    single = (NOSE_TIP, CHEILION_RIGHT, CHEILION_LEFT)
    return np.stack([right_eye, left_eye, *(landmarks[..., point, :] for point in single)], axis=-2)


def read_landmarks(path: Path) -> NDArray[np.float64]:
    """The 68 points of a JSON file, a list of (x, y) pairs in pixels, `[68, 2]`.

    Raises:
        Speech2FaceError: missing, not JSON, or not a list of 68 pairs of numbers near a picture.
    """
    rows = read_json(path)
    if not (isinstance(rows, list) and len(rows) == N_LANDMARKS and all(map(_is_point, rows))):
        problem = f"does not hold {N_LANDMARKS} landmarks within {MAX_COORDINATE} pixels"
        raise Speech2FaceError(problem, "write 68 pairs of numbers: [[x, y], ...]", str(path))
    return np.array(rows, np.float64)


def _is_point(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and all(isinstance(number, int | float) for number in row)
        and not any(isinstance(number, bool) or abs(number) > MAX_COORDINATE for number in row)
    )

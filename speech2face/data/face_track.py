"""Where a face is while a clip lasts: the text files of VoxCeleb and VoxBlink2.

Some lines of description, then one line `FRAME X Y W H` for each picture, at 25 pictures a second
of the whole video: the left and upper edge of the box, its width and height, in pixels (VoxCeleb1,
VoxBlink2) or in parts of the picture's width and height (VoxCeleb2).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.records import lines

FRAMES_PER_SECOND = 25
MAX_SECONDS = 1_000_000  # of a video; eleven days
_REMEDY = "fetch this file of the corpus again"


@dataclass(frozen=True)
class TrackFile:
    """A file of boxes, not opened yet.

    Attributes:
        path: of the file.
        unit: in which its boxes are given; each corpus has one.
    """

    path: Path
    unit: Literal["pixels", "fractions"]


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """Boxes over time.

    Attributes:
        seconds: since the beginning of the video, rising, `[N]`.
        boxes: left, top, width, height in the unit of the file, `[N, 4]`.
        unit: of the boxes.
    """

    seconds: NDArray[np.float64]
    boxes: NDArray[np.float64]
    unit: Literal["pixels", "fractions"]

    @property
    def start(self) -> float:
        """Of the clip, in seconds."""
        return float(self.seconds[0])

    @property
    def end(self) -> float:
        """Of the clip, in seconds: the last picture still belongs to it."""
        return float(self.seconds[-1]) + 1 / FRAMES_PER_SECOND

    def centre_at(self, seconds: float, width: int, height: int) -> tuple[float, float]:
        """Middle of the box at a moment, (x, y) in 0..1 of the picture.

        Args:
            seconds: since the beginning of the video; the box of the nearest picture counts.
            width, height: of the video's pictures in pixels.
        """
        left, top, box_width, box_height = self.boxes[np.abs(self.seconds - seconds).argmin()]
        x, y = left + box_width / 2, top + box_height / 2
        if self.unit == "pixels":
            x, y = x / width, y / height
        return float(x), float(y)


def read_track(file: TrackFile) -> FaceTrack:
    """The boxes of a file.

    Raises:
        Speech2FaceError: it cannot be read, has no box, or a line among the boxes is none.
    """
    rows: list[tuple[float, ...]] = []
    for where, line in lines(file.path):
        row = _numbers(line.split())
        if row is not None:
            rows.append(row)
        elif rows and line.strip():
            raise Speech2FaceError("the line is not FRAME X Y W H", _REMEDY, where)
    if not rows:
        raise Speech2FaceError("holds no box", _REMEDY, str(file.path))
    table = np.array(rows)  # [N, 5]
    frames, boxes = table[:, 0], table[:, 1:]
    if (np.diff(frames) <= 0).any() or (boxes[:, 2:] <= 0).any():
        problem = "has frames that do not rise, or boxes without a size"
        raise Speech2FaceError(problem, _REMEDY, str(file.path))
    return FaceTrack(frames / FRAMES_PER_SECOND, boxes, file.unit)


def _numbers(fields: list[str]) -> tuple[float, ...] | None:
    """A line of boxes as numbers, or None if it is none."""
    if len(fields) != 5 or not (fields[0].isascii() and fields[0].isdigit()):
        return None
    try:
        numbers = tuple(float(field) for field in fields)
    except ValueError:
        return None
    good = all(math.isfinite(number) and abs(number) <= MAX_SECONDS for number in numbers[1:])
    return numbers if good and numbers[0] <= MAX_SECONDS * FRAMES_PER_SECOND else None

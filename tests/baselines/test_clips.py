"""The photos of clips as the generators see them."""

from pathlib import Path

import numpy as np
from invented_clips import invented_clips
from PIL import Image

from speech2face.baselines.clips import face_template, pictures
from speech2face.face.align import Similarity
from speech2face.face.landmarks import (
    CHEILION_LEFT,
    CHEILION_RIGHT,
    LEFT_EYE,
    NOSE_TIP,
    RIGHT_EYE,
)


def landmarks_of(five: np.ndarray) -> np.ndarray:
    """68 points with eyes, nose tip and mouth corners at these places, `[5, 2]` to `[68, 2]`."""
    points = np.zeros((68, 2))
    for where, point in zip(
        (RIGHT_EYE, LEFT_EYE, NOSE_TIP, CHEILION_RIGHT, CHEILION_LEFT), five, strict=True
    ):
        points[where] = point
    return points


def test_convention_eyes_and_mouth_of_every_photo_lie_at_the_places_of_the_template(
    tmp_path: Path,
) -> None:
    clips = invented_clips(tmp_path, 2)
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    for number, placed in enumerate(
        (Similarity(np.eye(2) * 2.5, np.array([20.0, 30.0])), Similarity(2 * turn, np.full(2, 60)))
    ):
        points = placed(face_template(64))
        clips.landmarks[number] = landmarks_of(points)
        photo = np.zeros((224, 224, 3), np.uint8)
        for x, y in np.rint(points).astype(int):
            photo[y - 3 : y + 4, x - 3 : x + 4] = 255
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    for picture in pictures(clips):
        bright = (picture[0] > 0).numpy()
        for x, y in np.rint(face_template(64)).astype(int):
            assert bright[y, x]
        assert bright.sum() < 5 * 30  # and nothing but these places is bright


def test_the_whole_face_is_in_the_picture() -> None:
    template = face_template(64)
    assert template.min() > 64 / 4 and template.max() < 64 * 0.75

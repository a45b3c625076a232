"""Where the face is, what happens when there is none, and the door to dlib."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from speech2face.errors import Speech2FaceError
from speech2face.face.detect import (
    Box,
    DlibDetector,
    fallback_box,
    largest_box,
)


def drawn_house() -> np.ndarray:
    picture = Image.new("RGB", (224, 224), "skyblue")
    pencil = ImageDraw.Draw(picture)
    pencil.rectangle((60, 110, 170, 200), fill="firebrick")
    pencil.polygon([(50, 110), (115, 60), (180, 110)], fill="saddlebrown")
    return np.array(picture)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_face_of_every_portrait_is_found(located) -> None:
    assert [face.found for face in located] == [True] * 4


def test_landmarks_lie_inside_the_picture_and_about_the_box(portraits, located) -> None:
    for image, face in zip(portraits, located, strict=True):
        points, box = face.landmarks, face.box
        assert points.shape == (68, 2)
        height, width = image.shape[:2]
        assert (points >= 0).all() and (points < [width, height]).all()
        side = box.right - box.left + 1
        assert (points > np.array([box.left, box.top]) - 0.3 * side).all()
        assert (points < np.array([box.right, box.bottom]) + 0.3 * side).all()


def test_the_small_face_needs_the_second_enlarged_pass(portraits, detector, monkeypatch) -> None:
    assert detector.locate(portraits[1]).found
    monkeypatch.setattr("speech2face.face.detect.UPSAMPLINGS", (0,))
    assert not detector.locate(portraits[1]).found
    assert detector.locate(portraits[2]).found


@pytest.mark.parametrize("image", [drawn_house(), noise(224, 224), np.full((224, 224, 3), 255)])
def test_convention_without_a_face_the_protocols_box_is_used_and_recorded(image, detector) -> None:
    face = detector.locate(image.astype(np.uint8))
    assert not face.found
    assert face.box == Box(left=45, top=60, right=180, bottom=200)
    assert face.landmarks.shape == (68, 2)


def test_convention_the_fixed_box_scales_with_width_and_height() -> None:
    assert fallback_box(noise(448, 112)) == Box(left=22, top=120, right=90, bottom=400)


def test_the_largest_of_several_faces_is_chosen(portraits, detector) -> None:
    small = np.asarray(Image.fromarray(portraits[2]).resize((160, 160)))
    both = np.full((256, 416, 3), 200, dtype=np.uint8)
    both[:160, :160], both[:, 160:] = small, portraits[3]
    assert detector.locate(both).box.left > 160
    mirrored = np.ascontiguousarray(both[:, ::-1])
    assert detector.locate(mirrored).box.right < 256


def test_of_equal_boxes_the_surest_stays_in_front() -> None:
    first, second = Box(0, 0, 9, 9), Box(20, 20, 29, 29)
    assert largest_box([first, second, Box(0, 0, 3, 3)]) is first
    assert first.area == 100


def test_another_choice_can_be_named(portraits) -> None:
    def leftmost(boxes):
        return min(boxes, key=lambda box: box.left)

    both = np.concatenate([portraits[0], portraits[3]], axis=1)  # the second face is larger
    assert DlibDetector(choose=leftmost).locate(both).box.left < 256
    assert DlibDetector().locate(both).box.left > 256


def test_a_large_photograph_gives_the_same_face_in_its_own_pixels(portraits, detector) -> None:
    small = detector.locate(portraits[3])
    factor = 9  # 2304 pixels: the box is sought in a shrunk copy
    image = np.asarray(Image.fromarray(portraits[3]).resize((256 * factor, 256 * factor)))
    large = detector.locate(image)
    assert large.found
    difference = (large.landmarks + 0.5) / factor - 0.5 - small.landmarks
    assert np.abs(difference).mean() < 3
    assert large.box.right - large.box.left > 6 * (small.box.right - small.box.left)


def test_a_view_with_negative_strides_is_accepted(portraits, detector) -> None:
    flipped = portraits[3][:, ::-1]
    copied = np.ascontiguousarray(flipped)
    np.testing.assert_array_equal(
        detector.locate(flipped).landmarks, detector.locate(copied).landmarks
    )


def test_a_float_picture_is_refused(portraits, detector) -> None:
    with pytest.raises(Speech2FaceError, match="expected uint8 RGB"):
        detector.locate(portraits[0] / 255)


def test_without_dlib_the_error_names_the_extra(portraits, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(Speech2FaceError, match=r"dlib is not installed; .*\[face\]"):
        DlibDetector().locate(portraits[0])


@pytest.mark.slow
def test_nearly_every_generated_portrait_has_a_face(shared_data, detector) -> None:
    from speech2face.face.image import open_image

    files = sorted((shared_data / "generated_portraits").glob("*.jpg"))
    faces = [detector.locate(open_image(file)) for file in files]
    assert len(files) == 200
    assert sum(face.found for face in faces) >= 190

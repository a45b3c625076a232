"""Tracks as VoxCeleb writes them, in both units, and lines that are none."""

from pathlib import Path

import numpy as np
import pytest

from speech2face.data.face_track import TrackFile, read_track
from speech2face.errors import Speech2FaceError

HEAD = (
    "Identity  : \tid10270\nReference : \t5r0dWxy17C8\nOffset    : \t-3\nFV Conf   : \t19.9\t(1)\n"
)
HEAD += "ASD Conf  : \t4.4\n\nFRAME \tX \tY \tW \tH \n"
PIXELS = HEAD + "002316 \t223 \t80 \t130 \t130 \n002317 \t225 \t80 \t130 \t130 \n"
FRACTIONS = HEAD + "000349 \t0.319 \t0.067 \t0.424 \t0.753 \n"


def write(folder: Path, text: str) -> Path:
    path = folder / "00001.txt"
    path.write_text(text)
    return path


def test_boxes_in_pixels(tmp_path: Path) -> None:
    track = read_track(TrackFile(write(tmp_path, PIXELS), "pixels"))
    assert track.start == pytest.approx(92.64) and track.end == pytest.approx(92.72)
    np.testing.assert_array_equal(track.boxes, [[223, 80, 130, 130], [225, 80, 130, 130]])
    assert track.centre_at(92.64, 640, 360) == pytest.approx((288 / 640, 145 / 360))
    assert track.centre_at(99, 640, 360) == pytest.approx((290 / 640, 145 / 360))


def test_boxes_in_parts_of_the_picture(tmp_path: Path) -> None:
    track = read_track(TrackFile(write(tmp_path, FRACTIONS), "fractions"))
    assert track.centre_at(0, 640, 360) == pytest.approx((0.531, 0.4435))


def test_seven_lines_before_the_boxes_are_no_boxes(tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(7)) + "12 3 4 5 6\n"
    assert read_track(TrackFile(write(tmp_path, text), "pixels")).boxes.tolist() == [[3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no box"),
        (HEAD, "no box"),
        (PIXELS + "word\n", "not FRAME X Y W H"),
        (PIXELS + "2318 1 2 3\n", "not FRAME X Y W H"),
        (PIXELS + "2318 1 2 3 nan\n", "not FRAME X Y W H"),
        (PIXELS + "99999999999 1 2 3 4\n", "not FRAME X Y W H"),
        (PIXELS + "2316 1 2 3 4\n", "do not rise"),
        (PIXELS + "2318 1 2 0 4\n", "without a size"),
    ],
)
def test_a_damaged_track_is_one_clear_error(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(Speech2FaceError, match=problem):
        read_track(TrackFile(path, "pixels"))


def test_a_missing_track_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        read_track(TrackFile(tmp_path / "none.txt", "pixels"))

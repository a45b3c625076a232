"""Opening photographs: every kind becomes RGB, every bad file one clear error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.face import image as image_module
from speech2face.face.image import check_image, open_image, shrink

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def saved(picture: Image.Image, path: Path, **options) -> Path:
    picture.save(path, **options)
    return path


def test_a_colour_picture_comes_back_exactly(tmp_path: Path) -> None:
    opened = open_image(saved(Image.fromarray(COLOURS), tmp_path / "a.png"))
    np.testing.assert_array_equal(opened, COLOURS)
    assert opened.flags.writeable and opened.flags.c_contiguous


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = COLOURS[..., 0]
    opened = open_image(saved(Image.fromarray(grey), tmp_path / "a.png"))
    np.testing.assert_array_equal(opened, np.stack([grey] * 3, axis=-1))


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 40 * 50).reshape(40, 50).astype(np.uint16)
    opened = open_image(saved(Image.fromarray(grey), tmp_path / "a.png"))
    assert opened.shape == (40, 50, 3)
    np.testing.assert_allclose(opened[..., 1], grey / 257, atol=1)


def test_transparent_becomes_white_and_half_transparent_half_white(tmp_path: Path) -> None:
    pixels = np.zeros((40, 50, 4), dtype=np.uint8)  # black
    pixels[:20, :, 3] = 0
    pixels[20:, :, 3] = 128
    opened = open_image(saved(Image.fromarray(pixels), tmp_path / "a.png"))
    assert (opened[:20] == 255).all()
    assert (abs(opened[20:].astype(int) - 127) <= 1).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "L", "1", "LA"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    path = saved(Image.fromarray(COLOURS).convert(mode), tmp_path / f"a.{suffix}")
    opened = open_image(path)
    assert opened.shape == (40, 50, 3) and opened.dtype == np.uint8


def test_convention_the_orientation_mark_of_a_camera_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to see it upright
    picture = Image.new("RGB", (64, 48), "black")
    picture.paste("white", (0, 0, 32, 48))  # left half: it must end on top
    opened = open_image(saved(picture, tmp_path / "a.jpg", exif=exif, quality=95))
    assert opened.shape == (64, 48, 3)
    assert opened[:28].min() > 200 and opened[36:].max() < 60


def test_a_text_file_named_jpg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear reader,\n" * 50)
    with pytest.raises(Speech2FaceError, match="letter.jpg: not a picture"):
        open_image(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(Speech2FaceError, match="not a picture"):
        open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_truncated_picture_is_refused(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    whole = saved(Image.fromarray(noise), tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"half.{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Speech2FaceError, match="half"):
        open_image(path)


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        open_image(tmp_path / "none.jpg")
    with pytest.raises(Speech2FaceError, match="folder"):
        open_image(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    for side in (9_500, 20_000):  # above our limit; above the one at which Pillow refuses
        path = saved(Image.new("1", (side, side)), tmp_path / f"{side}.png")
        with pytest.raises(Speech2FaceError, match="80 million pixels"):
            open_image(path)


def test_the_limit_is_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch) -> None:
    path = saved(Image.fromarray(COLOURS), tmp_path / "a.png")
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    monkeypatch.setattr(image_module, "_as_rgb", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(Speech2FaceError, match="make it smaller"):
        open_image(path)


def test_a_tiny_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="16x200"):
        open_image(saved(Image.new("RGB", (16, 200)), tmp_path / "a.png"))


def test_a_format_that_starts_other_programs_is_not_read(tmp_path: Path) -> None:
    path = saved(Image.fromarray(COLOURS), tmp_path / "a.eps")
    with pytest.raises(Speech2FaceError, match="not a picture"):
        open_image(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 5, 3)),
        np.zeros((5, 5), np.uint8),
        np.zeros((3, 5, 5), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_rgb_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(Speech2FaceError, match="expected uint8 RGB"):
        check_image(array)


def test_shrinking_averages_blocks() -> None:
    image = np.random.default_rng(2).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    blocks = image[:12, :15].reshape(4, 3, 5, 3, 3).mean(axis=(1, 3))  # [4, 5, 3]
    np.testing.assert_allclose(shrink(image, 3), blocks, atol=0.6)  # whole levels
    assert shrink(image, 1) is image

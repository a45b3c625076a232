"""Opening photographs: every kind becomes RGB, every bad file one clear error."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

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
    with pytest.raises(Speech2FaceError, match="letter.jpg: is not a picture"):
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
        with pytest.raises(Speech2FaceError, match="50 million pixels"):
            open_image(path)


def test_the_limit_is_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch) -> None:
    path = saved(Image.fromarray(COLOURS), tmp_path / "a.png")
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    monkeypatch.setattr(image_module, "_as_rgb", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(Speech2FaceError, match="make it smaller"):
        open_image(path)


def test_a_tiny_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="16 x 200"):
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


# Small files on which Pillow's readers left their own exceptions: a TIFF whose tag of image size
# is text, and a PNG whose only chunk of pixels claims two gigabytes.
def tiff_of(tags: list[tuple[int, int, int, int]], pixels: bytes) -> bytes:
    """A little-endian TIFF: entries (tag, type, count, value), then the pixels."""
    entries = b"".join(struct.pack("<HHII", *entry) for entry in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + pixels


def png_chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    return struct.pack(">I", size) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def hostile_pictures() -> dict[str, bytes]:
    size, resolution = (256, 4, 1, 48), (282, 5, 1, 2**31)
    body = [(258, 3, 1, 1), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 240)]
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 40, 8, 0, 0, 0, 0))
    start = b"\x89PNG\r\n\x1a\n" + header
    return {
        "height is text": tiff_of([size, (257, 2, 4, 0x30303434), *body], bytes(240)),
        "strips are text": tiff_of([size, (257, 4, 1, 40), (273, 2, 4, 0x41414141)], bytes(240)),
        "far resolution": tiff_of([size, (257, 4, 1, 40), *body, resolution], b""),
        "no pixels": start,
        "two gigabytes of pixels": start + struct.pack(">I", 2**31 - 1) + b"IDAT",
        "two gigabytes of text": start + struct.pack(">I", 2**31 - 1) + b"iCCP",
        "huge jpeg without pixels": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02"
        b"\x11\x01\x03\x11\x01\xff\xd9",
        "jpeg of three bytes": b"\xff\xd8\xff",
    }


@pytest.mark.parametrize("name", hostile_pictures())
def test_a_hostile_picture_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.img").write_bytes(hostile_pictures()[name])
    with pytest.raises(Speech2FaceError, match=r"a\.img: ") as caught:
        open_image(tmp_path / "a.img")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "fault", [TypeError("'str'"), MemoryError(), OverflowError(), ZeroDivisionError(), KeyError(3)]
)
def test_whatever_a_decoder_raises_names_the_picture(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(Image.new("RGB", (40, 40)), tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(Speech2FaceError, match=r"a\.png"):
        open_image(tmp_path / "a.png")


LARGEST = {  # what is drawn, and the shape that comes back
    "jpeg": ('Image.new("L", (20_000, 10_000), 90)', (2_500, 5_000, 3)),
    "png": ('Image.new("RGBA", (7_070, 7_070))', (7_070, 7_070, 3)),
    "webp": ('Image.new("RGBA", (7_070, 7_070))', (7_070, 7_070, 3)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is of Linux only")
@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_pictures_take_less_than_a_gigabyte(kind: str, tmp_path: Path) -> None:
    drawn, shape = LARGEST[kind]
    file = str(tmp_path / f"a.{kind}")
    fast = "method=0, compress_level=1"
    draw = f"from PIL import Image; {drawn}.save({file!r}, {fast})"
    # Not ru_maxrss: a child starts with that of the process that forked it.
    measure = f"""
from pathlib import Path
from speech2face.face.image import open_image
image = open_image({file!r})
status = Path("/proc/self/status").read_text()
(peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
print(*image.shape, int(peak) * 1024)
"""
    subprocess.run([sys.executable, "-c", draw], check=True)
    said = subprocess.run(
        [sys.executable, "-c", measure], check=True, capture_output=True, text=True
    )
    *found, peak = map(int, said.stdout.split())
    assert found[0] * found[1] <= 50_000_000
    assert tuple(found) == shape
    assert peak < 2**30


def test_a_progressive_jpeg_above_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    picture.save(tmp_path / "plain.jpg")
    picture.save(tmp_path / "progressive.jpg", progressive=True)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 50_000)
    monkeypatch.setattr(image_module, "REDUCED_PIXELS", 20_000)
    assert open_image(tmp_path / "plain.jpg").shape == (100, 150, 3)
    with pytest.raises(Speech2FaceError, match="make it smaller"):
        open_image(tmp_path / "progressive.jpg")


def test_a_jpeg_at_reduced_size_shows_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.linspace(0, 255, 300)
    smooth = np.stack([np.tile(x, (200, 1)), np.tile(255 - x, (200, 1))] * 2, axis=-1)[..., :3]
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    whole = open_image(tmp_path / "a.jpg").astype(float)
    monkeypatch.setattr(image_module, "MAX_PIXELS", 50_000)
    monkeypatch.setattr(image_module, "REDUCED_PIXELS", 20_000)
    half = open_image(tmp_path / "a.jpg").astype(float)
    means = whole.reshape(100, 2, 150, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - means).max() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8))
    mark = Image.Exif()
    mark[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=mark)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png"), expected)

"""Photographs as arrays: opened within limits, upright, RGB, shrunk. The door to Pillow's decoders.

Memory is bounded by the size that a picture's header states, which is checked before anything is
decoded: four bytes per pixel inside Pillow and three in the array, under one gigabyte in all.
"""

import os
import warnings
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from speech2face.errors import Speech2FaceError
from speech2face.records import open_file

# Formats of cameras and browsers. Not everything Pillow knows: some of its readers start other
# programs (EPS), others are seldom used and therefore seldom tested.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 50_000_000  # of a picture that is decoded at full size
MAX_JPEG_PIXELS = 500_000_000  # a JPEG above `MAX_PIXELS` is decoded at 1/2, 1/4 or 1/8 of its size
REDUCED_PIXELS = 25_000_000  # at most, of a JPEG that was decoded at a reduced size
MIN_SIDE = 32  # pixels; a face in less is a few dots

_ORIENTATION = 0x0112  # EXIF tag
_ROWS = 256  # converted at a time, so that conversion needs little memory
_DAMAGED = "save the picture again"

RGBImage = NDArray[np.uint8]  # [H, W, 3], RGB


def open_image(path: str | os.PathLike[str]) -> RGBImage:
    """Read one photograph as uint8 RGB `[H, W, 3]`, upright.

    The camera's orientation mark (EXIF) is obeyed; grey, palette, CMYK and 16-bit pictures become
    RGB; what is transparent becomes white, like the ground of the rendered faces; of an animation
    the first picture is taken; a JPEG above `MAX_PIXELS` is decoded at a reduced size.

    Raises:
        Speech2FaceError: missing, a folder, not a picture, damaged, smaller than `MIN_SIDE` or
            larger than `MAX_PIXELS` (as the header says, before anything is decoded).
    """
    name = os.fspath(path)
    with open_file(name) as file:
        return _read(file, name)


def image_of_bytes(content: bytes, name: str) -> RGBImage:
    """The same of the content of a picture file; `name` is what errors call it."""
    return _read(BytesIO(content), name)


def _read(file: BinaryIO, name: str) -> RGBImage:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on large pictures and odd metadata
            with _opened(file) as picture:
                _refuse_unusable_size(picture)
                _reduce(picture)
                orientation = picture.getexif().get(_ORIENTATION, 1)
                image = _as_rgb(picture)  # [H, W, 3]
        return np.ascontiguousarray(_upright(image, orientation))
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, name) from error.__cause__
    except UnidentifiedImageError as error:
        remedy = f"give a picture in one of {', '.join(FORMATS)}"
        raise Speech2FaceError("is not a picture that can be read", remedy, name) from error
    except Image.DecompressionBombError as error:
        raise Speech2FaceError(*_too_large(MAX_PIXELS), name) from error
    except MemoryError as error:
        raise Speech2FaceError("needs more memory than there is", _DAMAGED, name) from error
    except Exception as error:  # Pillow's readers raise a dozen types over a damaged file
        reason = str(error) or type(error).__name__
        raise Speech2FaceError(f"is a damaged picture ({reason})", _DAMAGED, name) from error


def _opened(file: BinaryIO) -> Image.Image:
    """The picture with its header read."""
    start = file.read(3)
    file.seek(0)
    if start == b"\xff\xd8\xff":  # not by Image.open, which refuses large ones that can be reduced
        try:
            return JpegImagePlugin.JpegImageFile(file)
        except SyntaxError as error:
            raise UnidentifiedImageError(str(error)) from error
    return Image.open(file, formats=FORMATS)


def _too_large(limit: int) -> tuple[str, str]:
    return f"has more than {limit // 1_000_000} million pixels", "make it smaller"


def _can_be_reduced(picture: Image.Image) -> bool:
    """A progressive JPEG cannot: its decoder keeps the whole picture, however little is wanted."""
    return picture.format == "JPEG" and not picture.info.get("progressive")


def _refuse_unusable_size(picture: Image.Image) -> None:
    width, height = picture.size
    limit = MAX_JPEG_PIXELS if _can_be_reduced(picture) else MAX_PIXELS
    if width * height > limit:
        raise Speech2FaceError(*_too_large(limit))
    if min(width, height) < MIN_SIDE:
        problem = f"is a picture of {width} x {height} pixels"
        raise Speech2FaceError(problem, f"give at least {MIN_SIDE} on each side")


def _reduce(picture: Image.Image) -> None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8 of its size, which its decoder does itself."""
    width, height = picture.size
    if width * height <= MAX_PIXELS:
        return
    factor = next(n for n in (2, 4, 8) if width * height <= n * n * REDUCED_PIXELS)
    picture.draft(None, (-(-width // factor), -(-height // factor)))


def _as_rgb(picture: Image.Image) -> RGBImage:
    """The decoded picture, some rows at a time, `[H, W, 3]`."""
    if picture.mode == "F":
        raise Speech2FaceError("is a picture of floating-point numbers", "save it as 8-bit RGB")
    picture.load()
    width, height = picture.size
    image = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, _ROWS):
        rows = picture.crop((0, top, width, min(top + _ROWS, height)))
        image[top : top + _ROWS] = _rows_as_rgb(rows)
    return image


def _rows_as_rgb(rows: Image.Image) -> RGBImage:
    if rows.mode.startswith("I"):  # grey of 16 bits; Pillow's own conversion would clip it
        levels = np.asarray(rows).astype(np.int64) // 257  # [H, W], 65535 to 255
        return np.repeat(levels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)  # [H, W, 3]
    if rows.has_transparency_data:
        layer = rows.convert("RGBA")
        rows = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(rows.convert("RGB"))  # [H, W, 3]


def _upright(image: RGBImage, orientation: object) -> RGBImage:
    """The picture as the camera was held, by the eight orientations of EXIF."""
    match orientation:
        case 2:
            return image[:, ::-1]
        case 3:
            return image[::-1, ::-1]
        case 4:
            return image[::-1]
        case 5:
            return image.transpose(1, 0, 2)
        case 6:
            return image[::-1].transpose(1, 0, 2)
        case 7:
            return image[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            return image[:, ::-1].transpose(1, 0, 2)
    return image


def check_image(image: RGBImage) -> RGBImage:
    """The same picture, C-contiguous, if it is uint8 RGB `[H, W, 3]`.

    Raises:
        Speech2FaceError: another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        problem = f"picture of type {image.dtype} and shape {image.shape}"
        raise Speech2FaceError(problem, "expected uint8 RGB `[H, W, 3]`")
    return np.ascontiguousarray(image)


def shrink(image: RGBImage, factor: int) -> RGBImage:
    """Mean of every `factor` x `factor` block, `[H, W, 3]` to `[H // factor, W // factor, 3]`.

    The centre of pixel (x, y) of the result was at `factor * (x + 0.5) - 0.5` in `image`.
    Columns and rows that fill no block are left out.
    """
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = Image.fromarray(image[: height * factor, : width * factor])
    return np.asarray(whole.reduce(factor))  # [H // factor, W // factor, 3]

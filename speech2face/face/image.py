"""Photographs as arrays: opened with limits, made RGB, shrunk. Pillow's decoders end here."""

import os
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from speech2face.errors import Speech2FaceError

# Formats of cameras and browsers. Not everything Pillow knows: some of its readers start other
# programs (EPS), others are seldom used and therefore seldom tested.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 80_000_000  # 240 MB as RGB; below the number at which Pillow itself warns
MIN_SIDE = 32  # pixels; a face in less is a few dots

RGBImage = NDArray[np.uint8]  # [H, W, 3], RGB


def open_image(path: str | os.PathLike[str]) -> RGBImage:
    """Read one photograph as uint8 RGB `[H, W, 3]`, upright.

    The camera's orientation mark (EXIF) is obeyed; grey, palette, CMYK and 16-bit pictures become
    RGB; what is transparent becomes white, like the ground of the rendered faces; of an animation
    the first picture is taken.

    Raises:
        Speech2FaceError: missing, a folder, not a picture, damaged, smaller than `MIN_SIDE` or
            larger than `MAX_PIXELS` (judged by the header, before anything is decoded).
    """
    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            with Image.open(name, formats=FORMATS) as picture:
                _refuse_unusable_size(picture.size, name)
                return _as_rgb(ImageOps.exif_transpose(picture), name)
    except FileNotFoundError as error:
        raise Speech2FaceError("there is no such file", "check the path", name) from error
    except IsADirectoryError as error:
        raise Speech2FaceError("this is a folder", "name one picture in it", name) from error
    except PermissionError as error:
        raise Speech2FaceError("no permission to read it", "check its rights", name) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        remedy = f"give a picture in one of {', '.join(FORMATS)}"
        raise Speech2FaceError("not a picture that can be read", remedy, name) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:  # by the decoders
        raise Speech2FaceError(f"damaged picture ({error})", "save it anew", name) from error


def _too_large(name: str) -> Speech2FaceError:
    return Speech2FaceError(
        f"picture of more than {MAX_PIXELS // 1_000_000} million pixels", "make it smaller", name
    )


def _refuse_unusable_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(name)
    if min(size) < MIN_SIDE:
        problem = f"picture of {size[0]}x{size[1]} pixels"
        raise Speech2FaceError(problem, f"give at least {MIN_SIDE} on each side", name)


def _as_rgb(picture: Image.Image, name: str) -> RGBImage:
    if picture.mode == "F":
        raise Speech2FaceError("picture of floating-point numbers", "save it as 8-bit RGB", name)
    if picture.mode.startswith("I"):  # grey of 16 bits; Pillow's own conversion would clip it
        levels = np.asarray(picture).astype(np.int64) // 257  # [H, W], 65535 to 255
        return np.repeat(levels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)  # [H, W, 3]
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(picture.convert("RGB"))  # [H, W, 3]


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

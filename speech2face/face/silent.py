"""The pictures of a video without its sound: a small WebM, which every browser plays.

For people who are shown a face that speaks and must not hear it: what is not in the file cannot be
heard. It is encoded anew on one thread, and the same video gives the same bytes.
"""

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from os import PathLike
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.face.image import RGBImage
from speech2face.face.video import Frame, pictures_in_order
from speech2face.pyav import load_av

FRAMES_PER_SECOND = 25
BIT_RATE = 800_000  # bits per second


def silent_film(
    path: str | PathLike[str], *, seconds: float, side: int, backward: bool = False
) -> bytes:
    """The beginning of a video, without sound, as a WebM file (VP8) of 25 pictures a second.

    Args:
        path: any video that PyAV reads.
        seconds: at most so much of it.
        side: length of the longer side in pixels.
        backward: show the last picture first.

    Raises:
        Speech2FaceError: no such file, no video in it, or this PyAV lacks the encoder.
    """
    av = load_av()
    pictures = pictures_in_order(path, seconds)
    first = next(pictures, None)
    if first is None:
        problem, remedy = "holds no picture that can be decoded", "copy or convert it again"
        raise Speech2FaceError(problem, remedy, str(path))
    size = _even_size(first.image, side)
    frames = _at_fixed_rate(chain((first,), pictures), size)
    content = io.BytesIO()
    options = {"fflags": "+bitexact"}  # no version, date or random number in the file
    with av.open(content, "w", format="webm", options=options) as container:
        stream = _stream(container, size, av)
        for place, image in enumerate(reversed(list(frames)) if backward else frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = place
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return content.getvalue()


def _at_fixed_rate(pictures: Iterable[Frame], size: tuple[int, int]) -> Iterator[RGBImage]:
    """The pictures of the film: some of the video's are left out, others are shown repeatedly."""
    n_given = 0
    for picture in pictures:
        while n_given <= picture.seconds * FRAMES_PER_SECOND:
            yield _resized(picture.image, size)
            n_given += 1


def _even_size(image: RGBImage, side: int) -> tuple[int, int]:
    """Width and height of the film; VP8 halves the resolution of colour, so both are even."""
    height, width = image.shape[:2]
    scale = side / max(width, height)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _resized(image: RGBImage, size: tuple[int, int]) -> RGBImage:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _stream(container: Any, size: tuple[int, int], av: ModuleType) -> Any:
    try:
        stream = container.add_stream("libvpx", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = BIT_RATE
        stream.options = {"deadline": "realtime", "cpu-used": "4"}
        stream.codec_context.thread_count = 1
        stream.codec_context.open()
    except (ValueError, av.FFmpegError) as error:  # of an unknown encoder: either
        remedy = "install PyAV from its wheels: pip install av"
        raise Speech2FaceError("the installed PyAV has no encoder libvpx", remedy) from error
    return stream

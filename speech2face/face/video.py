"""Single pictures out of videos, at little cost.

A keyframe is decoded alone; any other picture needs all that precede it up to a keyframe. So the
keyframes of a clip are looked at first, the nearest to its middle before the others, and the
picture in the middle itself last. Files are opened by us and handed over as bytes, within the same
limits as sound (`audio/sound_file.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from speech2face.errors import Speech2FaceError
from speech2face.face.image import MAX_PIXELS, MIN_SIDE, RGBImage
from speech2face.pyav import load_av
from speech2face.records import open_file

LONGER_SIDE = 1280  # pixels; larger pictures are shrunk to it while they become RGB
MAX_KEYFRAMES = 4  # that are looked at in one clip
_MICROSECONDS = 1_000_000
_AGAIN = "copy or convert the video again"


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video, upright.

    Attributes:
        image: uint8 RGB, `[H, W, 3]`; its longer side is `LONGER_SIDE` at most.
        seconds: since the beginning of the file.
        width, height: in pixels, before it was shrunk.
    """

    image: RGBImage
    seconds: float
    width: int
    height: int


def frames_near_middle(
    path: str | PathLike[str], start: float = 0.0, end: float | None = None
) -> Iterator[Frame]:
    """Pictures of one clip of a video, in the order in which they are worth looking at.

    They are decoded one by one as they are asked for, on one thread.

    Args:
        path: any video that PyAV reads.
        start, end: of the clip, seconds since the beginning of the file; to its end unless given.

    Raises:
        Speech2FaceError: no such file, no video in it, nothing of the clip can be decoded, or a
            picture is too large or too small.
    """
    with _opened(path) as (container, stream):
        if end is None:
            end = _seconds_of(container, stream)
        middle = (start + end) / 2
        n_frames = 0
        for seconds, frame in _keyframes(container, stream, start, middle, end):
            n_frames += 1
            yield _frame(frame, seconds)
        for seconds, frame in _decoded(container, stream, middle):
            if seconds >= middle - 1e-3:
                yield _frame(frame, seconds)
                return
        if n_frames == 0:
            problem = f"holds no picture from {start:.2f} to {end:.2f} s that can be decoded"
            raise Speech2FaceError(problem, _AGAIN)


def pictures_in_order(path: str | PathLike[str], seconds: float) -> Iterator[Frame]:
    """All pictures of the beginning of a video, which lasts `seconds`, from the first one on.

    Raises:
        Speech2FaceError: no such file, no video in it, or a picture is too large or too small.
    """
    with _opened(path) as (container, stream):
        first: float | None = None  # some files do not begin at zero
        for time, frame in _decoded(container, stream, 0.0):
            first = time if first is None else first
            if time - first >= seconds:
                return
            yield _frame(frame, time - first)


def _keyframes(
    container: Any, stream: Any, start: float, middle: float, end: float
) -> Iterator[tuple[float, Any]]:
    """Keyframes of a clip with their time: the last before its middle, later ones, earlier ones."""
    first: float | None = None
    n_frames = 0
    for seconds, frame in _decoded_keyframes(container, stream, middle):
        if seconds > end or n_frames == MAX_KEYFRAMES:
            break
        if seconds >= start:
            first = seconds if first is None else first
            n_frames += 1
            yield seconds, frame
    if first is None or first <= start:
        return
    for seconds, frame in _decoded_keyframes(container, stream, start):
        if seconds >= first or n_frames == MAX_KEYFRAMES:
            return
        if seconds >= start:
            n_frames += 1
            yield seconds, frame


def _decoded_keyframes(container: Any, stream: Any, seconds: float) -> Iterator[tuple[float, Any]]:
    """Keyframes with their time, from the last that is not after `seconds`.

    The decoder is told after each that nothing follows: else it waits for the pictures that come
    next, which may refer to it.
    """
    decoder = stream.codec_context
    _seek(container, seconds)
    for packet in _packets(container, stream):
        if not (packet.is_keyframe and packet.pts is not None):
            continue
        with suppress(load_av().FFmpegError, OSError, ValueError):  # the next may be good
            frames = packet.decode() or decoder.decode(None)
            decoder.flush_buffers()
            yield from ((float(packet.pts * packet.time_base), frame) for frame in frames[:1])


def _decoded(container: Any, stream: Any, seconds: float) -> Iterator[tuple[float, Any]]:
    """Pictures of known time, from the last keyframe on that is not after `seconds`."""
    stream.codec_context.flush_buffers()
    _seek(container, seconds)
    for packet in _packets(container, stream):
        with suppress(load_av().FFmpegError, OSError, ValueError):
            for frame in packet.decode():
                if frame.time is not None:
                    yield frame.time, frame


def _seek(container: Any, seconds: float) -> None:
    with suppress(load_av().FFmpegError, OSError):  # without an index: from where it stands
        container.seek(max(0, round(seconds * _MICROSECONDS)))


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of the video, as far as the container can be read."""
    with suppress(load_av().FFmpegError, OSError, ValueError):
        yield from container.demux(stream)


def _frame(frame: Any, seconds: float) -> Frame:
    """A decoded frame as RGB, upright and of bounded size."""
    width, height = frame.width, frame.height
    if width * height > MAX_PIXELS or min(width, height) < MIN_SIDE:
        problem = f"has pictures of {width} x {height} pixels"
        raise Speech2FaceError(problem, f"give {MIN_SIDE} on each side or more, up to 50 million")
    scale = min(1.0, LONGER_SIDE / max(width, height))
    rgb = frame.to_ndarray(
        format="rgb24", width=max(1, round(width * scale)), height=max(1, round(height * scale))
    )
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise, as numpy turns
    if turns % 2:
        width, height = height, width
    return Frame(np.ascontiguousarray(np.rot90(rgb, turns)), float(seconds), width, height)


def _seconds_of(container: Any, stream: Any) -> float:
    """Length of a video; zero where nothing states it, so that its beginning is looked at."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / _MICROSECONDS


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """The container and its best video stream."""
    av = load_av()
    try:
        with open_file(path) as file:
            options = {"protocol_whitelist": "none"}  # nothing else is opened for a playlist
            try:
                container = av.open(file, options=options, metadata_errors="replace")
            except (av.FFmpegError, OSError, ValueError) as error:
                raise Speech2FaceError("is not a video that can be read", _AGAIN) from error
            with container:
                stream = container.streams.best("video")
                if stream is None or stream.codec_context is None:
                    raise Speech2FaceError("has no pictures that can be decoded", _AGAIN)
                stream.codec_context.thread_count = 1  # clips are done side by side instead
                yield container, stream
    except Speech2FaceError as error:
        name = error.path or str(path)
        raise Speech2FaceError(error.problem, error.remedy, name) from error.__cause__

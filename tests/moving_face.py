"""Videos of invented people who talk: faces that move over a background, and synthetic speech."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAMES_PER_SECOND = 25
Face = tuple[NDArray[np.uint8], float, float]  # a picture, and where its middle is, in 0..1


def write_talk(
    path: Path,
    faces: Sequence[Face],
    voice: NDArray[np.floating] | None,
    *,
    seconds: float = 3.0,
    size: tuple[int, int] = (1280, 720),
    side: int = 320,
    keyframe_every: int = 25,
    codec: str = "libx264",
    sample_rate: int = 16_000,
    audio_codec: str = "aac",
    preset: str = "ultrafast",
    detail: int = 40,
    seed: int = 0,
) -> Path:
    """A video in which each face sways around its place, over noise; the suffix is the container.

    Args:
        faces: pictures of faces with (x, y) in 0..1 of the frame.
        voice: `[L]` in [-1, 1]; None for a video without sound.
        side: of each face in pixels.
        keyframe_every: frames from one keyframe to the next.
        preset: of H.264; slower ones take longer to write, and to read.
        detail: of the background; size of its spots in pixels.
    """
    width, height = size
    chance = np.random.default_rng(seed)
    coarse = chance.integers(60, 190, (height // detail, width // detail, 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    small = [np.asarray(Image.fromarray(face).resize((side, side))) for face, _, _ in faces]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=FRAMES_PER_SECOND)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = keyframe_every
        if codec == "libx264":
            video.options = {"preset": preset, "crf": "23", "sc_threshold": "0"}
        sound = container.add_stream(audio_codec, rate=sample_rate) if voice is not None else None
        if sound is not None:
            sound.layout = "mono"
            sound.open()
        for number in range(round(seconds * FRAMES_PER_SECOND)):
            picture = ground.copy()
            for face, (_, x, y) in zip(small, faces, strict=True):
                left = round(x * width - side / 2 + 20 * np.sin(number / 6))
                top = round(y * height - side / 2 + 8 * np.cos(number / 9))
                left, top = np.clip([left, top], 0, [width - side, height - side])
                picture[top : top + side, left : left + side] = face
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None and voice is not None:
            _write_voice(container, sound, voice[: round(seconds * sample_rate)], sample_rate)
    return path


def _write_voice(
    container: "av.container.OutputContainer",
    stream: "av.AudioStream",
    voice: NDArray[np.floating],
    sample_rate: int,
) -> None:
    convert = av.AudioResampler(
        format=stream.format.name,
        layout="mono",
        rate=sample_rate,
        frame_size=stream.frame_size or 1024,
    )
    packed = np.ascontiguousarray(voice, np.float32)[None]
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="mono")
    frame.sample_rate = sample_rate
    for part in [*convert.resample(frame), *convert.resample(None), None]:
        container.mux(stream.encode(part))

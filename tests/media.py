"""Sound and video files of every kind, written by PyAV for the tests."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def write_media(
    path: Path,
    waveform: NDArray[Any] | None,
    sample_rate: int,
    *,
    codec: str = "pcm_s16le",
    layout: str | None = None,
    video: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write `[L]` or `[C, L]` floats, ten black pictures, or both; the suffix is the container."""
    with av.open(str(path), "w", options=options or {}) as container:
        pictures = container.add_stream("mpeg4", rate=5) if video else None
        if pictures is not None:
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
        if waveform is not None:
            _write_sound(container, np.atleast_2d(waveform), sample_rate, codec, layout)
        if pictures is not None:
            for index in range(10):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
                picture.pts = index
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
    return path


def _write_sound(
    container: Any, channels: NDArray[Any], sample_rate: int, codec: str, layout: str | None
) -> None:
    layout = layout or {1: "mono", 2: "stereo", 8: "7.1"}[len(channels)]
    stream = container.add_stream(codec, rate=sample_rate, layout=layout)
    stream.open()
    convert = av.AudioResampler(
        format=stream.format.name,
        layout=layout,
        rate=sample_rate,
        frame_size=stream.frame_size or 1024,
    )
    packed = np.ascontiguousarray(channels.T, np.float32).reshape(1, -1)  # [1, L * C]
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate = sample_rate
    for part in [*convert.resample(frame), *convert.resample(None), None]:
        container.mux(stream.encode(part))


def write_sparse_hours(path: Path, waveform: NDArray[Any], hours: float) -> Path:
    """A 16 kHz wav of that length which begins with `waveform` and goes on in silence.

    The silence is a hole in the file: it takes no room on the disk and no time to write.
    """
    n_bytes = int(hours * 3600) * 16_000 * 2
    speech = (np.asarray(waveform) * 32767).astype("<i2").tobytes()
    sizes = [np.uint32(size).tobytes() for size in (36 + n_bytes, 16, 16_000, 32_000, n_bytes)]
    riff, chunk, rate, byte_rate, data = sizes
    head = b"RIFF" + riff + b"WAVEfmt " + chunk + b"\x01\x00\x01\x00" + rate + byte_rate
    with path.open("wb") as file:
        file.write(head + b"\x02\x00\x10\x00data" + data + speech)
        file.truncate(44 + n_bytes)
    return path

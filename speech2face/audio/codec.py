"""What codecs leave of a voice: it is encoded and decoded again, in memory, by FFmpeg in PyAV.

Telephones (mu-law and A-law of G.711, AMR), voice messages and calls (Opus), and music formats at
low rates (MP3, AAC). Each encoder runs on one thread, and nothing of the time of day enters a file,
so that the same samples give the same bytes. FFmpeg's GSM has no encoder; AMR at 12.2 kbit/s is the
"enhanced full rate" of GSM.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from speech2face.audio.io import decode
from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.errors import Speech2FaceError
from speech2face.pyav import load_av


@dataclass(frozen=True)
class Codec:
    """How a voice is encoded."""

    encoder: str  # FFmpeg's name
    container: str  # FFmpeg's name
    sample_rate: int = SAMPLE_RATE  # Hz
    bit_rate: int | None = None  # bits per second; none where the codec has only one


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "mu-law, 8 kHz": Codec("pcm_mulaw", "wav", 8_000),
        "A-law, 8 kHz": Codec("pcm_alaw", "wav", 8_000),
        "AMR, 12.2 kbit/s": Codec("libopencore_amrnb", "amr", 8_000, 12_200),
        "AMR, 4.75 kbit/s": Codec("libopencore_amrnb", "amr", 8_000, 4_750),
        "Opus, 12 kbit/s": Codec("libopus", "ogg", bit_rate=12_000),
        "MP3, 32 kbit/s": Codec("libmp3lame", "mp3", bit_rate=32_000),
        "AAC, 32 kbit/s": Codec("aac", "adts", bit_rate=32_000),
    }
)


def through(waveform: Waveform, codec: Codec) -> Waveform:
    """A voice `[L]`, 16 kHz, as it sounds after a codec: about as long, at the same rate.

    Raises:
        Speech2FaceError: this PyAV lacks the encoder, or nothing audible is left.
    """
    return decode(encoded(waveform, codec), speech_only=False, name=codec.encoder).waveform


def encoded(waveform: Waveform, codec: Codec) -> bytes:
    """The content of a sound file with this voice, `[L]` at 16 kHz in -1..1.

    Raises:
        Speech2FaceError: this PyAV lacks the encoder.
    """
    av = load_av()
    content = io.BytesIO()
    with av.open(content, "w", format=codec.container, options=_REPEATABLE) as container:
        stream = _stream(container, codec, av)
        convert = av.AudioResampler(
            format=stream.format.name,
            layout="mono",
            rate=codec.sample_rate,
            frame_size=stream.frame_size or 1024,
        )
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(waveform, np.float32)[None], format="flt", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        for part in (*convert.resample(frame), *convert.resample(None), None):
            container.mux(stream.encode(part))
    return content.getvalue()


_REPEATABLE = {"fflags": "+bitexact"}  # no version, date or random number in the file


def _stream(container: Any, codec: Codec, av: ModuleType) -> Any:
    try:
        stream = container.add_stream(codec.encoder, rate=codec.sample_rate, layout="mono")
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        stream.codec_context.thread_count = 1
        stream.codec_context.open()
    except (ValueError, av.FFmpegError) as error:  # of an unknown encoder: either
        problem = f"the installed PyAV has no encoder {codec.encoder}"
        raise Speech2FaceError(problem, "install PyAV from its wheels: pip install av") from error
    return stream

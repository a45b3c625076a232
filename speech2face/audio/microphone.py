"""Samples of the microphone as they come. The door to sounddevice (PortAudio)."""

import queue
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra

SILENT_SECONDS = 5.0  # without a single block, after which the microphone is given up


def microphone(sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Blocks of mono samples `[L]`, without an end; what came while nobody asked is one block.

    The microphone is opened with the first block that is asked for, and closed with the iterator.

    Raises:
        Speech2FaceError: sounddevice or PortAudio is missing, there is no microphone, it may not
            be opened, or it gives nothing.
    """
    sounddevice = _sounddevice()
    blocks: queue.Queue[NDArray[np.float32]] = queue.Queue()

    def heard(samples: Any, *_: Any) -> None:  # in a thread of PortAudio
        blocks.put(samples[:, 0].copy())

    try:
        stream = sounddevice.InputStream(
            samplerate=sample_rate, channels=1, dtype="float32", callback=heard
        )
        with stream:
            while True:
                yield _next(blocks)
    except sounddevice.PortAudioError as error:
        problem = f"the microphone cannot be opened ({_first_line(error)})"
        remedy = "connect one and allow its use, or give a file"
        raise Speech2FaceError(problem, remedy) from error


def _next(blocks: "queue.Queue[NDArray[np.float32]]") -> NDArray[np.float32]:
    """All blocks that wait, as one; waits for the first."""
    try:
        waiting = [blocks.get(timeout=SILENT_SECONDS)]
    except queue.Empty as nothing:
        problem = f"the microphone gave nothing for {SILENT_SECONDS:.0f} s"
        raise Speech2FaceError(problem, "check that it is switched on") from nothing
    while not blocks.empty():
        waiting.append(blocks.get())
    return np.concatenate(waiting)


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ModuleNotFoundError as missing:
        raise missing_extra("sounddevice", "live") from missing
    except OSError as error:  # its wheel for Linux comes without the library
        problem = f"sounddevice does not find PortAudio ({_first_line(error)})"
        raise Speech2FaceError(problem, "install it: apt-get install libportaudio2") from error
    module: ModuleType = sounddevice
    return module


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

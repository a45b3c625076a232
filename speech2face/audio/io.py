"""The speech of any recording, in a file or in memory, as 16 kHz mono samples."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.recording import (
    MAX_SEARCHED_SECONDS,
    MAX_SECONDS,
    Blocks,
    Recording,
    Silent,
    Wanted,
    checked_rate,
    recording_of,
    refuse_many_channels,
)
from speech2face.audio.sound_file import Packets, SoundFile, Source, container_of, opened
from speech2face.errors import Speech2FaceError


def decode(
    source: Source,
    *,
    max_seconds: float = MAX_SECONDS,
    max_searched_seconds: float = MAX_SEARCHED_SECONDS,
    speech_only: bool = True,
    start_seconds: float = 0.0,
    name: str | None = None,
    check: Callable[[], None] | None = None,
) -> Recording:
    """Speech of a sound or video file, whatever PyAV reads: wav, flac, mp3, m4a, ogg, webm, mp4.

    If a file has several audio tracks, ffmpeg's default one is heard, or else the first in which
    there is speech. The channels are averaged; where they cancel each other, as in a stereo file
    with one side inverted, the loudest is heard alone. `notes` of the recording say so, and also
    that there is little speech, or nothing above 4 kHz, as in telephone calls.

    Args:
        source: the path of a file; or its bytes; or an open binary file, which is read from where
            it stands and may be a pipe such as `sys.stdin.buffer`.
        max_seconds: how much speech is heard, from wherever in the file it begins.
        max_searched_seconds: how much of the file's beginning is searched for speech.
        speech_only: otherwise everything is heard, as in sound that is known to be speech.
        start_seconds: where in the file the recording begins; what is before it is not heard.
        name: what messages call the source, its path unless given.
        check: called again and again while the source is decoded; what it raises ends the work.

    Returns:
        16 kHz mono samples of speech, at least `MIN_SECONDS` of them, without what lies between. A
        file that breaks off is used as far as it can be decoded, and marked as damaged.

    Raises:
        Speech2FaceError: no such file, a folder, not sound, silent, no speech, too short, not
            finite, too many channels, or it takes too long to decode.
    """
    name = name or _name_of(source)
    wanted = Wanted(max_seconds, max_searched_seconds, speech_only, start_seconds)
    try:
        with opened(source) as file:
            return _first_track_with_sound(SoundFile(file, check), wanted)
    except Speech2FaceError as error:
        raise Speech2FaceError(error.problem, error.remedy, name) from error.__cause__


def as_recording(
    samples: NDArray[Any],
    sample_rate: int,
    *,
    max_seconds: float = MAX_SECONDS,
    speech_only: bool = True,
) -> Recording:
    """Speech that is already in memory, checked and brought to 16 kHz mono.

    Args:
        samples: `[L]`, `[C, L]` or `[L, C]` (the shorter axis is the channels); floats in [-1, 1],
            beyond which all is scaled down; or integers, whose full range is taken for [-1, 1].
        sample_rate: of `samples`, in Hz.
        max_seconds: how much speech is heard, from wherever it begins.
        speech_only: as for `decode`.

    Raises:
        Speech2FaceError: another shape or type, silent, no speech, too short, not finite.
    """
    channels = _channels_first(samples)  # [C, L]
    rate = checked_rate(sample_rate)

    def blocks() -> Blocks:  # a second each, so that what is not heard is never touched
        for start in range(0, channels.shape[1], rate):
            yield channels[:, start : start + rate], rate

    try:
        return recording_of(blocks, Wanted(max_seconds, MAX_SEARCHED_SECONDS, speech_only))
    except Silent as silent:
        if channels.dtype.kind not in "iu":
            raise
        problem = f"{silent.problem}: the full range of {channels.dtype} counts as [-1, 1]"
        remedy = "give the type that the numbers were recorded in, such as int16"
        raise Speech2FaceError(problem, remedy) from silent


def _channels_first(samples: Any) -> NDArray[Any]:
    """`[L]`, `[C, L]` or `[L, C]` to `[C, L]`."""
    try:
        samples = np.asarray(samples)
    except ValueError as error:
        problem = f"samples are no array ({error})"
        raise Speech2FaceError(
            problem, "give real numbers of shape [L], [C, L] or [L, C]"
        ) from error
    if samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
        problem = f"samples are {samples.dtype} of shape {samples.shape}"
        raise Speech2FaceError(problem, "give real numbers of shape [L], [C, L] or [L, C]")
    channels: NDArray[Any] = np.atleast_2d(samples)
    if channels.shape[0] > channels.shape[1]:
        channels = channels.T
    if channels.shape[0] == 0:
        raise Speech2FaceError("holds only 0.00 s of sound", "give at least half a second")
    refuse_many_channels(channels.shape[0])
    return channels


def _first_track_with_sound(source: SoundFile, wanted: Wanted) -> Recording:
    """The speech of ffmpeg's default track; if there is none, of the next that has some."""
    with container_of(source) as container:
        best = container.streams.best("audio")
        tracks = [stream.index for stream in container.streams.audio]
        if best is None:
            problem = "has no sound track"
            raise Speech2FaceError(problem, "give a recording in which somebody speaks")
        best_index = best.index
    try:
        return _track(source, best_index, wanted)
    except Speech2FaceError as refused:
        for number, index in enumerate(tracks, start=1):
            if index == best_index:
                continue
            try:
                recording = _track(source, index, wanted)
            except Speech2FaceError:
                continue
            of = tracks.index(best_index) + 1
            note = f"audio track {number} is heard: track {of} {refused.problem}"
            return replace(recording, notes=(*recording.notes, note))
        raise


def _track(source: SoundFile, index: int, wanted: Wanted) -> Recording:
    """The recording of one audio track."""
    packets = Packets(source, index, wanted.start_seconds)
    recording = recording_of(packets.blocks, wanted)
    return replace(recording, damaged=packets.damaged)


def _name_of(source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the sound given"

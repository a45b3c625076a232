"""Faces of a voice that is still being spoken."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES
from numpy.typing import NDArray

from speech2face import Pipeline, Speech2FaceError, load_model
from speech2face.audio.io import decode

RATE = 16_000


@pytest.fixture(scope="module")
def pipeline(stand_in_model: Path) -> Pipeline:
    return load_model(stand_in_model, threads=1)


@pytest.fixture(scope="module")
def voice() -> NDArray[np.float32]:
    return decode(EXAMPLES / "slt.ogg", speech_only=False).waveform


def pixels(face: object) -> NDArray[np.uint8]:
    return np.asarray(face.image)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [400, 7_001, 10**9])
def test_the_last_face_is_that_of_the_whole_recording(
    pipeline: Pipeline, voice: NDArray[np.float32], size: int
) -> None:
    chunks = [voice[start : start + size] for start in range(0, len(voice), size)]
    faces = list(pipeline.stream(chunks, RATE))
    whole = pipeline.reconstruct(voice, sample_rate=RATE)
    np.testing.assert_array_equal(pixels(faces[-1]), pixels(whole))
    assert faces[-1].seconds == whole.seconds
    assert len(faces) <= len(chunks)


def test_there_is_a_face_after_each_second_and_none_before_somebody_speaks(
    pipeline: Pipeline, voice: NDArray[np.float32]
) -> None:
    chunks = np.array_split(np.concatenate([np.zeros(3 * RATE, np.float32), voice]), 100)
    faces = list(pipeline.stream(chunks, RATE))
    assert len(faces) in (len(voice) // RATE, len(voice) // RATE + 1)
    assert [face.seconds for face in faces] == sorted(face.seconds for face in faces)
    assert len(list(pipeline.stream(chunks, RATE, every_seconds=3))) < len(faces)


def test_long_speech_is_forgotten_after_twelve_seconds(
    pipeline: Pipeline, voice: NDArray[np.float32]
) -> None:
    long = np.tile(voice, 3)
    *_, last = pipeline.stream(np.array_split(long, 50), RATE)
    expected = pipeline.reconstruct(long[-12 * RATE :], sample_rate=RATE)
    np.testing.assert_array_equal(pixels(last), pixels(expected))


def test_a_face_comes_as_soon_as_its_samples_are_there(
    pipeline: Pipeline, voice: NDArray[np.float32]
) -> None:
    taken = 0

    def microphone() -> Iterator[NDArray[np.float32]]:
        nonlocal taken
        for chunk in np.array_split(voice, 70):
            taken += len(chunk)
            yield chunk

    next(iter(pipeline.stream(microphone(), RATE)))
    assert taken < 2.2 * RATE


def test_two_channels_in_memory_that_is_used_again_are_heard(
    pipeline: Pipeline, voice: NDArray[np.float32]
) -> None:
    memory = np.zeros((4000, 2), np.float32)

    def microphone() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(voice) - 4000, 4000):
            memory[:] = voice[start : start + 4000, None]
            yield memory

    *_, last = pipeline.stream(microphone(), RATE)
    n_whole = (len(voice) - 1) // 4000 * 4000
    expected = pipeline.reconstruct(voice[:n_whole], sample_rate=RATE)
    np.testing.assert_array_equal(pixels(last), pixels(expected))


def test_however_seldom_a_face_is_made_only_what_it_needs_is_kept(
    pipeline: Pipeline, voice: NDArray[np.float32]
) -> None:
    long = np.resize(voice, 60 * RATE)
    at_once = 0

    def hour() -> Iterator[NDArray[np.float32]]:
        nonlocal at_once
        for _ in range(60):  # an hour, a minute at a time
            yield from np.array_split(long, 30)
            at_once = max(at_once, tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        (face,) = pipeline.stream(hour(), RATE, every_seconds=3600)
    finally:
        tracemalloc.stop()
    assert at_once < 4 * 2**20  # an hour is 230 MB
    expected = pipeline.reconstruct(long[-12 * RATE :], sample_rate=RATE)
    np.testing.assert_array_equal(pixels(face), pixels(expected))


def test_one_long_chunk_is_heard_at_its_end(pipeline: Pipeline, voice: NDArray[np.float32]) -> None:
    long = np.resize(voice, (40 * RATE,))
    (face,) = pipeline.stream([long], RATE)
    expected = pipeline.reconstruct(long[-12 * RATE :], sample_rate=RATE)
    np.testing.assert_array_equal(pixels(face), pixels(expected))


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), "16000", None, 0, 16_000.5])
def test_a_rate_that_cannot_be_is_refused_before_anything_is_heard(
    pipeline: Pipeline, rate: object
) -> None:
    def microphone() -> Iterator[NDArray[np.float32]]:
        raise AssertionError("it was opened")
        yield

    with pytest.raises(Speech2FaceError, match="sample rate"):
        list(pipeline.stream(microphone(), rate))  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", ["1", None, float("nan"), -1])
def test_a_time_between_faces_that_cannot_be_is_refused(
    pipeline: Pipeline, voice: NDArray[np.float32], seconds: object
) -> None:
    with pytest.raises(Speech2FaceError, match="every_seconds"):
        list(pipeline.stream([voice], RATE, every_seconds=seconds))  # type: ignore[arg-type]


def test_what_cannot_be_heard_is_said(pipeline: Pipeline, voice: NDArray[np.float32]) -> None:
    with pytest.raises(Speech2FaceError, match="is silent"):
        list(pipeline.stream([np.zeros(3 * RATE, np.float32)], RATE))
    with pytest.raises(Speech2FaceError, match="holds no sound"):
        list(pipeline.stream([], RATE))
    with pytest.raises(Speech2FaceError, match=r"all \[L\] or all"):
        list(pipeline.stream([voice[:100], voice[:100, None]], RATE))
    with pytest.raises(Speech2FaceError, match="not finite|finite numbers"):
        list(pipeline.stream([np.full(2 * RATE, np.nan)], RATE))
    with pytest.raises(Speech2FaceError, match="every_seconds"):
        list(pipeline.stream([voice], RATE, every_seconds=0))
    with pytest.raises(Speech2FaceError, match="out of range"):
        pipeline.stream([voice], RATE, exaggeration=9)

"""Faces of a voice that is still being spoken: what `Pipeline.stream` does.

After each second of new sound, the last `KEPT_SECONDS` are heard as one recording. So each face is
the one that `reconstruct` makes of the same samples, and however long somebody speaks, neither the
memory nor the time of a face grows.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.recording import Unheard, checked_rate
from speech2face.errors import Speech2FaceError

if TYPE_CHECKING:
    from speech2face.inference.pipeline import Face, Pipeline

KEPT_SECONDS = 12.0  # of sound: the six of speech that a model asks for, and as long in pauses


def faces_of_stream(
    pipeline: "Pipeline",
    chunks: Iterable[NDArray[Any]],
    sample_rate: int,
    every_seconds: float,
    exaggeration: float,
) -> Iterator["Face"]:
    """Faces of consecutive chunks; arguments and errors as of `Pipeline.stream`."""
    if not (isinstance(every_seconds, Real) and every_seconds > 0):
        raise Speech2FaceError(f"every_seconds = {every_seconds!r}", "give more than 0")
    rate = checked_rate(sample_rate)
    kept = _Kept(round(KEPT_SECONDS * rate))
    wanted = float(every_seconds) * rate  # new samples before the next face
    unheard: Unheard | None = None
    has_face = False
    for is_last, chunk in _with_end(chunks):
        kept.add(chunk)
        if not (kept.n_new >= wanted or (is_last and kept.n_new)):
            continue
        try:
            face = pipeline.reconstruct(kept.take(), sample_rate=rate, exaggeration=exaggeration)
        except Unheard as silence:  # nobody has spoken yet
            unheard = silence
            continue
        has_face = True
        yield face
    if not has_face:
        raise unheard or Speech2FaceError("holds no sound", "give samples in which somebody speaks")


class _Kept:
    """The newest samples, `[L]` or `[L, C]`, and how many of them were not heard yet."""

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples
        self.chunks: deque[NDArray[Any]] = deque()
        self.n_held = 0  # samples in the chunks
        self.n_new = 0

    def add(self, chunk: NDArray[Any]) -> None:
        """Keep a copy: sound libraries write the next chunk into the same memory."""
        given = np.asarray(chunk)
        copied = np.array(given[-self.n_samples :] if given.ndim else given)
        if copied.ndim not in (1, 2) or (self.chunks and not _are_alike(self.chunks[-1], copied)):
            problem = f"a chunk of type {copied.dtype} and shape {copied.shape}"
            raise Speech2FaceError(
                problem, "give chunks that are all [L] or all [L, C], of one type"
            )
        if len(copied):
            self.chunks.append(copied)
            self.n_held += len(copied)
            self.n_new += len(given)
        # The oldest chunk is left out as soon as `take` would not look at it.
        while self.chunks and self.n_held - len(self.chunks[0]) >= self.n_samples:
            self.n_held -= len(self.chunks.popleft())

    def take(self) -> NDArray[Any]:
        """All that is kept as one array; what is older is forgotten."""
        whole = np.concatenate(self.chunks)[-self.n_samples :]
        self.chunks, self.n_held, self.n_new = deque([whole]), len(whole), 0
        return whole


def _are_alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape[1:] == other.shape[1:]


def _with_end(chunks: Iterable[NDArray[Any]]) -> Iterator[tuple[bool, NDArray[Any]]]:
    """Every chunk, and whether it is the last one, which is known when the next one is missing.

    A chunk is passed on at once; the end is an empty chunk of the same kind.
    """
    last: NDArray[Any] | None = None
    for chunk in chunks:
        last = np.asarray(chunk)
        yield False, last
    if last is not None:
        yield True, last[:0]

"""Which voices and faces an update learns from: one function for each rule of the papers.

A sampler takes the person of each clip, as numbers `[N]`, and gives rows of clips. It depends on
nothing but the given generator.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Draw:
    """Rows of the clips of B samples."""

    first: Rows  # whose voice (or face, in the other direction) is used, [B]
    second: Rows  # whose face (or voice) is used, [B]
    wrong: Rows | None = None  # clips of people other than those of `second`, [B]


class Sampler(Protocol):
    """The form of every function below."""

    def __call__(self, people: Rows, size: int, generator: np.random.Generator) -> Draw: ...


def same_clip(people: Rows, size: int, generator: np.random.Generator) -> Draw:
    """Voice and face of one clip, and a face of somebody else (Wav2Pix)."""
    rows = generator.integers(len(people), size=size)
    return Draw(rows, rows, _others(people, rows, generator))


def same_person(people: Rows, size: int, generator: np.random.Generator) -> Draw:
    """Any voice and any face of one person, of another clip where the person has several.

    What voice and photo share by having been recorded together then teaches nothing.
    """
    first = generator.integers(len(people), size=size)
    second = first.copy()
    for place, row in enumerate(first):
        choices = np.flatnonzero((people == people[row]) & (np.arange(len(people)) != row))
        if len(choices):
            second[place] = generator.choice(choices)
    return Draw(first, second)


def independent(people: Rows, size: int, generator: np.random.Generator) -> Draw:
    """A voice and a face that have nothing to do with each other (DIMNet, the GAN)."""
    first, second = generator.integers(len(people), size=(2, size))
    return Draw(first, second)


def triplet(people: Rows, size: int, generator: np.random.Generator) -> Draw:
    """A pair of `same_person`, and a clip of somebody else (SVHF, Kim)."""
    pair = same_person(people, size, generator)
    return Draw(pair.first, pair.second, _others(people, pair.second, generator))


def same_clip_share(people: Rows) -> float:
    """Share of the clips of which the person has no other one.

    There a pair of `same_person` is a voice and a face of one recording.
    """
    _, code, counts = np.unique(people, return_inverse=True, return_counts=True)
    return float((counts[code] == 1).mean())


def _others(people: Rows, rows: Rows, generator: np.random.Generator) -> Rows:
    """A row of a person other than that of each row: drawn again until it is."""
    if len(np.unique(people)) < 2:
        raise Speech2FaceError("all clips are of one person", "give clips of at least two persons")
    others = generator.integers(len(people), size=len(rows))
    while (same := people[others] == people[rows]).any():
        others[same] = generator.integers(len(people), size=int(same.sum()))
    return others

"""A reader that is fuzzed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        read: what is called with a file; gives a result or raises a `Speech2FaceError`.
        seeds: valid files.
        damage: how they are changed.
        name: of the file, whose suffix a reader may look at.
    """

    read: Callable[[Path], object]
    seeds: Sequence[bytes]
    damage: Damage
    name: str = "input"

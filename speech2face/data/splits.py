"""The split by person, and the check that no person is in two splits."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from speech2face.data.sample import Split
from speech2face.errors import Speech2FaceError

SHARES: Mapping[Split, float] = MappingProxyType({"train": 0.8, "val": 0.1, "test": 0.1})

# Of a corpus that has a test split of its own.
SHARES_WITHOUT_TEST: Mapping[Split, float] = MappingProxyType({"train": 0.9, "val": 0.1})


class InSplit(Protocol):
    """What the check needs to know of a clip."""

    @property
    def person(self) -> str: ...

    @property
    def video(self) -> str | None: ...

    @property
    def split(self) -> Split | None: ...


def split_of_person(person: str, *, seed: int = 0, shares: Mapping[Split, float] = SHARES) -> Split:
    """Split of a person by a hash of the name; it needs no list and is the same on every machine.

    Args:
        person: name as the corpus writes it, the same for all clips of the person.
        seed: another seed gives another, independent split.
        shares: expected share of persons in each split; the sum is 1.

    Raises:
        Speech2FaceError: the shares are negative or do not add up to 1.
    """
    if min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        problem = f"the shares {dict(shares)} are negative or do not add up to 1"
        raise Speech2FaceError(problem, "give shares that add up to 1")
    digest = hashlib.sha256(f"{seed}:{person}".encode(errors="surrogatepass")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
    for split, share in shares.items():
        if position < share:
            return split
        position -= share
    return tuple(shares)[-1]  # rounding can leave the position just above the last limit


def check_disjoint(samples: Iterable[InSplit], path: str | None = None) -> None:
    """Raise if a person or a video is in two splits (docs/protocols.md, P0).

    Corpora write one person in several ways, such as "Ann B. Cole" and "Ann_B._Cole". Names that
    differ only so are taken for one person.

    Raises:
        Speech2FaceError: names the person or video and both splits.
    """
    split_of: dict[tuple[str, str], str] = {}
    written: dict[str, tuple[str, str]] = {}  # name and split of a person, by `_bare` name
    for sample in samples:
        if sample.split is None:
            continue
        first_name, its_split = written.setdefault(
            _bare(sample.person), (sample.person, sample.split)
        )
        if first_name != sample.person and its_split != sample.split:
            raise Speech2FaceError(
                f"persons {first_name!r} and {sample.person!r} are probably one, and are in splits "
                f"{its_split!r} and {sample.split!r}",
                "write the name of a person in one way, in one split",
                path,
            )
        for kind, name in (("person", sample.person), ("video", sample.video)):
            if name is None:
                continue
            first = split_of.setdefault((kind, name), sample.split)
            if first != sample.split:
                raise Speech2FaceError(
                    f"{kind} {name!r} is in splits {first!r} and {sample.split!r}",
                    "put all clips of a person, and of a video, into one split",
                    path,
                )


def _bare(name: str) -> str:
    """The words and numbers of a name in lower case, however they are parted."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(re.findall(r"[^\W_]+", text)) or name

"""Trial lists: drawn with a seed and stored (protocols P1 to P3 and P5).

A list is a JSONL file: a header, then one trial per line. Every record of results holds its
SHA-256, which shows that two systems were given the same trials. Persons and ids are sorted before
the draw, so the same items in another order give the same list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import MISSING_LABEL, FeatureSet
from speech2face.files import encoded, write_text

FORMAT = 1
N_TRIALS = 10_000
MAX_N_WAY = 10

STRATA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "U": (),
        "G": ("gender",),
        "N": ("nationality",),
        "A": ("age_group",),
        "GN": ("gender", "nationality"),
        "GNA": ("gender", "nationality", "age_group"),
    }
)
Positives = Literal["cross_video", "same_video", "any"]
T = TypeVar("T")


@dataclass(frozen=True)
class Items:
    """The clips or photos from which trials are drawn.

    Attributes:
        ids: distinct, `[N]`.
        persons: `[N]`.
        videos: the video each comes from, `[N]`; None where unknown.
        labels: label columns by name (`gender`, `nationality`, `age_group`), `[N]` each, `""`
            where a person has none. All items of a person have the same labels.
    """

    ids: NDArray[np.str_]
    persons: NDArray[np.str_]
    videos: NDArray[np.str_] | None = None
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        features: FeatureSet,
        *,
        videos: ArrayLike | None = None,
        labels: Mapping[str, ArrayLike] | None = None,
    ) -> Items:
        """Items of a feature set."""
        return cls(
            features.ids,
            features.persons,
            None if videos is None else np.asarray(videos, dtype=np.str_),
            {name: np.asarray(column, dtype=np.str_) for name, column in (labels or {}).items()},
        )

    def video_of(self, row: int) -> str:
        return "" if self.videos is None else str(self.videos[row])


@dataclass(frozen=True)
class Header:
    """How a list was made; stored as its first line.

    Attributes:
        direction: "V->F" (the query is a voice, the candidates are faces) or "F->V".
        stratum: U, G, N, A, GN or GNA.
        n_way: candidates of a trial, 2 for 1:2.
        positives: how the own candidate relates to the query's video.
        seed: of the draw.
        persons: query persons in the list.
        dropped_persons: query persons left out because they have no impostor or no positive.
    """

    direction: str
    stratum: str
    n_way: int
    positives: str
    seed: int
    persons: int
    dropped_persons: int


@dataclass(frozen=True)
class TrialList:
    """Forced-choice trials: a query, its own candidate, then the impostors.

    Attributes:
        queries: ids, `[T]`.
        candidates: ids, the own one first, `[T, N]`; the credit does not depend on the order.
        header: how they were drawn.
    """

    queries: NDArray[np.str_]
    candidates: NDArray[np.str_]
    header: Header

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def text(self) -> str:
        """The JSONL file."""
        lines: list[object] = [{"format": FORMAT, "kind": "forced_choice", **asdict(self.header)}]
        rows = zip(self.queries, self.candidates, strict=True)
        lines += [[str(query), *map(str, candidates)] for query, candidates in rows]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, which records of results name."""
        return hashlib.sha256(encoded(self.text)).hexdigest()

    def write(self, path: Path | str) -> None:
        """Write the list, whole or not at all."""
        write_text(path, self.text)


@dataclass(frozen=True)
class PairList:
    """Verification pairs (P4): do this voice and this face belong to one person?

    Attributes:
        queries: ids, `[T]`.
        candidates: ids, `[T]`.
        same: whether both are one person, `[T]`.
    """

    queries: NDArray[np.str_]
    candidates: NDArray[np.str_]
    same: NDArray[np.bool_]

    @classmethod
    def from_trials(cls, trials: TrialList) -> PairList:
        """One positive and one negative pair of every trial: half are positives."""
        return cls(
            np.repeat(trials.queries, 2),
            trials.candidates[:, :2].reshape(-1),
            np.tile([True, False], len(trials)),
        )


def draw_trials(
    queries: Items,
    candidates: Items,
    *,
    direction: str = "V->F",
    stratum: str = "U",
    n_way: int = 2,
    n_trials: int = N_TRIALS,
    positives: Positives = "cross_video",
    seed: int = 0,
) -> TrialList:
    """Persons uniformly, then one sample uniformly within each person (P2, P3, P5).

    The candidates of a 1:10 trial are nested: its first N are the 1:N trial.

    Args:
        queries: of one modality.
        candidates: of the other.
        direction: recorded only; swap `queries` and `candidates` for the other one.
        stratum: what every impostor shares with the query's person.
        n_way: candidates, 2 to 10.
        n_trials: length of the list.
        positives: "cross_video" needs the videos of both; "any" ignores them.
        seed: of the draw.

    Raises:
        Speech2FaceError: unknown stratum, absent labels or videos, or nobody is eligible.
    """
    if not 2 <= n_way <= MAX_N_WAY or n_trials < 1:
        raise Speech2FaceError(
            f"{n_trials} trials of {n_way} candidates", f"give 1 or more, 2 to {MAX_N_WAY}"
        )
    positives_of = _positives(queries, candidates, positives)
    groups = _eligible_impostors(queries, candidates, stratum)
    items_of = _by_person(candidates)
    asked = np.unique(queries.persons)
    usable = [
        str(person)
        for person in asked
        if positives_of.get(str(person)) and len(groups.get(str(person), ())) >= n_way - 1
    ]
    if not usable:
        raise Speech2FaceError(
            f"stratum {stratum}: no person has a positive and {n_way - 1} impostors",
            "check persons, labels and videos, or choose another stratum",
        )
    generator = np.random.default_rng(seed)
    trials = np.empty((n_trials, 1 + n_way), dtype=object)
    for trial in trials:
        person = usable[generator.integers(len(usable))]
        query, own = _choice(generator, positives_of[person])
        impostors = generator.choice(len(groups[person]), size=n_way - 1, replace=False)
        trial[:2] = query, _choice(generator, own)
        trial[2:] = [_choice(generator, items_of[groups[person][i]]) for i in impostors]
    header = Header(
        direction, stratum, n_way, positives, seed, len(usable), len(asked) - len(usable)
    )
    table = trials.astype(np.str_)
    return TrialList(table[:, 0], table[:, 1:], header)


def _choice(generator: np.random.Generator, among: Sequence[T]) -> T:
    return among[int(generator.integers(len(among)))]


def _by_person(items: Items) -> dict[str, list[str]]:
    """Sorted ids of each person."""
    found: dict[str, list[str]] = {}
    for row in np.argsort(items.ids):
        found.setdefault(str(items.persons[row]), []).append(str(items.ids[row]))
    return found


def _positives(
    queries: Items, candidates: Items, positives: Positives
) -> dict[str, list[tuple[str, list[str]]]]:
    """For each person its queries that have a positive, with these positives; all sorted."""
    if positives not in get_args(Positives):
        known = ", ".join(get_args(Positives))
        raise Speech2FaceError(f"unknown positives {positives!r}", f"choose one of {known}")
    if positives != "any" and (queries.videos is None or candidates.videos is None):
        raise Speech2FaceError(
            f"{positives} positives need to know the videos",
            'give the videos of queries and candidates, or choose positives "any"',
        )
    rows_of: dict[str, list[int]] = {}
    for row in np.argsort(candidates.ids):
        rows_of.setdefault(str(candidates.persons[row]), []).append(int(row))
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for row in np.argsort(queries.ids):
        person, video = str(queries.persons[row]), queries.video_of(int(row))
        own = [
            str(candidates.ids[other])
            for other in rows_of.get(person, [])
            if positives == "any"
            or (candidates.video_of(other) == video) == (positives == "same_video")
        ]
        if own:
            found.setdefault(person, []).append((str(queries.ids[row]), own))
    return found


def _eligible_impostors(
    queries: Items, candidates: Items, stratum: str
) -> dict[str, tuple[str, ...]]:
    """For each query person the sorted candidate persons who may be the impostor."""
    labels_of = _stratum_labels(stratum, queries, candidates)
    shown = sorted({str(person) for person in candidates.persons})
    members: dict[tuple[str, ...], list[str]] = {}
    for person in shown:
        members.setdefault(labels_of[person], []).append(person)
    eligible = {}
    for person in {str(person) for person in queries.persons}:
        labels = labels_of[person]
        if MISSING_LABEL not in labels:
            eligible[person] = tuple(p for p in members.get(labels, []) if p != person)
    return eligible


def _stratum_labels(stratum: str, *sides: Items) -> dict[str, tuple[str, ...]]:
    """The labels of every person that a stratum uses."""
    if stratum not in STRATA:
        raise Speech2FaceError(f"unknown stratum {stratum!r}", f"choose one of {', '.join(STRATA)}")
    found: dict[str, tuple[str, ...]] = {}
    for items in sides:
        columns = []
        for name in STRATA[stratum]:
            if name not in items.labels:
                raise Speech2FaceError(
                    f"stratum {stratum} needs the label {name!r}",
                    f"give it for queries and candidates; known are {sorted(items.labels)}",
                )
            columns.append(items.labels[name])
        for row, person in enumerate(map(str, items.persons)):
            labels = tuple(str(column[row]) for column in columns)
            if found.setdefault(person, labels) != labels:
                raise Speech2FaceError(
                    f"person {person!r} has the labels {found[person]} and {labels}",
                    "give all items of a person one label",
                )
    return found

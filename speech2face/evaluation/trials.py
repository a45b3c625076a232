"""Trial lists: drawn once with a seed, stored, and read again (protocols P0 to P3 and P5).

A list is a JSONL file: a header, then one trial a line. Its SHA-256 goes into every record, so two
systems can be shown to have been asked the same questions. Drawing sorts persons and ids first,
so the same items in another order give the same list.

The published lists of VoxCeleb (name split, `identity_splits.txt`, CMPC matching, PINs
verification) are read as they are.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import MISSING_LABEL, FeatureSet

FORMAT = 1
DRAW_AGAIN = "draw the list again"
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
Split = Literal["train", "val", "test"]
T = TypeVar("T")


@dataclass(frozen=True)
class Items:
    """The clips or photos trials are drawn from.

    Attributes:
        ids: distinct, `[N]`.
        persons: `[N]`.
        videos: the video each comes from, `[N]`; None where unknown.
        labels: label columns by name (`gender`, `nationality`, `age_group`), `[N]` each, `""`
            where a person has none. They are a person's: all items of a person agree.
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

    def of_persons(self, persons: ArrayLike) -> Items:
        """Only the items of these persons: unseen-unheard with the test persons, and so on (P1)."""
        return self._where(np.isin(self.persons, np.asarray(persons, dtype=np.str_)))

    def only(self, ids: ArrayLike) -> Items:
        """Only the items with these ids."""
        return self._where(np.isin(self.ids, np.asarray(ids, dtype=np.str_)))

    def without(self, ids: ArrayLike) -> Items:
        """All items but these: seen-heard leaves out the samples trained on (P1)."""
        return self._where(~np.isin(self.ids, np.asarray(ids, dtype=np.str_)))

    def _where(self, kept: NDArray[np.bool_]) -> Items:
        return Items(
            self.ids[kept],
            self.persons[kept],
            None if self.videos is None else self.videos[kept],
            {name: column[kept] for name, column in self.labels.items()},
        )

    def video_of(self, row: int) -> str:
        return "" if self.videos is None else str(self.videos[row])


@dataclass(frozen=True)
class Header:
    """How a list was made; stored as its first line.

    Attributes:
        direction: "V->F" (voice asked, faces shown) or "F->V".
        stratum: U, G, N, A, GN or GNA.
        n_way: candidates of a trial, 2 for 1:2.
        positives: how the own candidate relates to the query's video.
        seed: of the draw; None for a published list.
        persons: query persons in the list.
        dropped_persons: query persons left out for want of impostors or positives.
        source: where a published list comes from.
    """

    direction: str
    stratum: str
    n_way: int
    positives: str
    seed: int | None
    persons: int
    dropped_persons: int
    source: str = ""


@dataclass(frozen=True)
class TrialList:
    """Forced-choice trials: a query, its own candidate, then the impostors.

    Attributes:
        queries: ids, `[T]`.
        candidates: ids, the own one first, `[T, N]`; credit never depends on the place.
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
        """Of the file: what a record of results names."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def write(self, path: Path | str) -> None:
        """Store the list."""
        Path(path).write_text(self.text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path | str) -> TrialList:
        """Read what `write` stored.

        Raises:
            Speech2FaceError: absent, malformed, or trials of unequal length.
        """
        name = str(path)
        lines = _lines(path)
        try:
            entry, *trials = [json.loads(line) for line in lines]
            kind = entry.pop("format"), entry.pop("kind")
            header = Header(**entry)
            width = header.n_way + 1
        except (ValueError, TypeError, AttributeError, KeyError) as broken:
            raise Speech2FaceError("not a trial list", DRAW_AGAIN, name) from broken
        if kind != (FORMAT, "forced_choice") or not trials:
            raise Speech2FaceError("not a list of forced-choice trials", DRAW_AGAIN, name)
        for number, trial in enumerate(trials, start=2):
            if not _are_names(trial) or len(trial) != width or len(set(trial[1:])) != width - 1:
                raise Speech2FaceError(
                    f"line {number} is not a query and {header.n_way} different candidates",
                    DRAW_AGAIN,
                    name,
                )
        table = np.array(trials, dtype=np.str_)
        return cls(table[:, 0], table[:, 1:], header)


@dataclass(frozen=True)
class PairList:
    """Verification pairs (P4): is this voice this face's?

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


def draw_same_video_control(
    queries: Items,
    candidates: Items,
    *,
    direction: str = "V->F",
    stratum: str = "U",
    n_trials: int = N_TRIALS,
    seed: int = 0,
) -> tuple[TrialList, TrialList]:
    """The same queries and impostors, once with same-video and once with cross-video positives.

    A large difference between the two means that room, microphone or lighting is used (P1).

    Raises:
        Speech2FaceError: no query has positives of both kinds.
    """
    same = _positives(queries, candidates, "same_video")
    cross = _positives(queries, candidates, "cross_video")
    both = {query for rows in same.values() for query, _ in rows}
    both &= {query for rows in cross.values() for query, _ in rows}
    if not both:
        raise Speech2FaceError(
            "no query has a positive of its own video and one of another",
            "this control needs persons with several videos",
        )
    first = draw_trials(
        queries.only(sorted(both)),
        candidates,
        direction=direction,
        stratum=stratum,
        n_trials=n_trials,
        positives="same_video",
        seed=seed,
    )
    own_of = {query: own for rows in cross.values() for query, own in rows}
    generator = np.random.default_rng([seed, 1])
    other = first.candidates.astype(object)
    other[:, 0] = [_choice(generator, own_of[str(query)]) for query in first.queries]
    second = TrialList(
        first.queries, other.astype(np.str_), replace(first.header, positives="cross_video")
    )
    return first, second


def name_split(person: str) -> Split:
    """Side of a VoxCeleb1 celebrity by first letter: A-B val, C-E test, F-Z train (P0 a).

    Raises:
        Speech2FaceError: the name begins with no letter A to Z.
    """
    first = person[:1].upper()
    if not ("A" <= first <= "Z"):
        raise Speech2FaceError(
            f"{person!r} begins with no letter A to Z", "give names as VGGFace writes them"
        )
    return "val" if first in "AB" else "test" if first in "CDE" else "train"


def read_identity_splits(path: Path | str) -> dict[str, Split]:
    """Side of every person in the PINs file `identity_splits.txt` (P0 b): `NAME CODE` a line.

    Codes: 1 train, 2 val, 4 unseen-unheard test. Not to be mixed with `name_split`.

    Raises:
        Speech2FaceError: absent, malformed, or a person on two sides.
    """
    sides: dict[int, Split] = {1: "train", 2: "val", 4: "test"}
    splits: dict[str, Split] = {}
    for number, line in enumerate(_lines(path), start=1):
        person, _, code = line.strip().rpartition(" ")
        if not person or code not in {"1", "2", "4"}:
            raise Speech2FaceError(
                f"line {number} is not a name and a code 1, 2 or 4",
                "give the published identity_splits.txt",
                str(path),
            )
        side = sides[int(code)]
        if splits.setdefault(person, side) != side:
            raise Speech2FaceError(
                f"{person!r} is in {splits[person]} and in {side}",
                "put a person on one side",
                str(path),
            )
    return splits


def read_cmpc_trials(path: Path | str, *, direction: str, stratum: str) -> TrialList:
    """A fixed list of CMPC: `QUERY OWN IMPOSTOR` a line, separated by spaces.

    Raises:
        Speech2FaceError: absent or malformed.
    """
    rows = [line.split() for line in _lines(path)]
    if wrong := next((n for n, row in enumerate(rows, start=1) if len(row) != 3), None):
        raise Speech2FaceError(
            f"line {wrong} is not a query and two candidates",
            "give a CMPC matching list",
            str(path),
        )
    table = np.array(rows, dtype=np.str_)
    source = f"CMPC {Path(path).name}"
    header = Header(direction, stratum, 2, "any", None, persons=0, dropped_persons=0, source=source)
    return TrialList(table[:, 0], table[:, 1:], header)


def read_pins_pairs(path: Path | str) -> PairList:
    """A verification list of PINs: CSV with `label`, `voice-path` and `face-path`.

    Raises:
        Speech2FaceError: absent or malformed.
    """
    rows = list(csv.DictReader(_lines(path)))
    needed = ("voice-path", "face-path", "label")
    for number, row in enumerate(rows, start=2):
        if any(not row.get(column) for column in needed) or row["label"] not in {"0", "1"}:
            raise Speech2FaceError(
                f"line {number} has no {', '.join(needed)} (0 or 1)",
                "give a PINs verification list",
                str(path),
            )
    table = np.array([[row[column] for column in needed] for row in rows], dtype=np.str_)
    return PairList(table[:, 0], table[:, 1], table[:, 2] == "1")


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
    """The labels of every person that a stratum looks at."""
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


def _are_names(trial: object) -> bool:
    return isinstance(trial, list) and all(isinstance(name, str) for name in trial)


def _lines(path: Path | str) -> list[str]:
    """Lines of a text file that are not blank."""
    if not Path(path).is_file():
        raise Speech2FaceError("there is no such list", "give the path of a stored list", str(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as broken:
        raise Speech2FaceError("the list is not UTF-8 text", DRAW_AGAIN, str(path)) from broken
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise Speech2FaceError("the list is empty", DRAW_AGAIN, str(path))
    return lines

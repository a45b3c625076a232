"""The trials of an XAB experiment (protocol P14), and the file that holds them.

X is shown in one modality, then A and B in the other: which of the two is the same person? A check
trial asks how many beeps were heard, which shows that the sound is on and the participant attends.

The file is JSON lines: a header, then one trial per line. Its SHA-256 goes into every record of
answers and results.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from speech2face.configuration import require, require_sizes, restored, to_json
from speech2face.errors import Speech2FaceError
from speech2face.files import encoded
from speech2face.records import jsonl_rows, shown

FORMAT = 1
Direction = Literal["V->F", "F->V"]  # from a voice to two faces, from a face to two voices
Condition = Literal["still", "moving", "backward"]  # how faces are shown
Kind = Literal["voice", "still", "moving", "backward"]  # of a stimulus
Side = Literal["A", "B"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
SIDES: tuple[Side, ...] = get_args(Side)
BEEPS = (1, 2)  # of a check trial: one is answered by A, two by B
SUFFIXES: Mapping[str, str] = {
    "voice": ".wav",
    "beeps": ".wav",
    "still": ".png",
    "moving": ".webm",
    "backward": ".webm",
}


@dataclass(frozen=True)
class Stimulus:
    """One voice or face of a trial.

    Attributes:
        clip: id of the clip it comes from.
        person: who speaks or is seen.
        gender: apparent gender of that person, as the manifest gives it.
        kind: a voice, a still face, or a moving face, which may be played backward.
    """

    clip: str
    person: str
    gender: str
    kind: Kind

    @property
    def file(self) -> str:
        """Name of its file, which does not tell whose it is."""
        return stimulus_file(self.kind, self.clip)


@dataclass(frozen=True)
class Trial:
    """A forced choice: A or B belongs to the person of X."""

    direction: Direction
    condition: Condition
    x: Stimulus
    a: Stimulus
    b: Stimulus

    def __post_init__(self) -> None:
        if (self.a.person == self.x.person) == (self.b.person == self.x.person):
            problem = f"the person of {self.x.clip} is on both sides or on none"
            raise Speech2FaceError(problem, "make the experiment again")

    @property
    def right(self) -> Side:
        """The right answer."""
        return "A" if self.a.person == self.x.person else "B"

    @property
    def foil(self) -> Stimulus:
        """The stimulus of the other person."""
        return self.b if self.right == "A" else self.a


@dataclass(frozen=True)
class Check:
    """An attention check: one or two beeps."""

    beeps: int

    def __post_init__(self) -> None:
        if self.beeps not in BEEPS:
            raise Speech2FaceError(f"a check of {self.beeps} beeps", f"choose one of {BEEPS}")

    @property
    def right(self) -> Side:
        """The right answer."""
        return SIDES[BEEPS.index(self.beeps)]

    @property
    def file(self) -> str:
        """Name of the file of its sound."""
        return stimulus_file("beeps", str(self.beeps))


TrialList = Sequence[Trial | Check]  # what one participant is shown, in this order


@dataclass(frozen=True)
class Design:
    """How lists are drawn; the first line of the file.

    Attributes:
        lists: how many lists there are; each participant is given one.
        trials: of each list, without the checks.
        checks: attention checks of each list.
        directions: from voices to faces, the reverse, or both in equal parts.
        conditions: still faces, moving ones, moving ones played backward; several in equal parts.
        same_clip: whether X and the right answer may come from one clip.
        seconds: at most so much of a voice is heard and of a moving face is seen.
        seed: of the draw.
    """

    lists: int = 20
    trials: int = 32
    checks: int = 3
    directions: tuple[Direction, ...] = DIRECTIONS
    conditions: tuple[Condition, ...] = ("still",)
    same_clip: bool = False
    seconds: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_sizes(self, "lists", "trials", most=10_000)
        require(0 <= self.checks <= self.trials, "checks", self.checks, "at most one a trial")
        for name, values in (("directions", self.directions), ("conditions", self.conditions)):
            good = len(values) > 0 and len(set(values)) == len(values)
            require(good, name, values, "one or more different ones")
        require(1 <= self.seconds <= 30, "seconds", self.seconds, "1 to 30")


def stimulus_file(kind: str, name: str) -> str:
    """Name of the file of a stimulus: a digest, so that the page cannot tell whose it is."""
    digest = hashlib.sha256(encoded(f"{kind}\n{name}")).hexdigest()
    return digest[:24] + SUFFIXES[kind]


def text_of(design: Design, lists: Sequence[TrialList]) -> str:
    """The content of the file."""
    rows: list[object] = [{"format": FORMAT, "kind": "xab", **to_json(design)}]
    for number, trials in enumerate(lists):
        rows += [{"list": number, **_row(trial)} for trial in trials]
    return "".join(json.dumps(row) + "\n" for row in rows)


def read_lists(path: Path) -> tuple[Design, tuple[TrialList, ...]]:
    """Design and lists of a file that `text_of` wrote.

    Raises:
        Speech2FaceError: it cannot be read, or is not such a file; names the line.
    """
    rows = jsonl_rows(path)
    where, header = next(rows, (str(path), {}))
    if (header.pop("format", None), header.pop("kind", None)) != (FORMAT, "xab"):
        problem = f"is no list of trials of format {FORMAT}"
        raise Speech2FaceError(problem, "make it with speech2face xab make", where)
    design = restored(Design, header, where)
    lists: dict[int, list[Trial | Check]] = {number: [] for number in range(design.lists)}
    for where, row in rows:
        number = row.pop("list", None)
        if type(number) is not int or number not in lists:
            problem = f"list {shown(number)} of {design.lists}"
            raise Speech2FaceError(problem, "make the experiment again", where)
        lists[number].append(_trial(row, where))
    if empty := [number for number, trials in lists.items() if not trials]:
        raise Speech2FaceError(f"list {empty[0]} is empty", "make the experiment again", str(path))
    return design, tuple(lists.values())


def _row(trial: Trial | Check) -> dict[str, Any]:
    kind = "check" if isinstance(trial, Check) else "trial"
    return {"kind": kind, **to_json(trial)}


def _trial(row: dict[str, Any], where: str) -> Trial | Check:
    kind = row.pop("kind", None)
    if kind == "check":
        return restored(Check, row, where)
    if kind == "trial":
        return restored(Trial, row, where)
    raise Speech2FaceError(f"a trial of kind {shown(kind)}", "known are trial and check", where)

"""Draws the lists of an XAB experiment: balanced within each list and over all lists.

Within a list, each combination of direction, condition and apparent gender occurs equally often,
and the right answer is as often A as B in each of them. A and B share the apparent gender, so that
it answers nothing. No person is met twice in a list, so nobody can be recognised from an earlier
trial. Over all lists, each person is asked for about equally often.

Clips are sorted before the draw, and each list has a generator of its own: the same clips in
another order give the same lists, and further lists do not change the first ones.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from speech2face.data.sample import Sample
from speech2face.data.talking_clip import VIDEO_SUFFIXES
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import MISSING_LABEL
from speech2face.xab.trials import (
    BEEPS,
    SIDES,
    Check,
    Condition,
    Design,
    Direction,
    Kind,
    Side,
    Stimulus,
    Trial,
    TrialList,
)


@dataclass(frozen=True)
class Cell:
    """What one trial of a list has to be."""

    direction: Direction
    condition: Condition
    gender: str
    right: Side


@dataclass(frozen=True)
class Person:
    """What can be shown of one person, in the order of the clips' ids.

    Attributes:
        name: of the person.
        gender: apparent gender.
        voices: all clips.
        faces: clips with a face of each kind.
    """

    name: str
    gender: str
    voices: tuple[Sample, ...]
    faces: Mapping[Condition, tuple[Sample, ...]]

    def own_pairs(self, condition: Condition, same_clip: bool) -> list[tuple[Sample, Sample]]:
        """Pairs of a voice and a face that may be the two sides of one trial."""
        pairs = product(self.voices, self.faces[condition])
        return [pair for pair in pairs if same_clip or not _share_recording(*pair)]


def draw_lists(
    samples: Sequence[Sample],
    design: Design,
    unusable: Collection[tuple[str, Kind]] = (),
) -> tuple[TrialList, ...]:
    """Lists of trials with attention checks between them.

    Args:
        samples: the clips, with the label `gender`.
        design: how many lists, of which trials.
        unusable: clips by id, with what of them cannot be shown.

    Raises:
        Speech2FaceError: the number of trials cannot be balanced, or there are too few people.
    """
    people = _people(samples, unusable)
    genders = sorted({person.gender for person in people.values()})
    n_cells = len(list(product(design.directions, design.conditions, genders, SIDES)))
    if not genders:
        problem = "no clip has the label gender, so no two people can be known to share it"
        raise Speech2FaceError(problem, "add the labels to the manifest")
    if design.trials % n_cells:
        lower = max(n_cells, design.trials // n_cells * n_cells)
        problem = f"{design.trials} trials cannot be divided equally among {n_cells} kinds"
        raise Speech2FaceError(problem, f"choose a multiple of {n_cells}, such as {lower}")
    asked: Counter[str] = Counter()  # how often each person was asked for, over all lists
    shown: Counter[str] = Counter()  # how often each was the other one
    lists = []
    for number in range(design.lists):
        generator = np.random.default_rng([design.seed, number])
        cells = list(_cells(design, genders, number))
        trials = _trials(cells, people, design, asked, shown, generator)
        order = generator.permutation(len(trials))
        lists.append(_with_checks([trials[place] for place in order], design.checks, generator))
    return tuple(lists)


def _people(samples: Sequence[Sample], unusable: Collection[tuple[str, Kind]]) -> dict[str, Person]:
    """Everybody whose gender is given, by name, in sorted order."""
    clips_of: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda one: one.id):
        if sample.labels.get("gender", MISSING_LABEL) != MISSING_LABEL:
            clips_of.setdefault(sample.person, []).append(sample)
    people = {}
    for name in sorted(clips_of):
        clips = clips_of[name]
        genders = sorted({clip.labels["gender"] for clip in clips})
        if len(genders) > 1:
            problem = f"person {name!r} has the genders {genders}"
            raise Speech2FaceError(problem, "give all clips of a person one label")

        def usable(kind: Kind, clips: list[Sample] = clips) -> tuple[Sample, ...]:
            return tuple(
                clip for clip in clips if (clip.id, kind) not in unusable and _has(clip, kind)
            )

        faces: dict[Condition, tuple[Sample, ...]] = {
            "still": usable("still"),
            "moving": usable("moving"),
            "backward": usable("backward"),
        }
        people[name] = Person(name, genders[0], usable("voice"), faces)
    return people


def _has(clip: Sample, kind: Kind) -> bool:
    if kind in ("moving", "backward"):
        return clip.voice.suffix.lower() in VIDEO_SUFFIXES
    return kind == "voice" or clip.face is not None


def _cells(design: Design, genders: Sequence[str], number: int) -> Iterator[Cell]:
    """What the trials of list `number` have to be.

    The sides alternate in each combination; they begin with A in even lists and with B in odd ones.
    """
    kinds = list(product(design.directions, design.conditions, genders))
    for place in range(design.trials):
        side = SIDES[(place // len(kinds) + number) % 2]
        yield Cell(*kinds[place % len(kinds)], side)


def _trials(
    cells: Sequence[Cell],
    people: Mapping[str, Person],
    design: Design,
    asked: Counter[str],
    shown: Counter[str],
    generator: np.random.Generator,
) -> list[Trial]:
    """One trial for each cell. Those asked for are chosen first, as fewer people can be."""
    met: set[str] = set()

    def chosen(cell: Cell, among: Sequence[str], uses: Counter[str]) -> Person:
        free = [name for name in among if name not in met]
        if not free:
            raise _too_few(cell, len(cells), list(people.values()))
        least = min(uses[name] for name in free)
        rarest = [name for name in free if uses[name] == least]
        name = rarest[int(generator.integers(len(rarest)))]
        met.add(name)
        uses[name] += 1
        return people[name]

    own = {
        (condition, name): person.own_pairs(condition, design.same_clip)
        for condition in design.conditions
        for name, person in people.items()
    }
    targets = []
    for cell in cells:
        same = [p.name for p in people.values() if p.gender == cell.gender]
        targets.append(chosen(cell, [name for name in same if own[cell.condition, name]], asked))
    trials = []
    for cell, target in zip(cells, targets, strict=True):
        among = [p.name for p in people.values() if p.gender == cell.gender and _shows(p, cell)]
        foil = chosen(cell, among, shown)
        pairs = own[cell.condition, target.name]
        voice, face = pairs[int(generator.integers(len(pairs)))]
        others = _candidates(foil, cell)
        other = others[int(generator.integers(len(others)))]
        trials.append(_trial(cell, voice, face, other))
    return trials


def _candidates(person: Person, cell: Cell) -> tuple[Sample, ...]:
    """Clips of a person that can be A or B in such a trial."""
    return person.faces[cell.condition] if cell.direction == "V->F" else person.voices


def _shows(person: Person, cell: Cell) -> bool:
    return len(_candidates(person, cell)) > 0


def _trial(cell: Cell, voice: Sample, face: Sample, other: Sample) -> Trial:
    heard, seen = _stimulus(voice, "voice"), _stimulus(face, cell.condition)
    x, own = (heard, seen) if cell.direction == "V->F" else (seen, heard)
    foil = _stimulus(other, own.kind)
    a, b = (own, foil) if cell.right == "A" else (foil, own)
    return Trial(cell.direction, cell.condition, x, a, b)


def _stimulus(clip: Sample, kind: Kind) -> Stimulus:
    return Stimulus(clip.id, clip.person, clip.labels["gender"], kind)


def _share_recording(first: Sample, second: Sample) -> bool:
    """Whether two clips are one, or were cut from one video."""
    return first.id == second.id or (first.video is not None and first.video == second.video)


def _with_checks(
    trials: Sequence[Trial], n_checks: int, generator: np.random.Generator
) -> TrialList:
    """The trials with checks between them: one at the beginning, the others evenly spread."""
    beeps = [BEEPS[place % len(BEEPS)] for place in range(n_checks)]
    before = {round(place * len(trials) / n_checks): place for place in range(n_checks)}
    order = generator.permutation(n_checks)
    mixed: list[Trial | Check] = []
    for number, trial in enumerate(trials):
        if number in before:
            mixed.append(Check(beeps[order[before[number]]]))
        mixed.append(trial)
    return mixed


def _too_few(cell: Cell, n_trials: int, people: Sequence[Person]) -> Speech2FaceError:
    """The error about a cell for which nobody is left."""
    same = [person for person in people if person.gender == cell.gender]
    able = sum(bool(person.own_pairs(cell.condition, same_clip=False)) for person in same)
    problem = (
        f"there are too few people for {n_trials} trials: {len(same)} of the gender "
        f"{cell.gender!r}, of whom {able} have a voice and a {cell.condition} face from different "
        "recordings"
    )
    remedy = "choose fewer --trials, add clips, or allow one clip on both sides by --same-clip"
    return Speech2FaceError(problem, remedy)

"""The folder of an XAB experiment: its lists, its consent text and everything that is shown.

    lists.jsonl     design and trials (`trials.py`)
    consent.txt     what each participant agrees to
    stimuli/        voices (WAV), faces (PNG) and films without sound (WebM)
    answers/        one file per participant (`answers.py`), as soon as somebody takes part

The folder holds voices and faces of people: keep it as you keep the recordings themselves.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.files import encoded, whole_folder
from speech2face.records import read_text
from speech2face.xab.draw import draw_lists
from speech2face.xab.stimuli import beeps, content_of
from speech2face.xab.trials import (
    BEEPS,
    Check,
    Design,
    Kind,
    Stimulus,
    Trial,
    TrialList,
    read_lists,
    stimulus_file,
    text_of,
)

LISTS, CONSENT, STIMULI, ANSWERS = "lists.jsonl", "consent.txt", "stimuli", "answers"
MAX_CONSENT_BYTES = 100_000

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Experiment:
    """An experiment that is complete and can be run."""

    folder: Path
    design: Design
    lists: tuple[TrialList, ...]
    consent: str

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file of the lists, by which answers name the experiment."""
        return hashlib.sha256(encoded(text_of(self.design, self.lists))).hexdigest()

    @cached_property
    def consent_sha256(self) -> str:
        """SHA-256 of the text that participants agreed to."""
        return hashlib.sha256(encoded(self.consent)).hexdigest()

    @property
    def answers(self) -> Path:
        """Folder of the answers, which may not be there yet."""
        return self.folder / ANSWERS

    def stimulus(self, file: str) -> Path:
        """Path of a stimulus by the name that trials give it."""
        return self.folder / STIMULI / file

    @cached_property
    def files(self) -> frozenset[str]:
        """Names of all stimuli of all lists."""
        return frozenset(file for trials in self.lists for one in trials for file in files_of(one))


def files_of(trial: Trial | Check) -> tuple[str, ...]:
    """Names of what is shown in a trial: X, A, B; or the beeps."""
    if isinstance(trial, Check):
        return (trial.file,)
    return (trial.x.file, trial.a.file, trial.b.file)


def open_experiment(folder: Path) -> Experiment:
    """The experiment in a folder.

    Raises:
        Speech2FaceError: a file is missing or damaged.
    """
    design, lists = read_lists(folder / LISTS)
    consent = read_consent(folder / CONSENT)
    experiment = Experiment(folder, design, lists, consent)
    for file in sorted(experiment.files):
        if not experiment.stimulus(file).is_file():
            problem = "a stimulus of the lists is missing"
            raise Speech2FaceError(
                problem, "make the experiment again", str(experiment.stimulus(file))
            )
    return experiment


def read_consent(path: Path) -> str:
    """The text that participants agree to.

    Raises:
        Speech2FaceError: no such file, not UTF-8, too large, or empty.
    """
    text = read_text(path, max_bytes=MAX_CONSENT_BYTES)
    if not text.strip():
        problem = "is empty, so there is nothing to agree to"
        raise Speech2FaceError(problem, "write what participants agree to", str(path))
    return text


def make_experiment(
    folder: Path, samples: Sequence[Sample], design: Design, consent: str, tell: Tell
) -> Experiment:
    """Draw the lists and write all that they need; the folder is complete or absent.

    A clip that cannot be shown is left out, and the lists are drawn again without it. The same
    clips and the same seed therefore give the same lists.

    Args:
        folder: does not exist yet or is empty.
        samples: the clips.
        design: of the lists.
        consent: the text that participants agree to.
        tell: called with a line for each clip that is left out.

    Raises:
        Speech2FaceError: the lists cannot be drawn, or the folder cannot be written.
    """
    unusable: set[tuple[str, Kind]] = set()
    clips = {sample.id: sample for sample in samples}
    with whole_folder(folder) as temporary:
        stimuli = temporary / STIMULI
        stimuli.mkdir()
        while True:
            lists = draw_lists(samples, design, unusable)
            needed = list(_distinct(lists))
            failed = set(_write_stimuli(stimuli, needed, clips, design, tell))
            if not failed:
                break
            unusable |= failed
        _remove_others(stimuli, {stimulus.file for stimulus in needed})
        for number in BEEPS:
            (stimuli / stimulus_file("beeps", str(number))).write_bytes(beeps(number))
        (temporary / LISTS).write_bytes(encoded(text_of(design, lists)))
        (temporary / CONSENT).write_bytes(encoded(consent))
    return open_experiment(folder)


def _distinct(lists: Iterable[TrialList]) -> Iterator[Stimulus]:
    """Every stimulus of the lists once."""
    trials = (one for trials in lists for one in trials if isinstance(one, Trial))
    yield from dict.fromkeys(stimulus for one in trials for stimulus in (one.x, one.a, one.b))


def _write_stimuli(
    folder: Path,
    stimuli: Iterable[Stimulus],
    clips: dict[str, Sample],
    design: Design,
    tell: Tell,
) -> Iterator[tuple[str, Kind]]:
    """Write those that are not there yet; yields clip and kind of each one that cannot be made."""
    for stimulus in stimuli:
        if (folder / stimulus.file).exists():
            continue
        try:
            content = content_of(clips[stimulus.clip], stimulus.kind, design.seconds)
        except Speech2FaceError as error:
            tell(f"{stimulus.clip} is left out: {error}")
            yield stimulus.clip, stimulus.kind
        else:
            (folder / stimulus.file).write_bytes(content)


def _remove_others(folder: Path, needed: set[str]) -> None:
    """Remove what only lists of earlier draws needed."""
    for file in folder.iterdir():
        if file.name not in needed:
            file.unlink()

"""Clips of invented people for XAB experiments, and simulated listeners, for tests only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.xab.answers import AnswerBook, Session
from speech2face.xab.experiment import Experiment, make_experiment
from speech2face.xab.trials import Check, Design, Side

OTHER: dict[Side, Side] = {"A": "B", "B": "A"}


def clips(
    persons: int = 40, each: int = 3, suffix: str = ".wav", videos: bool = True
) -> list[Sample]:
    """Clips whose files do not exist; every other person has one gender."""
    return [
        Sample(
            id=f"p{person:03}-{clip}",
            person=f"p{person:03}",
            voice=Path(f"p{person:03}-{clip}{suffix}"),
            face=Path(f"p{person:03}-{clip}.png"),
            video=f"p{person:03}-v{clip // 2}" if videos else None,
            labels={"gender": ("female", "male")[person % 2]},
        )
        for person in range(persons)
        for clip in range(each)
    ]


def drawn_experiment(folder: Path, design: Design, persons: int = 24) -> Experiment:
    """An experiment with drawn people and synthetic voices, in `folder / "experiment"`."""
    manifest = write_world(folder / "world", persons=persons, clip_seconds=(1.0, 1.2))
    samples = read_manifest(manifest)
    return make_experiment(folder / "experiment", samples, design, "Do you agree?", print)


def simulate(
    experiment: Experiment,
    accuracies: Sequence[float],
    *,
    seed: int = 0,
    checks: float = 1.0,
) -> list[Session]:
    """One whole session for each accuracy; `checks` is that of the attention checks."""
    book, generator = AnswerBook(experiment), np.random.default_rng(seed)
    sessions = []
    for accuracy in accuracies:
        session = book.begin()
        while (shown := book.show(session.start.session)) is not None:
            number, trial = shown
            chance = checks if isinstance(trial, Check) else accuracy
            is_right = generator.random() < chance
            side = trial.right if is_right else OTHER[trial.right]
            session = book.answer(session.start.session, number, side, 900.0)
        sessions.append(session)
    return sessions

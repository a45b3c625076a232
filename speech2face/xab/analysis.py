"""What people's answers say: accuracy with its uncertainty, response bias, time.

A share of answers has the exact binomial interval of Clopper and Pearson, which takes trials for
independent. They are not: some people hear better, and some voices are easier. So beside it stand
intervals over participants, over persons shown, and over both (`evaluation/uncertainty.py`), and a
mixed model (`mixed_model.py`). An analysis over participants alone takes the few voices and faces
of an experiment for all that there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import (
    LEVEL,
    Interval,
    PersonBootstrap,
    mean_draws,
    trial_mean_draws,
)
from speech2face.extras import missing_extra
from speech2face.xab.answers import Answer, Session

CHANCE = 0.5


@dataclass(frozen=True)
class Share:
    """A share of answers with its exact interval.

    Attributes:
        hits: how many.
        n: of how many.
        low, high: ends of the Clopper-Pearson interval of 95 %.
    """

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.n


@dataclass(frozen=True)
class Answers:
    """Answers to trials as columns, without the checks, each `[n]`."""

    participants: NDArray[np.str_]
    persons: NDArray[np.str_]  # who was asked for
    foils: NDArray[np.str_]
    directions: NDArray[np.str_]
    conditions: NDArray[np.str_]
    genders: NDArray[np.str_]
    right_is_a: NDArray[np.bool_]
    said_a: NDArray[np.bool_]
    reaction_ms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.participants)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each answer is right."""
        return np.asarray(self.right_is_a == self.said_a)

    @classmethod
    def of(cls, sessions: Sequence[Session]) -> "Answers":
        """The answers of these participants."""
        pairs = [
            (session.start.session, answer)
            for session in sessions
            for answer in session.answers
            if answer.kind == "trial"
        ]
        answers = [answer for _, answer in pairs]
        return cls(
            np.array([code for code, _ in pairs], np.str_),
            np.array([answer.person for answer in answers], np.str_),
            np.array([answer.foil for answer in answers], np.str_),
            np.array([answer.direction for answer in answers], np.str_),
            np.array([answer.condition for answer in answers], np.str_),
            np.array([answer.gender for answer in answers], np.str_),
            np.array([answer.right == "A" for answer in answers], np.bool_),
            np.array([answer.response == "A" for answer in answers], np.bool_),
            np.array([answer.reaction_ms for answer in answers], np.float64),
        )

    def where(self, rows: NDArray[np.bool_]) -> "Answers":
        """Those for which `rows` `[n]` is true."""
        return Answers(*(column[rows] for column in vars(self).values()))


@dataclass(frozen=True)
class Bias:
    """Whether one side is preferred.

    Attributes:
        said_a: share of the answer A (left or first); the right answer is A in one half.
        right_a: accuracy where A is right.
        right_b: accuracy where B is right.
    """

    said_a: Share
    right_a: Share
    right_b: Share


def share(hits: int, n: int) -> Share:
    """A share with its Clopper-Pearson interval, by SciPy.

    Raises:
        Speech2FaceError: there is not one answer, or SciPy is not installed.
    """
    if n == 0:
        raise Speech2FaceError("there is no answer of this kind", "collect answers first")
    try:
        from scipy.stats import binomtest
    except ModuleNotFoundError as missing:
        raise missing_extra("scipy", "xab") from missing
    interval = binomtest(hits, n).proportion_ci(LEVEL, method="exact")
    return Share(hits, n, float(interval.low), float(interval.high))


def accuracy(answers: Answers) -> Share:
    """The share of right answers."""
    return share(int(answers.correct.sum()), len(answers))


def bias(answers: Answers) -> Bias:
    """How often A was said, and how accurate the answers are on either side."""
    a, b = answers.where(answers.right_is_a), answers.where(~answers.right_is_a)
    return Bias(share(int(answers.said_a.sum()), len(answers)), accuracy(a), accuracy(b))


def checks_passed(session: Session) -> float | None:
    """The share of a participant's attention checks that were right; None before the first."""
    checks = [answer.correct for answer in session.answers if answer.kind == "check"]
    return float(np.mean(checks)) if checks else None


def intervals(answers: Answers, *, seed: int = 0) -> dict[str, Interval]:
    """Intervals of the accuracy over participants, over persons asked for, and over both.

    One that needs two participants or persons is left out where there are fewer.
    """
    correct = answers.correct.astype(np.float64)
    participants = np.char.add("participant ", answers.participants)  # no name is in both groups
    persons = np.char.add("person ", answers.persons)
    found = {}
    for name, groups in (("participants", participants), ("persons", persons)):
        if len(np.unique(groups)) > 1:
            bootstrap = PersonBootstrap.draw(groups, seed=seed)
            draws = mean_draws(bootstrap, correct, groups)
            found[name] = bootstrap.interval(draws, "query-person")
    if len(found) == 2:
        bootstrap = PersonBootstrap.draw(participants, persons, seed=seed)
        draws = trial_mean_draws(bootstrap, correct, participants, persons)
        found["both"] = bootstrap.interval(draws, "two-way")
    return found


def answered_trials(sessions: Sequence[Session]) -> list[Answer]:
    """Every answer to a trial, without the checks, in order."""
    return [answer for one in sessions for answer in one.answers if answer.kind == "trial"]

"""What participants answered: one file of JSON lines each, complete after every trial.

    {"session": ..., "list": ..., "consent": ...}      who (a random code), which list, what consent
    {"event": "shown", "trial": 0, ...}                a trial begins; again after a reload
    {"event": "answered", "trial": 0, ...}             the answer, with all that an analysis needs

Each file is written anew, whole, after each event, so that whatever stops the server, the answers
until then are there. No name, address or other trait of a participant is asked for or kept.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from speech2face import __version__
from speech2face.configuration import restored, to_json
from speech2face.errors import Speech2FaceError
from speech2face.files import write_text
from speech2face.records import jsonl_rows, shown
from speech2face.xab.experiment import Experiment
from speech2face.xab.trials import SIDES, Check, Side, Trial

FORMAT = 1
MAX_REACTION_MS = 86_400_000  # a day
_CODE = re.compile("[0-9a-f]{16}")
NOT_OURS = "leave it as the server wrote it, or take it out of the folder"


class OutOfTurn(Exception):
    """An answer to a trial that is not the one that is shown."""


class UnknownSession(Exception):
    """A code that no participant was given."""


@dataclass(frozen=True)
class Start:
    """The first line of a file.

    Attributes:
        format: of the file.
        session: random code of the participant.
        list: number of the list.
        experiment_sha256: of the file of all lists.
        consent_sha256: of the text that was agreed to.
        started: UTC, ISO 8601.
        version: of this software.
    """

    format: int
    session: str
    list: int
    experiment_sha256: str
    consent_sha256: str
    started: str
    version: str


@dataclass(frozen=True)
class Shown:
    """A trial begins."""

    trial: int
    at: str


@dataclass(frozen=True)
class Answer:
    """An answer, with what was asked, so that a file can be analysed alone.

    Attributes:
        trial: its place in the list, from 0.
        at: UTC, ISO 8601.
        kind: "trial" or "check".
        direction, condition, gender: of the trial; empty for a check.
        person, foil: who was asked for, and the other one; empty for a check.
        stimuli: ids of the clips of X, A and B; of a check the number of beeps.
        right: the right answer.
        response: the answer.
        correct: whether they are the same.
        reaction_ms: from the moment from which an answer was possible.
        presentations: how often the trial was begun: 1 unless the page was loaded again.
    """

    trial: int
    at: str
    kind: str
    direction: str
    condition: str
    gender: str
    person: str
    foil: str
    stimuli: tuple[str, ...]
    right: Side
    response: Side
    correct: bool
    reaction_ms: float
    presentations: int


@dataclass(frozen=True)
class Session:
    """One participant's answers until now."""

    start: Start
    events: tuple[Shown | Answer, ...] = ()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers, in the order of the trials."""
        return tuple(event for event in self.events if isinstance(event, Answer))

    @property
    def text(self) -> str:
        """The content of the file."""
        rows: list[dict[str, Any]] = [to_json(self.start)]
        for event in self.events:
            name = "answered" if isinstance(event, Answer) else "shown"
            rows.append({"event": name, **to_json(event)})
        return "".join(json.dumps(row) + "\n" for row in rows)


class AnswerBook:
    """Begins sessions and writes answers; safe to use from several threads of one process."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._lock = Lock()

    def begin(self) -> Session:
        """A new participant, who is given the list that was given to the fewest."""
        with self._lock:
            given = [session.start.list for session in read_sessions(self.experiment)]
            number = min(range(len(self.experiment.lists)), key=given.count)
            start = Start(
                FORMAT,
                secrets.token_hex(8),
                number,
                self.experiment.sha256,
                self.experiment.consent_sha256,
                _now(),
                __version__,
            )
            return self._written(Session(start))

    def session(self, code: str) -> Session:
        """The session of a code.

        Raises:
            UnknownSession: nobody was given it.
        """
        path = self._path(code)
        if not _CODE.fullmatch(code) or not path.is_file():
            raise UnknownSession(code)
        return read_session(path, self.experiment)

    def show(self, code: str) -> tuple[int, Trial | Check] | None:
        """Note that the next trial begins; its number and the trial, or None after the last one."""
        with self._lock:
            session = self.session(code)
            number, trials = len(session.answers), self.experiment.lists[session.start.list]
            if number == len(trials):
                return None
            shown = Shown(number, _now())
            self._written(replace(session, events=(*session.events, shown)))
            return number, trials[number]

    def answer(self, code: str, trial: int, response: Side, reaction_ms: float) -> Session:
        """Keep an answer to the trial that is shown.

        Raises:
            OutOfTurn: another trial is shown, or none.
        """
        with self._lock:
            session = self.session(code)
            times = [event.trial for event in session.events if isinstance(event, Shown)]
            presentations = times.count(trial)
            if trial != len(session.answers) or not presentations:
                raise OutOfTurn
            asked = self.experiment.lists[session.start.list][trial]
            answer = _answer(trial, asked, response, reaction_ms, presentations)
            return self._written(replace(session, events=(*session.events, answer)))

    def _written(self, session: Session) -> Session:
        write_text(self._path(session.start.session), session.text)
        return session

    def _path(self, code: str) -> Path:
        return self.experiment.answers / f"{code}.jsonl"


def read_sessions(experiment: Experiment) -> list[Session]:
    """All sessions of an experiment, in the order of their beginning.

    Raises:
        Speech2FaceError: a file is not one that this server wrote for this experiment.
    """
    files = sorted(experiment.answers.glob("*.jsonl"))
    sessions = [read_session(path, experiment) for path in files]
    return sorted(sessions, key=lambda one: (one.start.started, one.start.session))


def read_session(path: Path, experiment: Experiment) -> Session:
    """The session of one file.

    Raises:
        Speech2FaceError: damaged, of another experiment, or answers that do not fit its list.
    """
    rows = jsonl_rows(path, remedy=NOT_OURS)
    where, first = next(rows, (str(path), {}))
    start = restored(Start, first, where)
    if start.format != FORMAT or start.experiment_sha256 != experiment.sha256:
        raise Speech2FaceError("holds answers to another experiment", NOT_OURS, where)
    if not 0 <= start.list < len(experiment.lists) or start.session != path.stem:
        raise Speech2FaceError("names another list or session", NOT_OURS, where)
    session = Session(start, tuple(_events(rows)))
    _refuse_other_trials(session.answers, experiment.lists[start.list], str(path))
    return session


def _events(rows: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Shown | Answer]:
    for where, row in rows:
        event = row.pop("event", None)
        if event == "shown":
            yield restored(Shown, row, where)
        elif event == "answered":
            yield restored(Answer, row, where)
        else:
            raise Speech2FaceError(f"an event {shown(event)}", NOT_OURS, where)


def _refuse_other_trials(
    answers: Sequence[Answer], trials: Sequence[Trial | Check], path: str
) -> None:
    """Raise unless these are answers to the first trials of the list, each once."""
    if len(answers) > len(trials):
        raise Speech2FaceError("has more answers than its list has trials", NOT_OURS, path)
    for number, (answer, trial) in enumerate(zip(answers, trials, strict=False)):
        expected = _answer(
            number, trial, answer.response, answer.reaction_ms, answer.presentations, at=answer.at
        )
        if answer != expected:
            problem = f"answer {number} is not one to trial {number} of its list"
            raise Speech2FaceError(problem, NOT_OURS, path)


def _answer(
    number: int,
    asked: Trial | Check,
    response: Side,
    reaction_ms: float,
    presentations: int,
    *,
    at: str = "",
) -> Answer:
    if response not in SIDES or not 0 <= reaction_ms <= MAX_REACTION_MS:  # NaN is not either
        problem = f"the answer {response!r} after {reaction_ms} ms"
        raise Speech2FaceError(problem, "answer A or B, within a day")
    return Answer(
        trial=number,
        at=at or _now(),
        **_asked(asked),
        right=asked.right,
        response=response,
        correct=response == asked.right,
        reaction_ms=float(reaction_ms),
        presentations=presentations,
    )


def _asked(trial: Trial | Check) -> dict[str, Any]:
    """What an answer repeats of its trial."""
    if isinstance(trial, Check):
        nothing = dict.fromkeys(("direction", "condition", "gender", "person", "foil"), "")
        return {"kind": "check", "stimuli": (str(trial.beeps),), **nothing}
    return {
        "kind": "trial",
        "direction": trial.direction,
        "condition": trial.condition,
        "gender": trial.x.gender,
        "person": trial.x.person,
        "foil": trial.foil.person,
        "stimuli": (trial.x.clip, trial.a.clip, trial.b.clip),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

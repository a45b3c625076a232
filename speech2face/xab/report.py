"""The report of an XAB experiment: people, and models that answered the same trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.uncertainty import Interval
from speech2face.report.document import Report, Section
from speech2face.report.tables import Cell, Table, format_interval, format_number, score_table
from speech2face.xab import mixed_model
from speech2face.xab.analysis import Answers, Share, accuracy, bias, checks_passed, intervals
from speech2face.xab.answers import Session, read_sessions
from speech2face.xab.experiment import Experiment
from speech2face.xab.machines import Machine, score_of
from speech2face.xab.mixed_model import Estimate
from speech2face.xab.trials import Trial

MIN_CHECKS = 2 / 3  # share of the checks that a participant has to pass

EXACT = (
    "Exact intervals (Clopper and Pearson) take all answers for independent, which is right for "
    "one participant only. Quote the intervals over participants and persons, or the mixed model."
)


@dataclass(frozen=True)
class Participants:
    """Who counts.

    Attributes:
        counted: sessions with an answer whose checks were passed.
        left_out: codes of the others with the reason.
    """

    counted: tuple[Session, ...]
    left_out: Mapping[str, str]


def participants_of(sessions: Sequence[Session], min_checks: float = MIN_CHECKS) -> Participants:
    """Sort out those who answered no trial or did not attend."""
    counted, left_out = [], {}
    for session in sessions:
        passed = checks_passed(session)
        if not any(answer.kind == "trial" for answer in session.answers):
            left_out[session.start.session] = "answered no trial"
        elif passed is not None and passed < min_checks:
            left_out[session.start.session] = f"passed {passed:.0%} of the attention checks"
        else:
            counted.append(session)
    return Participants(tuple(counted), left_out)


def report_of(
    experiment: Experiment,
    machines: Mapping[str, Callable[[], Machine]],
    *,
    min_checks: float = MIN_CHECKS,
    seed: int = 0,
) -> Report:
    """Everything that is known of an experiment.

    If nobody has answered yet, the models answer the trials of all lists.

    Raises:
        Speech2FaceError: a file of answers is damaged or of another experiment.
    """
    sessions = read_sessions(experiment)
    people = participants_of(sessions, min_checks)
    answers = Answers.of(people.counted)
    sections = [
        _section("people", "People", lambda: _people(people, answers, seed)),
        _section("mixed_model", "Mixed model", lambda: _mixed(answers)),
        _section("bias", "Response bias and time", lambda: _bias(answers)),
        _section("participants", "Each participant", lambda: _each(people)),
        *(
            _section(
                name,
                f"Model: {name}",
                lambda make=make, name=name: _machine(  # type: ignore[misc]
                    name, make(), _trials(experiment, people.counted), seed
                ),
            )
            for name, make in machines.items()
        ),
    ]
    return Report(
        "Voices and faces: an XAB experiment",
        _facts(experiment, sessions, people, min_checks),
        tuple(sections),
        left_out=people.left_out,
    )


def _section(name: str, title: str, make: Callable[[], Section]) -> Section:
    """A section, or its heading and why it cannot be computed."""
    try:
        return replace(make(), name=name, title=title)
    except Speech2FaceError as error:
        return Section(name, title, reason=f"{error.problem}; {error.remedy}")


def _facts(
    experiment: Experiment, sessions: Sequence[Session], people: Participants, min_checks: float
) -> dict[str, str]:
    design = experiment.design
    finished = sum(
        len(one.answers) == len(experiment.lists[one.start.list]) for one in people.counted
    )
    return {
        "SHA-256 of the lists": experiment.sha256,
        "seed": str(design.seed),
        "directions": ", ".join(design.directions),
        "faces": ", ".join(design.conditions),
        "one clip on both sides": "allowed" if design.same_clip else "never",
        "participants who began": str(len(sessions)),
        "participants who count": f"{len(people.counted)}, of whom {finished} answered all trials",
        "they passed": f"at least {min_checks:.0%} of the attention checks",
    }


# ---------------------------------------------------------------- people


def _people(people: Participants, answers: Answers, seed: int) -> Section:
    parts = {"all": np.ones(len(answers), np.bool_)}
    for column in (answers.directions, answers.conditions, answers.genders):
        values = np.unique(column)
        parts |= {str(value): column == value for value in values if len(values) > 1}
    rows = [_accuracy_row(name, answers.where(mask), seed) for name, mask in parts.items()]
    columns = ("trials", "right", "exact", "over participants", "over persons", "over both", "n")
    note = f"Chance is 50 %. {EXACT}"
    table = Table("Right answers, with intervals of 95 %", columns, tuple(rows), note)
    return Section("", "", tables=(table,))


def _accuracy_row(name: str, answers: Answers, seed: int) -> tuple[Cell, ...]:
    right, found = accuracy(answers), intervals(answers, seed=seed)
    shown = (_interval(found.get(kind)) for kind in ("participants", "persons", "both"))
    return (name, _percent(right.value), _exact(right), *shown, right.n)


def _mixed(answers: Answers) -> Section:
    kinds = np.char.add(np.char.add(answers.directions, ", "), answers.conditions)
    effects: dict[str, ArrayLike] = {
        "participants": answers.participants,
        "persons asked for": answers.persons,
        "other persons": answers.foils,
    }
    fitted = mixed_model.fit(answers.correct, kinds, effects)
    accuracies = tuple((name, _estimate(one, "share")) for name, one in fitted.accuracy.items())
    spreads = tuple((name, _estimate(one, "logits")) for name, one in fitted.spread.items())
    text = (
        "A logistic model in which participants, persons asked for and other persons are random. "
        "The accuracy is that of a typical participant with typical persons. The posterior is an "
        "approximation (variational Bayes, statsmodels) with weak normal priors."
    )
    return Section(
        "",
        "",
        text=(text,),
        tables=(
            Table("Accuracy", ("kind of trial", "right [95 %]"), accuracies),
            Table("Standard deviations in logits", ("between", "value [95 %]"), spreads),
        ),
    )


def _bias(answers: Answers) -> Section:
    found = bias(answers)
    rows = (
        ("answered A (left or first)", _percent(found.said_a.value), _exact(found.said_a)),
        ("right where A is right", _percent(found.right_a.value), _exact(found.right_a)),
        ("right where B is right", _percent(found.right_b.value), _exact(found.right_b)),
    )
    note = "Without a preference for one side, A is answered in half of the trials."
    times = answers.reaction_ms / 1000
    low, middle, high = np.percentile(times, [25, 50, 75])
    time = f"Reaction time: median {middle:.2f} s, quartiles {low:.2f} and {high:.2f} s."
    return Section(
        "", "", text=(time,), tables=(Table("Sides", ("answers", "share", "exact"), rows, note),)
    )


def _each(people: Participants) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for session in people.counted:
        right, passed = accuracy(Answers.of([session])), checks_passed(session)
        checks = "–" if passed is None else _percent(passed)
        rows.append((session.start.session, _percent(right.value), _exact(right), right.n, checks))
    if not rows:
        raise Speech2FaceError("nobody has answered", "collect answers first")
    columns = ("code", "right", "exact", "n", "checks passed")
    return Section("", "", tables=(Table("Right answers", columns, tuple(rows)),))


# ---------------------------------------------------------------- models


def _machine(name: str, machine: Machine, trials: Sequence[Trial], seed: int) -> Section:
    parts = {name: list(trials)}
    for direction in ("V->F", "F->V"):
        parts[f"{name}, {direction}"] = [one for one in trials if one.direction == direction]
    scores = [score_of(part, machine, some, seed=seed) for part, some in parts.items() if some]
    return Section("", "", tables=(score_table("Right answers to the same trials", scores),))


def _trials(experiment: Experiment, sessions: Sequence[Session]) -> list[Trial]:
    """The trials that people answered, each as often as it was; all if nobody has."""
    if not sessions:
        return [one for trials in experiment.lists for one in trials if isinstance(one, Trial)]
    answered = (
        experiment.lists[session.start.list][answer.trial]
        for session in sessions
        for answer in session.answers
    )
    return [one for one in answered if isinstance(one, Trial)]


# ---------------------------------------------------------------- cells


def _percent(value: float) -> str:
    return format_number(value, "share") + " %"


def _exact(share: Share) -> str:
    return f"[{format_number(share.low, 'share')}, {format_number(share.high, 'share')}]"


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else format_interval(interval, "share")


def _estimate(one: Estimate, unit: str) -> str:
    def number(value: float) -> str:
        return format_number(value, unit) if unit == "share" else f"{value:.2f}"

    sign = " %" if unit == "share" else ""
    return f"{number(one.value)} [{number(one.low)}, {number(one.high)}]{sign}"

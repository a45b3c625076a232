"""Answers: kept after every trial, once each, in turn, and never believed if a file was changed."""

import json
from pathlib import Path

import pytest
from xab_people import simulate

from speech2face import Speech2FaceError
from speech2face.xab.answers import AnswerBook, OutOfTurn, UnknownSession, read_sessions
from speech2face.xab.experiment import Experiment
from speech2face.xab.trials import Trial


def test_an_answer_is_on_the_disk_before_the_next_trial(experiment: Experiment) -> None:
    book = AnswerBook(experiment)
    code = book.begin().start.session
    for number in range(3):
        assert book.show(code) == (number, experiment.lists[0][number])
        book.answer(code, number, "A", 1000.5 + number)
        rows = (experiment.answers / f"{code}.jsonl").read_text().splitlines()
        kept = json.loads(rows[-1])
        assert (kept["trial"], kept["response"], kept["reaction_ms"]) == (
            number,
            "A",
            1000.5 + number,
        )
    assert len(AnswerBook(experiment).session(code).answers) == 3  # another server goes on


def test_an_answer_says_all_that_was_asked(experiment: Experiment) -> None:
    session = simulate(experiment, [1.0])[0]
    for answer, trial in zip(session.answers, experiment.lists[0], strict=True):
        assert answer.correct and answer.right == answer.response == trial.right
        if isinstance(trial, Trial):
            assert (answer.person, answer.foil) == (trial.x.person, trial.foil.person)
            assert answer.stimuli == (trial.x.clip, trial.a.clip, trial.b.clip)
            assert answer.direction == trial.direction


def test_a_trial_that_was_begun_twice_says_so(experiment: Experiment) -> None:
    book = AnswerBook(experiment)
    code = book.begin().start.session
    book.show(code)
    book.show(code)
    assert book.answer(code, 0, "B", 1).answers[0].presentations == 2


def test_an_answer_out_of_turn_changes_nothing(experiment: Experiment) -> None:
    book = AnswerBook(experiment)
    code = book.begin().start.session
    with pytest.raises(OutOfTurn):
        book.answer(code, 0, "A", 1)  # not shown yet
    book.show(code)
    for trial in (-1, 1):
        with pytest.raises(OutOfTurn):
            book.answer(code, trial, "A", 1)
    book.answer(code, 0, "A", 1)
    with pytest.raises(OutOfTurn):
        book.answer(code, 0, "B", 1)  # a second answer
    assert [answer.response for answer in book.session(code).answers] == ["A"]


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(experiment: Experiment, time: float) -> None:
    book = AnswerBook(experiment)
    code = book.begin().start.session
    book.show(code)
    with pytest.raises(Speech2FaceError, match="answer A or B, within a day"):
        book.answer(code, 0, "A", time)
    assert book.session(code).answers == ()


def test_lists_are_given_out_equally_often(experiment: Experiment) -> None:
    book = AnswerBook(experiment)
    given = [book.begin().start.list for _ in range(9)]
    assert given == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("code", ["0" * 16, "../lists", ""])
def test_a_code_that_nobody_was_given(experiment: Experiment, code: str) -> None:
    with pytest.raises(UnknownSession):
        AnswerBook(experiment).session(code)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"correct": true', '"correct": false', "answer 0 is not one to trial 0"),
        ('"trial": 0', '"trial": 5', "is not one to trial"),
        ('"event": "answered"', '"event": "guessed"', "an event 'guessed'"),
        ('"experiment_sha256": "', '"experiment_sha256": "0', "answers to another experiment"),
        ('"list": 0', '"list": 1', "is not one to trial"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    experiment: Experiment, before: str, after: str, said: str
) -> None:
    session = simulate(experiment, [1.0])[0]
    path: Path = experiment.answers / f"{session.start.session}.jsonl"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(Speech2FaceError, match=session.start.session) as refused:
        read_sessions(experiment)
    assert said in str(refused.value)

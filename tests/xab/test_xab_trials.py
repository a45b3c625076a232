"""The file of the lists: it comes back as it was, and a damaged one is refused by its line."""

from pathlib import Path

import pytest
from xab_people import clips

from speech2face import Speech2FaceError
from speech2face.xab.draw import draw_lists
from speech2face.xab.trials import Check, Design, Trial, read_lists, text_of

DESIGN = Design(lists=2, trials=8, checks=2)


@pytest.fixture
def text() -> str:
    return text_of(DESIGN, draw_lists(clips(), DESIGN))


def test_lists_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    (tmp_path / "lists.jsonl").write_text(text)
    design, lists = read_lists(tmp_path / "lists.jsonl")
    assert design == DESIGN
    assert [list(trials) for trials in lists] == [list(t) for t in draw_lists(clips(), DESIGN)]
    assert text_of(design, lists) == text


def test_the_name_of_a_file_tells_neither_clip_nor_person(text: str) -> None:
    trials = [one for t in draw_lists(clips(), DESIGN) for one in t if isinstance(one, Trial)]
    for trial in trials:
        assert trial.x.person not in trial.x.file and trial.x.clip not in trial.x.file
    files = {(one.clip, one.kind): one.file for t in trials for one in (t.x, t.a, t.b)}
    assert len(set(files.values())) == len(files)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"kind": "xab"', '"kind": "other"', "line 1: is no list of trials"),
        ('"trials": 8', '"trials": 0', "trials = 0"),
        ('"list": 1', '"list": 7', "list 7 of 2"),
        ('"beeps": 2', '"beeps": 3', "a check of 3 beeps"),
        ('"direction": "F->V"', '"direction": "F->F"', "direction = 'F->F'"),
        ('"kind": "check"', '"kind": "pause"', "a trial of kind 'pause'"),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, text: str, before: str, after: str, said: str
) -> None:
    assert before in text
    (tmp_path / "lists.jsonl").write_text(text.replace(before, after, 1))
    with pytest.raises(Speech2FaceError, match=r"lists\.jsonl, line") as refused:
        read_lists(tmp_path / "lists.jsonl")
    assert said in str(refused.value)


def test_a_trial_whose_x_is_on_both_sides_or_on_none_is_refused() -> None:
    trial = next(t for t in draw_lists(clips(), DESIGN)[0] if isinstance(t, Trial))
    own = trial.a if trial.right == "A" else trial.b
    for a, b in ((own, own), (trial.foil, trial.foil)):
        with pytest.raises(Speech2FaceError, match="both sides or on none"):
            Trial(trial.direction, trial.condition, trial.x, a, b)


def test_one_beep_is_answered_by_a_and_two_by_b() -> None:
    assert (Check(1).right, Check(2).right) == ("A", "B")

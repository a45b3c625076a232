"""Lists of trials: balanced, fair, and the same from the same clips and seed."""

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from xab_people import clips

from speech2face import Speech2FaceError
from speech2face.xab.draw import draw_lists
from speech2face.xab.trials import Check, Design, Trial, text_of

DESIGN = Design(lists=6, trials=16, checks=3)


def trials_of(design: Design, **options: object) -> list[list[Trial]]:
    lists = draw_lists(clips(**options), design)  # type: ignore[arg-type]
    return [[one for one in trials if isinstance(one, Trial)] for trials in lists]


def test_the_same_clips_in_another_order_give_the_same_file() -> None:
    forward = draw_lists(clips(), DESIGN)
    backward = draw_lists(clips()[::-1], DESIGN)
    assert text_of(DESIGN, forward) == text_of(DESIGN, backward)
    other = replace(DESIGN, seed=1)
    assert draw_lists(clips(), other) != forward


def test_further_lists_do_not_change_the_first_ones() -> None:
    assert draw_lists(clips(), replace(DESIGN, lists=9))[:6] == draw_lists(clips(), DESIGN)


@pytest.mark.parametrize("faces", [("still",), ("moving",), ("still", "backward")])
def test_every_kind_of_trial_occurs_equally_often_in_every_list(faces: tuple[str, ...]) -> None:
    design = replace(DESIGN, conditions=faces)
    for trials in trials_of(design, suffix=".mp4"):
        kinds = Counter((t.direction, t.condition, t.x.gender, t.right) for t in trials)
        expected = set(product(("V->F", "F->V"), faces, ("female", "male"), "AB"))
        assert set(kinds) == expected
        assert set(kinds.values()) == {16 // len(expected)}


def test_nobody_is_met_twice_in_a_list_and_a_and_b_share_the_gender() -> None:
    for trials in trials_of(DESIGN):
        met = [one.person for t in trials for one in (t.a, t.b)]
        assert len(set(met)) == len(met)
        assert all(t.a.gender == t.b.gender == t.x.gender for t in trials)


def test_x_and_the_right_answer_come_from_different_recordings() -> None:
    video = {clip.id: clip.video for clip in clips()}
    for trial in (t for trials in trials_of(DESIGN) for t in trials):
        own = trial.a if trial.right == "A" else trial.b
        assert own.person == trial.x.person
        assert video[own.clip] != video[trial.x.clip]


def test_one_side_is_a_voice_and_the_other_is_not() -> None:
    for trial in (t for trials in trials_of(DESIGN) for t in trials):
        from_voice = trial.direction == "V->F"
        assert (trial.x.kind == "voice") == from_voice
        assert (trial.a.kind == "voice") == (trial.b.kind == "voice") == (not from_voice)


def test_people_with_one_clip_are_asked_for_only_where_it_may_be_on_both_sides() -> None:
    with pytest.raises(Speech2FaceError, match="20 of the gender 'female', of whom 0 have a voice"):
        trials_of(DESIGN, each=1)
    allowed = trials_of(replace(DESIGN, same_clip=True), each=1)
    assert all(t.x.person in (t.a.person, t.b.person) for trials in allowed for t in trials)


def test_clips_of_one_video_are_not_taken_for_different_recordings() -> None:
    with pytest.raises(Speech2FaceError, match="of whom 0 have"):
        trials_of(DESIGN, each=2)  # both clips of a person are of one video
    assert trials_of(DESIGN, each=2, videos=False)


def test_everybody_is_asked_for_about_equally_often() -> None:
    asked = Counter(t.x.person for trials in trials_of(DESIGN) for t in trials)
    assert len(asked) == 40
    for parity in (0, 1):  # of one gender each
        counts = [n for person, n in asked.items() if int(person[1:]) % 2 == parity]
        assert max(counts) - min(counts) <= 1


def test_a_list_has_its_checks_the_first_one_at_its_beginning() -> None:
    for trials in draw_lists(clips(), DESIGN):
        places = [place for place, one in enumerate(trials) if isinstance(one, Check)]
        assert len(places) == 3 and places[0] == 0 and len(trials) == 19
        assert {one.beeps for one in trials if isinstance(one, Check)} == {1, 2}


def test_trials_that_cannot_be_balanced_are_refused_with_a_number_that_can() -> None:
    with pytest.raises(Speech2FaceError, match="21 trials.*among 8 kinds.*such as 16"):
        draw_lists(clips(), replace(DESIGN, trials=21))


def test_moving_faces_need_videos() -> None:
    with pytest.raises(Speech2FaceError, match="0 have a voice and a moving face"):
        draw_lists(clips(), replace(DESIGN, conditions=("moving",)))


def test_what_cannot_be_shown_is_in_no_list() -> None:
    bad = {("p000-0", "voice"), ("p001-1", "still")}
    for trial in (t for trials in draw_lists(clips(), DESIGN, bad) for t in trials):
        if isinstance(trial, Trial):
            shown = {(one.clip, one.kind) for one in (trial.x, trial.a, trial.b)}
            assert not shown & bad


def test_labels_that_are_missing_or_contradict_each_other() -> None:
    unlabelled = [replace(clip, labels={}) for clip in clips()]
    with pytest.raises(Speech2FaceError, match="no clip has the label gender"):
        draw_lists(unlabelled, DESIGN)
    changed = replace(clips()[0], id="another", labels={"gender": "male"}, voice=Path("v"))
    with pytest.raises(Speech2FaceError, match=r"'p000' has the genders \['female', 'male'\]"):
        draw_lists([*clips(), changed], DESIGN)

"""Trial lists: who may meet whom, and the same list from the same seed."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.trials import STRATA, Items, PairList, draw_trials

GENDER = {p: "female" if i % 2 else "male" for i, p in enumerate("abcdefghij")}
NATION = {p: "north" if i % 3 else "south" for i, p in enumerate("abcdefghij")}
AGE = {p: "20" if i < 5 else "40" for i, p in enumerate("abcdefghij")}


def a_world(kind: str, n_each: int = 4, order: np.ndarray | None = None) -> Items:
    """Ten persons, `n_each` items of each from two videos."""
    rows = [(p, i) for p in "abcdefghij" for i in range(n_each)]
    if order is not None:
        rows = [rows[place] for place in order]
    return Items(
        np.array([f"{kind}-{p}{i}" for p, i in rows]),
        np.array([p for p, _ in rows]),
        np.array([f"{p}-video{i % 2}" for p, i in rows]),
        {
            "gender": np.array([GENDER[p] for p, _ in rows]),
            "nationality": np.array([NATION[p] for p, _ in rows]),
            "age_group": np.array([AGE[p] for p, _ in rows]),
        },
    )


VOICES, FACES = a_world("voice"), a_world("face")


def of_persons(items: Items, persons: list[str]) -> Items:
    kept = np.isin(items.persons, persons)
    return Items(items.ids[kept], items.persons[kept])


def person_of(name: str) -> str:
    return name.split("-")[1][0]


def video_of(name: str) -> str:
    return f"{person_of(name)}-video{int(name[-1]) % 2}"


@pytest.mark.parametrize("stratum", STRATA)
def test_every_impostor_shares_what_the_stratum_asks_for(stratum: str) -> None:
    trials = draw_trials(VOICES, FACES, stratum=stratum, n_trials=400)
    for query, (own, impostor) in zip(trials.queries, trials.candidates, strict=True):
        asked, other = person_of(query), person_of(impostor)
        assert person_of(own) == asked != other
        for label, table in (("G", GENDER), ("N", NATION), ("A", AGE)):
            if label in stratum and stratum != "U":
                assert table[asked] == table[other]


def test_persons_and_samples_are_drawn_uniformly() -> None:
    uneven = Items(
        np.array(["voice-a0", *(f"voice-b{i}" for i in range(9)), "voice-c0"]),
        np.array(["a", *"bbbbbbbbb", "c"]),
    )
    trials = draw_trials(uneven, of_persons(FACES, ["a", "b", "c"]), positives="any", n_trials=3000)
    asked = Counter(person_of(query) for query in trials.queries)
    impostors = Counter(person_of(name) for name in trials.candidates[:, 1])
    for counts in (asked, impostors):
        assert all(abs(counts[person] - 1000) < 5 * np.sqrt(1000 * 2 / 3) for person in "abc")


@pytest.mark.parametrize("positives", ["cross_video", "same_video"])
def test_positives_come_from_the_video_asked_for(positives) -> None:  # type: ignore[no-untyped-def]
    trials = draw_trials(VOICES, FACES, positives=positives, n_trials=300)
    same = [
        video_of(query) == video_of(own)
        for query, own in zip(trials.queries, trials.candidates[:, 0], strict=True)
    ]
    assert all(same) if positives == "same_video" else not any(same)


def test_candidates_of_a_trial_are_ten_different_persons() -> None:
    trials = draw_trials(VOICES, FACES, n_way=10, n_trials=50)
    assert trials.candidates.shape == (50, 10)
    for candidates in trials.candidates:
        assert sorted(person_of(name) for name in candidates) == list("abcdefghij")


def test_persons_with_too_few_impostors_are_dropped_and_counted() -> None:
    trials = draw_trials(VOICES, FACES, stratum="N", n_way=5, n_trials=200)
    # south: a, d, g, j have three impostors each, too few for four; north: six persons
    assert (trials.header.persons, trials.header.dropped_persons) == (6, 4)
    assert {NATION[person_of(query)] for query in trials.queries} == {"north"}


def test_a_person_without_a_label_is_nobodys_impostor() -> None:
    gender = np.where(VOICES.persons == "a", "", VOICES.labels["gender"])
    voices = Items(VOICES.ids, VOICES.persons, VOICES.videos, {"gender": gender})
    faces = Items(FACES.ids, FACES.persons, FACES.videos, {"gender": gender})
    trials = draw_trials(voices, faces, stratum="G", n_trials=500)
    assert "a" not in {person_of(name) for name in trials.candidates.ravel()}
    assert trials.header.dropped_persons == 1


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_items_does_not_change_the_list(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(40)
    shuffled = draw_trials(
        a_world("voice", order=order), a_world("face", order=order[::-1]), n_trials=40, seed=seed
    )
    assert shuffled.text == draw_trials(VOICES, FACES, n_trials=40, seed=seed).text


def test_another_seed_gives_another_list_and_hash() -> None:
    first, second = (draw_trials(VOICES, FACES, n_trials=20, seed=seed) for seed in (0, 1))
    assert first.sha256 != second.sha256
    assert first.sha256 == draw_trials(VOICES, FACES, n_trials=20, seed=0).sha256


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stratum": "X"}, "unknown stratum"),
        ({"positives": "none"}, "unknown positives"),
        ({"n_way": 11}, "2 to 10"),
        ({"n_trials": 0}, "1 or more"),
    ],
)
def test_a_draw_that_cannot_be_is_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(Speech2FaceError, match=problem):
        draw_trials(VOICES, FACES, **options)  # type: ignore[arg-type]


def test_a_stratum_without_its_label_names_the_known_ones() -> None:
    plain = Items(FACES.ids, FACES.persons, FACES.videos, {"gender": FACES.labels["gender"]})
    with pytest.raises(Speech2FaceError, match=r"label 'nationality'.*\['gender'\]"):
        draw_trials(VOICES, plain, stratum="N")


def test_a_person_with_two_labels_is_refused() -> None:
    gender = FACES.labels["gender"].copy()
    gender[0] = "other"
    faces = Items(FACES.ids, FACES.persons, FACES.videos, {"gender": gender})
    with pytest.raises(Speech2FaceError, match="person 'a' has the labels"):
        draw_trials(VOICES, faces, stratum="G")


def test_one_person_only_cannot_be_matched() -> None:
    with pytest.raises(Speech2FaceError, match="no person has a positive and 1 impostors"):
        draw_trials(of_persons(VOICES, ["a"]), of_persons(FACES, ["a"]), positives="any")


def test_unknown_videos_allow_any_positive_only() -> None:
    plain = Items(FACES.ids, FACES.persons)
    with pytest.raises(Speech2FaceError, match="need to know the videos"):
        draw_trials(VOICES, plain)
    assert len(draw_trials(VOICES, plain, positives="any", n_trials=5)) == 5


def test_pairs_of_a_trial_list_are_half_positive() -> None:
    trials = draw_trials(VOICES, FACES, n_trials=20)
    pairs = PairList.from_trials(trials)
    assert pairs.same.tolist() == [True, False] * 20
    for query, candidate, same in zip(pairs.queries, pairs.candidates, pairs.same, strict=True):
        assert (person_of(query) == person_of(candidate)) == same


def test_the_header_of_a_list_is_its_first_line() -> None:
    header = json.loads(draw_trials(VOICES, FACES, n_trials=2, seed=9).text.splitlines()[0])
    assert header["seed"] == 9 and header["stratum"] == "U" and header["n_way"] == 2


def test_ids_that_are_not_utf_8_are_written_so_that_json_gives_them_back(tmp_path: Path) -> None:
    names = [os.fsdecode(bytes([0xE0 + number])) for number in range(10)]
    items = Items(np.array(names), np.array(list("abcdefghij")))
    trials = draw_trials(items, items, n_trials=20, positives="any")
    trials.write(tmp_path / "trials.jsonl")
    content = (tmp_path / "trials.jsonl").read_bytes()
    assert trials.sha256 == hashlib.sha256(content).hexdigest()
    rows = [json.loads(line) for line in content.splitlines()[1:]]
    assert [row[0] for row in rows] == trials.queries.tolist()
    assert [row[1:] for row in rows] == trials.candidates.tolist()

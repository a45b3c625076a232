"""The folder of an experiment: the same again, whole or absent, and without what cannot be used."""

from pathlib import Path

import pytest
from xab_people import drawn_experiment

from speech2face import Speech2FaceError
from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.xab.experiment import files_of, make_experiment, open_experiment
from speech2face.xab.trials import Design, Trial

DESIGN = Design(lists=2, trials=8, checks=2, seconds=1.0)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_same_clips_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    first = drawn_experiment(tmp_path / "first", DESIGN)
    second = drawn_experiment(tmp_path / "second", DESIGN)
    assert content(first.folder) == content(second.folder)
    assert first.sha256 == open_experiment(first.folder).sha256
    shown = {file for trials in first.lists for one in trials for file in files_of(one)}
    assert {path.name for path in (first.folder / "stimuli").iterdir()} == shown


def test_a_clip_that_cannot_be_used_is_left_out_and_the_lists_are_whole(tmp_path: Path) -> None:
    samples = read_manifest(write_world(tmp_path / "world", persons=30, clip_seconds=(1.0, 1.1)))
    whole = make_experiment(tmp_path / "whole", samples, DESIGN, "Yes?", print)
    used = next(one for one in whole.lists[0] if isinstance(one, Trial)).x
    clip = next(sample for sample in samples if sample.id == used.clip)
    (clip.voice if used.kind == "voice" else clip.face).write_bytes(b"damaged")  # type: ignore[union-attr]
    said: list[str] = []
    made = make_experiment(tmp_path / "made", samples, DESIGN, "Yes?", said.append)
    assert len(said) == 1 and said[0].startswith(f"{used.clip} is left out: ")
    shown = {
        one
        for trials in made.lists
        for t in trials
        if isinstance(t, Trial)
        for one in (t.x, t.a, t.b)
    }
    assert used not in shown
    assert len(made.lists[0]) == 10


def test_an_experiment_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    samples = read_manifest(write_world(tmp_path / "world", persons=4, clip_seconds=(1.0, 1.1)))
    with pytest.raises(Speech2FaceError, match="too few people for 8 trials"):
        make_experiment(tmp_path / "made", samples, DESIGN, "Yes?", print)
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_a_missing_stimulus_and_an_empty_consent_are_named(tmp_path: Path) -> None:
    experiment = drawn_experiment(tmp_path, DESIGN)
    (experiment.folder / "consent.txt").write_text(" \n")
    with pytest.raises(Speech2FaceError, match=r"consent\.txt: is empty"):
        open_experiment(experiment.folder)
    (experiment.folder / "consent.txt").write_text("Yes?")
    lost = min(experiment.files)
    experiment.stimulus(lost).unlink()
    with pytest.raises(Speech2FaceError, match=f"{lost}: a stimulus of the lists is missing"):
        open_experiment(experiment.folder)

"""Corpora of clips: checked, in a fixed order, each unusable row with its reason."""

from pathlib import Path

import pytest

from speech2face.data.talking_clip import (
    Row,
    TalkingClip,
    bad_row,
    corpus_of,
    media_by_stem,
    missing_media,
)
from speech2face.errors import Speech2FaceError


def row(name: str, person: str = "p", video: str = "v", split: str = "train") -> TalkingClip:
    file = Path(f"{name}.mp4")
    return TalkingClip(id=name, person=person, face=file, voice=file, video=video, split=split)  # type: ignore[arg-type]


def test_clips_of_one_video_stay_together_in_a_fixed_order() -> None:
    rows: list[Row] = [row("c", video="b"), row("b", video="a"), row("a", video="b")]
    for order in (rows, rows[::-1]):
        assert [clip.id for clip in corpus_of(order, Path(), "x").clips] == ["b", "a", "c"]


def test_the_second_clip_of_an_id_is_left_out() -> None:
    corpus = corpus_of([row("a"), row("a", video="w"), bad_row("here", "bad")], Path(), "x")
    assert [clip.video for clip in corpus.clips] == ["v"]
    assert [(one.id, one.rejected.reason) for one in corpus.rejected] == [
        ("a", "duplicate_id"),
        ("here", "bad_row"),
    ]


@pytest.mark.parametrize(
    "second",
    [row("b", split="test"), row("b", person="q", split="test"), row("b", "p", "w", "val")],
)
def test_a_person_or_video_in_two_splits_is_refused(second: TalkingClip) -> None:
    with pytest.raises(Speech2FaceError, match="is in splits"):
        corpus_of([row("a"), second], Path(), "x")


def test_without_any_clip_the_first_reason_is_told() -> None:
    with pytest.raises(
        Speech2FaceError, match=r"no usable clip .*\(a: gone\); give a folder with x"
    ):
        corpus_of([missing_media("a", "gone")], Path(), "x")


def test_media_are_found_by_stems_with_dots_and_marks(tmp_path: Path) -> None:
    for name in ("a/-_x.y__z_1.5-2.5.MP4", "b/v.webm", "c/v.mp4", "d/v.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {stem: path.parent.name for stem, path in media_by_stem(tmp_path).items()}
    assert found == {"-_x.y__z_1.5-2.5": "a", "v": "b"}

"""The authors' page, on an invented tree of the same two layouts: tones, drawn faces, no people."""

import json
import wave
from pathlib import Path

import numpy as np
import pytest
from sample_files import files_of

from speech2face.data import authors_page, invented
from speech2face.data.manifest import read_manifest, write_manifest
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError

SAMPLE_RATE = 16_000
PICTURES = ("Face_ori", "Face_f2f", "Face_exg0", "Face_exg0.7", "Face_exg1.4")
CLIPS = {  # invented names of the page's form; seconds of speech
    "aaaaaaaaaaa_1.500000-5.750000": 4.25,
    "aaaaaaaaaaa_9.000000-13.000000": 4.0,
    "bbb_bbb-bbb_100.000000-112.300000": 12.3,
    "-_ccccccccc_33.400000-36.400000": 3.0,
}


def write_looped_tone(path: Path, seconds: float, hertz: float) -> None:
    """Exactly six seconds of 16-bit sound: a rising tone of `seconds`, repeated or cut."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.4 * np.sin(2 * np.pi * hertz * time * (1 + time / 20))
    looped = np.resize(tone, 6 * SAMPLE_RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((looped * 32767).astype("<i2").tobytes())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    page = tmp_path / "figures" / "avspeech_res"
    for folder in ("Wav", *PICTURES):
        (page / folder).mkdir(parents=True)
    for index, (name, seconds) in enumerate(CLIPS.items()):
        write_looped_tone(page / "Wav" / f"{name}.wav", seconds, 150 + 40 * index)
        portrait = invented.draw(invented.traits_of(index)).image
        for folder in PICTURES:
            invented._write_image(page / folder / f"{name}.jpg", portrait)
    return tmp_path


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    lines = [
        {"id": "0000", "clip": "c", "youtube_id": "v", "person": "p", "seconds": 3.5},
        {"id": "0001", "clip": "d", "youtube_id": "w", "person": "q", "seconds": 6.0},
    ]
    for line, split in zip(lines, ("train", "test"), strict=True):
        line["split"] = split
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "manifest.jsonl").write_text(text)
    (tmp_path / "gallery").mkdir()
    for name in ("0001.jpg", "0000.jpg"):
        (tmp_path / "gallery" / name).touch()
    return tmp_path


def test_a_checkout_gives_one_sample_per_clip(checkout: Path) -> None:
    samples = {sample.id: sample for sample in authors_page.read(checkout)}
    assert samples.keys() == CLIPS.keys()
    assert all(file.is_file() for sample in samples.values() for file in files_of(sample))
    for name, sample in samples.items():
        assert sample.person == sample.video == name[:11]
        assert sample.face and sample.face.parent.name == "Face_ori"
        assert sample.canonical and sample.canonical.parent.name == "Face_f2f"
        assert {teacher: file.parent.name for teacher, file in sample.teachers.items()} == {
            "s2f_exg0": "Face_exg0",
            "s2f_exg0.7": "Face_exg0.7",
            "s2f_exg1.4": "Face_exg1.4",
        }


@pytest.mark.usefixtures("everything_is_speech")
def test_the_speech_ends_where_the_repetition_begins(checkout: Path) -> None:
    for sample in authors_page.read(checkout):
        true_seconds = min(CLIPS[sample.id], 6.0)
        assert sample.seconds == pytest.approx(true_seconds)
        assert len(speech_of(sample)) == round(true_seconds * SAMPLE_RATE)


def test_both_clips_of_a_video_share_a_split_and_reading_twice_agrees(checkout: Path) -> None:
    first, second = authors_page.read(checkout), authors_page.read(checkout)
    assert first == second
    twins = [sample.split for sample in first if sample.video == "aaaaaaaaaaa"]
    assert len(twins) == 2 and len(set(twins)) == 1


def test_one_person_under_two_ids_is_merged_before_splitting(checkout: Path) -> None:
    merged = authors_page.read(checkout, same_person={"bbb_bbb-bbb": "aaaaaaaaaaa"})
    people = {sample.video: sample.person for sample in merged}
    assert people["bbb_bbb-bbb"] == people["aaaaaaaaaaa"]
    assert len({sample.split for sample in merged if sample.person == "aaaaaaaaaaa"}) == 1


def test_a_clip_without_a_true_face_is_left_out(checkout: Path) -> None:
    gone = "-_ccccccccc_33.400000-36.400000"
    (checkout / "figures" / "avspeech_res" / "Face_ori" / f"{gone}.jpg").unlink()
    assert gone not in {sample.id for sample in authors_page.read(checkout)}


def test_a_missing_render_leaves_the_others(checkout: Path) -> None:
    name = next(iter(CLIPS))
    (checkout / "figures" / "avspeech_res" / "Face_exg0" / f"{name}.jpg").unlink()
    sample = next(sample for sample in authors_page.read(checkout) if sample.id == name)
    assert sorted(sample.teachers) == ["s2f_exg0.7", "s2f_exg1.4"]


def test_a_checkout_can_be_kept_as_a_manifest(checkout: Path, tmp_path: Path) -> None:
    samples = authors_page.read(checkout)
    write_manifest(tmp_path / "list.jsonl", samples)
    assert read_manifest(tmp_path / "list.jsonl") == samples


@pytest.mark.parametrize("name", ["short_1.0-2.0.wav", "aaaaaaaaaaa_5.0-2.0.wav"])
def test_an_unreadable_name_is_an_error_that_names_the_file(checkout: Path, name: str) -> None:
    page = checkout / "figures" / "avspeech_res"
    write_looped_tone(page / "Wav" / name, 3.0, 200)
    (page / "Face_ori" / f"{name[:-4]}.jpg").touch()
    with pytest.raises(Speech2FaceError, match=name):
        authors_page.read(checkout)


def test_the_prepared_layout_keeps_its_stored_split(prepared: Path) -> None:
    first, second = authors_page.read(prepared)
    assert (first.split, second.split) == ("train", "test")
    assert (first.person, first.video, first.seconds) == ("p", "v", 3.5)
    assert first.voice == prepared / "audio" / "0000.ogg"
    assert first.canonical == prepared / "canonical" / "0000.jpg"
    assert first.teachers["s2f_exg1.4"] == prepared / "s2f_exg1.4" / "0000.jpg"


def test_distractors_are_sorted_by_name(prepared: Path) -> None:
    assert [face.name for face in authors_page.distractors(prepared)] == ["0000.jpg", "0001.jpg"]


def test_a_person_in_two_stored_splits_is_refused(prepared: Path) -> None:
    manifest = prepared / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"q"', '"p"'))
    with pytest.raises(Speech2FaceError, match="person 'p' is in splits"):
        authors_page.read(prepared)


def test_a_broken_line_and_a_folder_of_another_layout_are_named(
    prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(Speech2FaceError, match="no clips of the authors' page"):
        authors_page.read(tmp_path / "gallery")
    (prepared / "manifest.jsonl").write_text('{"id": "0000"}\n')
    with pytest.raises(Speech2FaceError, match="line 1"):
        authors_page.read(prepared)


def test_the_shared_clips_are_read_whole(shared_data: Path) -> None:
    samples = authors_page.read(shared_data / "authors_page")
    counts = {name: sum(s.split == name for s in samples) for name in ("train", "val", "test")}
    assert counts == {"train": 685, "val": 85, "test": 90}
    assert all(file.is_file() for sample in samples for file in files_of(sample))
    assert len(authors_page.distractors(shared_data / "authors_page")) == 461

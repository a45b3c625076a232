"""The VoxCeleb part of a checkout of the paper's page, on an invented one."""

from pathlib import Path

import pytest

from speech2face.data.authors_voxceleb import FOLDER, read
from speech2face.errors import Speech2FaceError

KINDS = ("Face_ori", "Face_f2f", "Face_exg0", "Face_exg0.7", "Face_exg1.4")
CLIPS = (
    "0000Ann_Onym_abcdefghijk_0000001",
    "1245Bea_de_la_Cruz_ABC_EFG-IJK_0000002",  # an id may hold underscores, a name as well
    "1145Zz_Assistant_abcdefghijk_0000003",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for kind, suffix in (("Wav", "wav"), *((kind, "jpg") for kind in KINDS)):
        folder = tmp_path / FOLDER / kind
        folder.mkdir(parents=True)
        for clip in CLIPS:
            (folder / f"{clip}.{suffix}").touch()
    return tmp_path


def test_clips_of_people_are_read_and_voice_assistants_left_out(checkout: Path) -> None:
    first, second = read(checkout)
    assert (first.person, first.video) == ("Ann_Onym", "abcdefghijk")
    assert (second.person, second.video) == ("Bea_de_la_Cruz", "ABC_EFG-IJK")
    assert [sample.split for sample in (first, second)] == ["test", "test"]


def test_convention_the_first_digit_is_the_gender(checkout: Path) -> None:
    assert [sample.labels["gender"] for sample in read(checkout)] == ["male", "female"]


def test_every_render_of_the_authors_is_a_picture_of_the_clip(checkout: Path) -> None:
    sample = read(checkout)[0]
    assert sorted(sample.teachers) == ["s2f_exg0", "s2f_exg0.7", "s2f_exg1.4"]
    files = (sample.face, sample.canonical, *sample.teachers.values())
    assert [file.parent.name for file in files if file] == list(KINDS)


def test_another_folder_another_name_and_a_missing_face_are_refused(checkout: Path) -> None:
    with pytest.raises(Speech2FaceError, match="checkout"):
        read(checkout / "figures")
    (checkout / FOLDER / "Face_ori" / f"{CLIPS[0]}.jpg").unlink()
    with pytest.raises(Speech2FaceError, match="it has no true face"):
        read(checkout)
    (checkout / FOLDER / "Wav" / "nonsense.wav").touch()
    with pytest.raises(Speech2FaceError, match="not a clip"):
        read(checkout)

"""Pictures read by invented instruments: the store of readings, missing faces, unreadable files."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.data import authors_page
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.comparison import Comparison, System, TrueFaces
from speech2face.evaluation.protocols import judge
from speech2face.evaluation.uncertainty import Score
from speech2face.face.attributes import Attributes
from speech2face.face.detect import Box, LocatedFace
from speech2face.face.instruments import Instruments
from speech2face.inference.pictures import pictures, read_lists, read_pictures

N = 40


class Eye:
    """Finds a face in every picture that is not black, and counts its calls."""

    def __init__(self) -> None:
        self.looks = 0

    def locate(self, image: np.ndarray) -> LocatedFace:
        self.looks += 1
        points = np.stack([np.arange(68.0), np.arange(68.0)[::-1] ** 1.1], axis=1)
        found = bool(image.mean() > 0)
        return LocatedFace(Box(0, 0, 9, 9), points + image[0, 0, 0], found)


class ColourEncoder:
    """The mean colour as a feature."""

    size = 3

    def __init__(self, name: str = "colour") -> None:
        self.name = name

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        return np.stack([image.mean(axis=(0, 1)) + 1 for image in images]).astype(np.float32)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


class Labeller:
    """Says "female" to red, and thirty and a bit."""

    name = "labeller"

    def classify(self, images: list[np.ndarray], located: list[LocatedFace]) -> list[Attributes]:
        return [
            Attributes(
                "female" if image[0, 0, 0] > 127 else "male", 1.0, 30 + int(image[0, 0, 1]) % 9
            )
            for image in images
        ]


@pytest.fixture
def instruments() -> Instruments:
    return Instruments(Eye(), (ColourEncoder(),), Labeller())  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    for i in range(N):
        colour = generator.integers(1, 256, 3).astype(np.uint8)
        picture = np.broadcast_to(colour, (32, 32, 3)).copy()
        Image.fromarray(picture).save(tmp_path / "faces" / f"c{i:02d}.png")
    return tmp_path / "faces"


NAMES = [f"c{i:02d}" for i in range(N)]


def test_each_picture_gets_its_own_row_in_the_order_asked_for(
    folder: Path, instruments: Instruments
) -> None:
    order = NAMES[::-1]
    read = read_pictures(pictures(folder, order), instruments=instruments)
    readings = read.together()
    assert [path.stem for path in read.paths] == order
    for row, name in enumerate(order):
        with Image.open(folder / f"{name}.png") as picture:
            colour = np.array(picture)[0, 0].astype(float)
        np.testing.assert_allclose(readings.features["colour"][row], colour + 1, rtol=1e-6)
        assert readings.apparent_gender[row] == ("female" if colour[0] > 127 else "male")


def test_a_second_reading_comes_from_the_cache_and_is_the_same(
    folder: Path, instruments: Instruments, tmp_path: Path
) -> None:
    eye = instruments.detector
    assert isinstance(eye, Eye)
    paths = pictures(folder, NAMES)
    first = read_pictures(paths, cache=tmp_path / "cache", instruments=instruments).together()
    assert eye.looks == N
    again = read_pictures(paths, cache=tmp_path / "cache", instruments=instruments).together()
    assert eye.looks == N
    np.testing.assert_array_equal(first.features["colour"], again.features["colour"])
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert first.apparent_gender.tolist() == again.apparent_gender.tolist()


def test_a_changed_picture_and_other_instruments_are_read_again_and_a_damaged_store_is_named(
    folder: Path, instruments: Instruments, tmp_path: Path
) -> None:
    eye = instruments.detector
    assert isinstance(eye, Eye)
    paths = pictures(folder, NAMES[:2])
    read_pictures(paths, cache=tmp_path / "cache", instruments=instruments)
    Image.new("RGB", (32, 32), (1, 2, 3)).save(paths[0])
    changed = read_pictures(paths, cache=tmp_path / "cache", instruments=instruments).together()
    assert eye.looks == 3
    np.testing.assert_allclose(changed.features["colour"][0], [2, 3, 4])
    other = replace(instruments, encoders=(ColourEncoder("colour_2"),))
    read_pictures(paths, cache=tmp_path / "cache", instruments=other)
    assert eye.looks == 5
    for ledger in (tmp_path / "cache").glob("*.json"):
        os.truncate(ledger, 50)
    with pytest.raises(Speech2FaceError, match="shard-.*json.*remove this folder"):
        read_pictures(paths, cache=tmp_path / "cache", instruments=instruments)


def test_several_processes_give_the_readings_of_one(
    folder: Path, instruments: Instruments, tmp_path: Path
) -> None:
    lists = {"some": pictures(folder, NAMES[:5]), "others": pictures(folder, NAMES[5:])}
    one = read_lists(lists, cache=tmp_path / "one", instruments=instruments)
    two = read_lists(lists, cache=tmp_path / "two", workers=2, instruments=instruments)
    assert list(two) == ["some", "others"]
    for name in lists:
        first, second = one[name].together(), two[name].together()
        np.testing.assert_array_equal(second.landmarks, first.landmarks)
        np.testing.assert_array_equal(second.features["colour"], first.features["colour"])


def test_a_picture_without_a_face_is_kept_and_counted(
    folder: Path, instruments: Instruments
) -> None:
    Image.new("RGB", (32, 32)).save(folder / "c03.png")
    readings = read_pictures(pictures(folder, NAMES), instruments=instruments).together()
    assert len(readings) == N
    assert (~readings.found).sum() == 1


def test_an_unreadable_picture_is_marked_and_the_others_are_read(
    folder: Path, instruments: Instruments, tmp_path: Path
) -> None:
    (folder / "c01.png").write_bytes(b"no picture")
    (folder / "c02.png").write_bytes((folder / "c00.png").read_bytes()[:60])
    paths = pictures(folder, NAMES[:4])
    paths[3] = folder / "absent.png"
    for cache in (None, tmp_path / "cache"):
        read = read_pictures(paths, cache=cache, instruments=instruments)
        assert read.readable.tolist() == [True, False, False, False]
        assert "not a picture" in read.unreadable()[1] and "damaged" in read.unreadable()[2]
        assert len(read.take(np.flatnonzero(read.readable)).together()) == 1
        with pytest.raises(Speech2FaceError, match="c01.png"):
            read.together()


def test_a_missing_instrument_is_not_reported_as_a_fault_of_the_picture(
    folder: Path, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(image: object) -> None:
        raise Speech2FaceError("dlib is not installed", "install it")

    monkeypatch.setattr(instruments.detector, "locate", missing)
    with pytest.raises(Speech2FaceError, match="dlib is not installed"):
        read_pictures(pictures(folder, NAMES[:1]), instruments=instruments)


def test_a_missing_folder_a_missing_picture_and_no_picture_are_refused(folder: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such folder"):
        pictures(folder / "absent", NAMES)
    with pytest.raises(Speech2FaceError, match="1 of 41 clips .* 'c99'"):
        pictures(folder, [*NAMES, "c99"])
    with pytest.raises(Speech2FaceError, match="no picture"):
        read_pictures([]).together()


def test_real_instruments_distinguish_the_committed_portraits(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the face extra is not installed")
    portraits = Path(__file__).resolve().parents[1] / "fixtures" / "portraits"
    paths = sorted(portraits.glob("*.jpg"))
    readings = read_pictures(paths, cache=tmp_path).together()
    assert readings.found.all()
    said = [path.stem.split("_")[0] for path in paths]
    assert readings.apparent_gender.tolist() == said
    distances = np.linalg.norm(
        readings.features["dlib_resnet_v1"][:, None] - readings.features["dlib_resnet_v1"], axis=-1
    )
    assert (distances[~np.eye(len(paths), dtype=bool)] > 0.6).all()


@pytest.mark.slow
def test_the_authors_own_images_score_as_the_published_protocol_says(
    shared_data: Path, tmp_path: Path
) -> None:
    """AVSpeech, 484 clips: 1:2 77.7 for exg1.4, 99.8 for F2F. Here the 85 clips of val."""
    pytest.importorskip("dlib", reason="the face extra is not installed")
    page = shared_data / "authors_page"
    val = [sample for sample in authors_page.read(page) if sample.split == "val"]
    ids = [sample.id for sample in val]
    kinds = ("face", "canonical", "s2f_exg1.4")
    lists = {kind: pictures(page / kind, ids) for kind in kinds}
    read = read_lists(lists, cache=tmp_path, workers=2)
    persons = [sample.person for sample in val]
    clips = TrueFaces.of_readings(ids, persons, read["face"].together())

    def matching(kind: str) -> Score:
        system = System.of_readings(kind, read[kind].together())
        return judge(Comparison(clips, (system,)), system, "dlib_resnet_v1")["1:2 U"]

    ceiling, exaggerated = matching("canonical"), matching("s2f_exg1.4")
    assert ceiling.value > 0.98
    assert exaggerated.interval is not None
    assert exaggerated.interval.low < 0.777 < exaggerated.interval.high

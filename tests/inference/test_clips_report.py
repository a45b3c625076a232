"""The whole report of a model on invented clips, read by invented instruments."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from stand_in import METADATA, write_stand_in

from speech2face.data import authors_page
from speech2face.data.invented import write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.images import Instruments
from speech2face.face.attributes import Attributes
from speech2face.face.detect import Box, LocatedFace
from speech2face.inference.clips_report import (
    Clips,
    Settings,
    recognisers_in_training,
    report_on_clips,
)
from speech2face.inference.extract import Outcome
from speech2face.inference.photo import load_photo_pipeline
from speech2face.inference.pipeline import load_model


class Eye:
    """Landmarks that depend on the picture's colours."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        points = np.stack([np.arange(68.0), np.arange(68.0)[::-1] ** 1.1], axis=1)
        wave = np.sin(np.arange(68) * image.mean() / 40)[:, None]
        return LocatedFace(Box(0, 0, 9, 9), points + wave, found=True)


class ColourEncoder:
    """Mean colours of quarters as a feature."""

    name, size = "colour", 12

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        quarters = [np.array_split(image, 4) for image in images]
        return np.array(
            [[part.mean(axis=(0, 1)) + 1 for part in parts] for parts in quarters], np.float32
        ).reshape(len(images), -1)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


class Labeller:
    """Says "female" to bright pictures."""

    name = "labeller"

    def classify(self, images: list[np.ndarray], located: list[LocatedFace]) -> list[Attributes]:
        return [
            Attributes("female" if image.mean() > 170 else "male", 1.0, int(20 + image.mean() % 40))
            for image in images
        ]


INSTRUMENTS = Instruments(Eye(), (ColourEncoder(),), Labeller())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[Sample]:
    return read_manifest(write_world(folder / "world", persons=8, clips_per_person=2))


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_stand_in(folder / "model.onnx")


@pytest.fixture(scope="module")
def results(folder: Path, samples: list[Sample], model: Path) -> dict:  # type: ignore[type-arg]
    """The report on all clips of the world, of which one voice cannot be heard."""
    broken = folder / "broken.wav"
    broken.write_bytes(b"no sound")
    partly = [replace(samples[0], voice=broken), *samples[1:]]
    clips = Clips(partly, "an invented world", same_speaker=samples)
    settings = Settings(seconds=(1, 3), workers=1)
    report_on_clips(clips, load_model(model), folder / "out", settings, instruments=INSTRUMENTS)
    return json.loads((folder / "out" / "results.json").read_text())  # type: ignore[no-any-return]


def test_a_voice_that_cannot_be_heard_is_left_out_counted_and_explained(results: dict) -> None:  # type: ignore[type-arg]
    assert results["facts"]["clips"] == "15 of an invented world"
    assert results["facts"]["clips left out"].startswith("1 (")
    assert results["facts"]["persons"] == "8"


def test_ours_comes_first_at_both_factors_and_the_ceiling_last(
    results: dict,  # type: ignore[type-arg]
    model: Path,
) -> None:
    first = results["summary"][0]
    assert [row[0] for row in first["rows"]] == [
        "stand-in, exaggeration 0.5",
        "stand-in, exaggeration 0",
        "F2F (canonical)",
        "chance",
        "gender oracle",
    ]
    assert results["facts"]["model file, SHA-256"] == sha256(model.read_bytes()).hexdigest()


def test_every_protocol_of_the_paper_has_its_section(results: dict) -> None:  # type: ignore[type-arg]
    names = [section["name"] for section in results["sections"]]
    assert names == [
        "images",
        "similarity",
        "attributes",
        "craniofacial",
        "duration",
        "stability",
        "projection",
        "faces",
    ]
    stability = next(s for s in results["sections"] if s["name"] == "stability")
    assert "consistency.png" in stability["pictures"]


def test_a_second_run_extracts_nothing_again_and_says_the_same(
    folder: Path,
    samples: list[Sample],
    model: Path,
    results: dict,  # type: ignore[type-arg]
) -> None:
    partly = [replace(samples[0], voice=folder / "broken.wav"), *samples[1:]]
    outcomes: list[Outcome] = []
    report_on_clips(
        Clips(partly, "an invented world", same_speaker=samples),
        load_model(model),
        folder / "out",
        Settings(seconds=(1, 3), workers=1),
        instruments=INSTRUMENTS,
        report=lambda stage, outcome: outcomes.append(outcome),
    )
    assert all(outcome.was_kept or outcome.rejected for outcome in outcomes)
    assert json.loads((folder / "out" / "results.json").read_text()) == results


def test_too_few_clips_and_a_contestant_without_a_face_are_refused(
    folder: Path, samples: list[Sample], model: Path, tmp_path: Path
) -> None:
    pipeline = load_model(model)
    with pytest.raises(Speech2FaceError, match="2 usable clips"):
        report_on_clips(
            Clips(samples[:2], "two"), pipeline, tmp_path / "two", instruments=INSTRUMENTS
        )
    (tmp_path / "empty").mkdir()
    with pytest.raises(Speech2FaceError, match="16 of 16 clips have no picture"):
        report_on_clips(
            Clips(samples, "all"),
            pipeline,
            folder / "out",
            Settings({"theirs": tmp_path / "empty"}, seconds=(1, 3)),
            instruments=INSTRUMENTS,
        )


def test_a_model_says_which_recogniser_it_was_trained_with(tmp_path: Path) -> None:
    known = ("dlib_resnet_v1", "sface_2021dec_int8")
    said = {**METADATA, "trained_with": ["dlib_resnet_v1"]}
    pipeline = load_model(write_stand_in(tmp_path / "said.onnx", metadata=said))
    assert recognisers_in_training(pipeline, known) == {"dlib_resnet_v1"}
    silent = load_model(write_stand_in(tmp_path / "silent.onnx"))
    assert recognisers_in_training(silent, known) == frozenset()


def test_a_model_with_a_photo_map_brings_its_own_ceiling(
    tiny_release: Path, tiny_page: Path, tmp_path: Path
) -> None:
    samples = [one for one in authors_page.read(tiny_page) if one.split == "train"]
    photos = load_photo_pipeline(tiny_release / "default.onnx")
    report_on_clips(
        Clips(samples, "drawn people"),
        photos.pipeline,
        tmp_path,
        Settings(seconds=(1, 2), workers=1),
        photos=photos,
        instruments=Instruments(Eye(), (DlibNamedEncoder(),), Labeller()),  # type: ignore[arg-type]
    )
    results = json.loads((tmp_path / "results.json").read_text())
    names = [row[0] for row in results["summary"][0]["rows"]]
    assert names.index("F2F (ours)") == names.index("F2F (canonical)") - 1
    assert "F2F (ours) (not independent)" in json.dumps(results)
    faces = {path.stem for path in (tmp_path / "extracted" / "f2f" / "faces").iterdir()}
    assert faces == {sample.id for sample in samples}


class DlibNamedEncoder(ColourEncoder):
    """Stands for the recogniser that the photo map was fitted to."""

    name = "dlib_resnet_v1"

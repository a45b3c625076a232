"""Faces from photos, by the model file that makes faces from voices."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from stand_in import FEATURE_SIZE, METADATA, write_stand_in

from speech2face.data import authors_page
from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import Box, LocatedFace
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import open_image
from speech2face.inference.extract import Item, PhotoExtractor
from speech2face.inference.photo import (
    PhotoMap,
    PhotoPipeline,
    load_photo_pipeline,
    photo_map_path_of,
    read_photo_map,
    write_photo_map,
)
from speech2face.inference.pipeline import Pipeline, load_model
from speech2face.models.rounding import rounded_weights
from speech2face.training.recipes.embedded import load_embedded


class Eye:
    """Finds a face in every picture that is not black."""

    def locate(self, image: np.ndarray) -> LocatedFace:
        return LocatedFace(Box(0, 0, 9, 9), np.zeros((68, 2)), found=bool(image.any()))


class Recogniser:
    """The mean colour as a feature."""

    name, size = "colour", 3

    def encode(self, images: list[np.ndarray]) -> np.ndarray:
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)

    def encode_located(self, images: list[np.ndarray], located: object) -> np.ndarray:
        return self.encode(images)


def colour_map(model: Pipeline, **changes: Any) -> PhotoMap:
    """The mean colour of a photo, in units of 1000, as the first numbers of the feature."""
    fields = {
        "weight": np.eye(FEATURE_SIZE, 3, dtype=np.float32) / 1000,
        "bias": np.zeros(FEATURE_SIZE, np.float32),
        "recogniser": Recogniser.name,
        "face_sha256": model.card.face_sha256,
    }
    return PhotoMap(**(fields | changes))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return load_model(write_stand_in(tmp_path_factory.mktemp("model") / "model.onnx"))


@pytest.fixture
def photos(stand_in: Pipeline) -> PhotoPipeline:
    return PhotoPipeline(stand_in, colour_map(stand_in), detector=Eye(), encoder=Recogniser())


def picture(red: int) -> np.ndarray:
    return np.full((40, 50, 3), (red, 7, 9), np.uint8)


def test_the_feature_of_a_photo_is_drawn_like_that_of_a_voice(photos: PhotoPipeline) -> None:
    face = photos.reconstruct(picture(200))
    red, green, blue = np.asarray(face.image)[0, 0]  # see the stand-in's graph
    assert blue == round(255 * 0.2)
    assert (red, green) == (0, 128)  # exaggeration 0, a draw of zeros
    np.testing.assert_allclose(face.feature, [0.2, 0.007, 0.009, 0, 0], rtol=1e-6)
    assert (face.seconds, face.exaggeration) == (0.0, 0.0)


def test_exaggeration_moves_a_photo_from_the_mean_face(photos: PhotoPipeline) -> None:
    for exaggeration, first in ((-1.0, 0.0), (0.0, 0.2), (0.5, 0.3)):
        face = photos.reconstruct(picture(200), exaggeration=exaggeration)
        assert face.feature[0] == pytest.approx(first)
        assert face.exaggeration == exaggeration


def test_a_file_and_its_pixels_are_the_same_photo(photos: PhotoPipeline, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(picture(80)).save(file)
    from_file, from_pixels = photos.reconstruct(file), photos.reconstruct(picture(80))
    assert np.array_equal(np.asarray(from_file.image), np.asarray(from_pixels.image))


def test_a_photo_without_a_face_is_refused_and_named(photos: PhotoPipeline, tmp_path: Path) -> None:
    file = tmp_path / "night.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(file)
    with pytest.raises(Speech2FaceError, match=r"night\.png: no face was found"):
        photos.reconstruct(file)
    with pytest.raises(Speech2FaceError, match="^no face was found"):
        photos.reconstruct(np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"face_sha256": "ab" * 32}, "belongs to another model than"),
        ({"recogniser": "another"}, r"of another, wanted is \(5, 3\) of colour"),
        (
            {"weight": np.zeros((7, 3), np.float32), "bias": np.zeros(7, np.float32)},
            r"the photo map is \(7, 3\)",
        ),
        ({"weight": np.zeros((5, 2), np.float32)}, r"the photo map is \(5, 2\)"),
    ],
)
def test_a_map_of_another_model_or_recogniser_is_refused(
    stand_in: Pipeline, changes: dict[str, Any], words: str
) -> None:
    stranger = colour_map(stand_in, **changes)
    with pytest.raises(Speech2FaceError, match=words):
        PhotoPipeline(stand_in, stranger, detector=Eye(), encoder=Recogniser())


def test_a_map_is_read_as_it_was_written(stand_in: Pipeline, tmp_path: Path) -> None:
    written = colour_map(stand_in, bias=np.float32([1, 2, 3, 4, 5]))
    write_photo_map(written, tmp_path / "a-photo.safetensors")
    read = read_photo_map(tmp_path / "a-photo.safetensors")
    assert np.array_equal(read.weight, written.weight) and np.array_equal(read.bias, written.bias)
    assert (read.recogniser, read.face_sha256) == (written.recogniser, written.face_sha256)
    np.testing.assert_allclose(read(np.array([1000, 0, 3000])), [2, 2, 6, 4, 5], rtol=1e-6)


def test_the_map_is_in_the_folder_of_its_model(tmp_path: Path) -> None:
    assert photo_map_path_of(tmp_path / "mine.onnx") == tmp_path / "mine-photo.safetensors"
    write_stand_in(tmp_path / "mine.onnx")
    with pytest.raises(Speech2FaceError, match="came without a photo map"):
        load_photo_pipeline(tmp_path / "mine.onnx")


def broken_maps() -> dict[str, Any]:
    header = {"format": 2, "recogniser": "r", "face_sha256": "s"}
    weight, bias = np.zeros((3, 2), np.float32), np.zeros(3, np.float32)
    return {
        "text": b"no tensors",
        "cut off": b"\x10\x00\x00\x00\x00\x00\x00\x00{",
        "no header": ({"weight": weight, "bias": bias}, None),
        "no JSON": ({"weight": weight, "bias": bias}, "{"),
        "a list": ({"weight": weight, "bias": bias}, "[]"),
        "nested": ({"weight": weight, "bias": bias}, "[" * 50_000),
        "a number of 5,000 digits": ({"weight": weight, "bias": bias}, "9" * 5_000),
        "no bias": ({"weight": weight}, json.dumps(header)),
        "other sizes": ({"weight": weight, "bias": bias[:2]}, json.dumps(header)),
        "a newer format": (
            {"weight": weight, "bias": bias},
            json.dumps(header | {"format": 3}),
        ),
    }


@pytest.mark.parametrize("name", broken_maps())
def test_a_file_that_is_not_a_photo_map_is_refused_and_named(name: str, tmp_path: Path) -> None:
    content, path = broken_maps()[name], tmp_path / "a-photo.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        tensors, header = content
        save_file(tensors, path, metadata=None if header is None else {"speech2face": header})
    with pytest.raises(
        Speech2FaceError, match="not a photo map|its header is not|nested|digits"
    ) as caught:
        read_photo_map(path)
    assert caught.value.path == str(path)


def test_every_clip_has_its_f2f_even_where_no_face_is_found(
    photos: PhotoPipeline, tmp_path: Path
) -> None:
    extractor = PhotoExtractor(photos, "face")
    for name, red in (("a", 100), ("b", 0)):
        file = tmp_path / f"{name}.png"
        Image.fromarray(picture(red) if red else np.zeros((40, 40, 3), np.uint8)).save(file)
        extracted = extractor(Item(Sample(id=name, person=name, voice=file, face=file)))
        assert extracted.face[0, 0, 2] == round(255 * red / 1000)
    assert extractor.provenance.corpus == "F2F of pictures: face"
    assert extractor.provenance.model == METADATA["name"]


def test_a_photo_through_the_released_files_is_the_decoders_face_of_its_code(
    tiny_release: Path, tiny_run: Path, tiny_page: Path
) -> None:
    """F2F of the shipped file against torch: same code, same face, whatever a voice would say."""
    trained = load_embedded(tiny_run)[0]
    decoder = rounded_weights(trained.model).draws.face_decoder
    photos = load_photo_pipeline(tiny_release / "default.onnx")
    sample = authors_page.read(tiny_page)[0]
    assert sample.face is not None
    image = open_image(sample.face)
    feature = torch.from_numpy(DlibFaceEncoder().encode([image])[0])
    code = trained.photo.weight @ feature + trained.photo.bias
    with torch.no_grad():
        expected = decoder(code[None])
    face = photos.reconstruct(image)
    np.testing.assert_allclose(face.feature, code, atol=1e-4)
    np.testing.assert_allclose(face.landmarks, expected.landmarks[0], atol=1e-2)
    pixels = np.asarray(face.image, np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(pixels, expected.image[0], atol=1.5 / 255)
    mean = photos.reconstruct(image, exaggeration=-1.0)
    np.testing.assert_allclose(mean.feature, trained.model.draws.mean_feature, atol=1e-6)

"""Every reader of text files, on inputs that once ended in a traceback."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speech2face import tensor_files
from speech2face.data.manifest import read_manifest
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Labels
from speech2face.face.landmarks import read_landmarks

DEEP = '{"a":' * 5_000
BAD_TEXTS = {
    "nested 5,000 deep": DEEP.encode(),
    "lists nested 100,000 deep": b"[" * 100_000,
    "an integer of 5,000 digits": b'{"seconds": ' + b"9" * 5_000 + b"}",
    "an infinite number": b'{"seconds": 1e999}',
    "not a number": b'{"seconds": NaN}',
    "a byte that is not UTF-8": b'{"id": "\x90"}',
    "a NUL byte": b'{"id": "\0"}',
    "half a surrogate pair": rb'{"id": "\ud800"}',
    "a null in a name": rb'{"id": "\u0000"}',
    "a key twice": b'{"id": 1, "id": 2}',
}


def safetensors_with(header: str, name: str, **tensors: Any) -> bytes:
    safetensors = pytest.importorskip("safetensors.numpy")
    return bytes(safetensors.save(tensors, metadata={name: header}))


def load_feature_header(path: Path) -> None:
    """The text as the header of a feature file."""
    values = np.ones((1, 2), np.float32)
    header = path.read_bytes().decode("latin-1")
    path.write_bytes(safetensors_with(header, "speech2face", values=values))
    FeatureSet.load(path)


def load_photo_map_header(path: Path) -> None:
    """The text as the header of a photo map."""
    from speech2face.inference import photo

    header = path.read_bytes().decode("latin-1")
    tensors = {photo.WEIGHT: np.ones((1, 2), np.float32), photo.BIAS: np.ones(1, np.float32)}
    path.write_bytes(safetensors_with(header, tensor_files.ENTRY, **tensors))
    photo.read_photo_map(path)


def load_vgg_face_header(path: Path) -> None:
    """The text as the header of VGG-Face weights."""
    pytest.importorskip("torch")
    from speech2face.face import vgg_face

    header = path.read_bytes().decode("latin-1")
    key = vgg_face.METADATA_KEY
    path.write_bytes(safetensors_with(header, key, a=np.ones((1, 2), np.float32)))
    vgg_face.load_vgg_face(path)


def load_checkpoint_record(path: Path) -> None:
    """The text as the record of a checkpoint."""
    pytest.importorskip("torch")
    from speech2face.models import checkpoint

    path.rename(path.with_name(checkpoint.RECORD))
    checkpoint.load_checkpoint(path.parent)


READERS: dict[str, Callable[[Path], object]] = {
    "manifest.jsonl": read_manifest,
    "labels.jsonl": Labels.read,
    "landmarks.json": read_landmarks,
    "features": load_feature_header,
    "photo map": load_photo_map_header,
    "VGG-Face": load_vgg_face_header,
    "checkpoint": load_checkpoint_record,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_bad_text_is_refused_by_every_reader_of_it(reader: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / reader
    file.write_bytes(BAD_TEXTS[kind])
    with pytest.raises(Speech2FaceError) as caught:
        READERS[reader](file)
    assert str(tmp_path) in str(caught.value.path) and caught.value.remedy
    assert len(str(caught.value)) < 600


def test_a_field_of_140_000_characters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,gender\na," + "x" * 140_000)
    with pytest.raises(Speech2FaceError, match=r"l\.csv, line 2: is not CSV .*field"):
        Labels.read(tmp_path / "l.csv")


def test_a_name_that_is_too_long_for_a_file_is_a_missing_file(tmp_path: Path) -> None:
    record = {"id": "a", "person": "p", "voice": "v" * 300}
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    (sample,) = read_manifest(tmp_path / "m.jsonl")
    with pytest.raises(Speech2FaceError):
        speech_of(sample)
    with pytest.raises(Speech2FaceError):
        read_manifest(tmp_path / ("m" * 300))
    with pytest.raises(Speech2FaceError):
        FeatureSet.load(tmp_path / ("m" * 300))


def test_separators_of_unicode_do_not_cut_a_line_of_json(tmp_path: Path) -> None:
    record = {"id": "a\u2028b\x85c", "person": "p", "voice": "v"}
    (tmp_path / "m.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n")
    assert [sample.id for sample in read_manifest(tmp_path / "m.jsonl")] == ["a\u2028b\x85c"]


@pytest.mark.parametrize("value", [[], {}, 1, [[1, 2]] * 67, [[1]] * 68, [["1", "2"]] * 68])
def test_landmarks_that_are_not_68_points_are_refused(value: object, tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(json.dumps(value))
    with pytest.raises(Speech2FaceError, match="does not hold 68 landmarks"):
        read_landmarks(tmp_path / "l.json")


def test_landmarks_are_read_as_points(tmp_path: Path) -> None:
    points = np.arange(136).reshape(68, 2) / 3
    (tmp_path / "l.json").write_text(json.dumps(points.tolist()))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "l.json"), points)


def test_a_message_never_carries_a_whole_file() -> None:
    error = Speech2FaceError("a" * 10_000 + "b", "c" + "d" * 10_000)
    assert len(str(error)) < 1_300
    assert error.problem.endswith("b") and error.remedy.startswith("c")
    copied = copy.copy(error)  # as when it crosses processes
    assert str(copied) == str(error)

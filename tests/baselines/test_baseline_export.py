"""Exported systems: onnxruntime computes what torch computes, for any number of rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invented_clips import invented_clips
from tiny_systems import tiny

from speech2face.baselines.clips import Clips, descriptions, features
from speech2face.baselines.export import export_baseline
from speech2face.baselines.trainer import load_baseline, train_baseline
from speech2face.cli.main import main
from speech2face.errors import Speech2FaceError
from speech2face.inference.pipeline import METADATA_KEY
from speech2face.onnx_runtime import open_session


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return invented_clips(tmp_path_factory.mktemp("world"))


def exported(name: str, clips: Clips, folder: Path) -> tuple[Any, list[Path]]:
    """The trained network of a system, and the files of its export."""
    train_baseline(name, tiny(name), clips, folder / "run")
    return load_baseline(name, folder / "run")[1], export_baseline(
        folder / "run", folder / f"{name}.onnx", {"licence": "none"}
    )


def computed(file: Path, **inputs: torch.Tensor) -> np.ndarray:
    session = open_session(file.read_bytes(), 1)
    (output,) = session.run(None, {name: one.numpy() for name, one in inputs.items()})
    return np.asarray(output)


@pytest.mark.parametrize("name", ["kim", "dimnet"])
def test_vectors_are_those_of_torch(name: str, clips: Clips, tmp_path: Path) -> None:
    network, files = exported(name, clips, tmp_path)
    assert [file.name for file in files] == [f"{name}.onnx", f"{name}-face.onnx"]
    voices, faces = descriptions(clips), features(clips)
    heard, seen = computed(files[0], voice=voices), computed(files[1], face=faces)
    np.testing.assert_allclose(heard, network.voice(voices), atol=1e-5)
    np.testing.assert_allclose(seen, network.face(faces), atol=1e-5)
    np.testing.assert_allclose(computed(files[0], voice=voices[:1]), heard[:1], atol=1e-5)


def test_answers_of_svhf_are_those_of_torch(clips: Clips, tmp_path: Path) -> None:
    network, (file,) = exported("svhf", clips, tmp_path)
    voices, faces = descriptions(clips)[:5], features(clips)
    logits = computed(file, first=faces[:5], second=faces[5:10], query=voices)
    expected = network(faces[:5], faces[5:10], voices)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["wav2pix", "voice2face-gan"])
def test_faces_are_those_of_torch(name: str, clips: Clips, tmp_path: Path) -> None:
    network, (file,) = exported(name, clips, tmp_path)
    voices = descriptions(clips)[:5]
    np.testing.assert_allclose(computed(file, voice=voices), network.face(voices), atol=1e-5)


def test_the_command_writes_the_files_and_what_they_are(clips: Clips, tmp_path: Path) -> None:
    train_baseline("kim", tiny("kim"), clips, tmp_path / "run")
    out = tmp_path / "towers.onnx"
    assert main(["export", str(tmp_path / "run"), str(out), "--licence", "research"]) == 0
    card = json.loads(
        open_session(out.read_bytes(), 1).get_modelmeta().custom_metadata_map[METADATA_KEY]
    )
    assert card["system"] == "kim" and card["licence"] == "research"
    assert card["distance"] == "euclidean" and card["settings"]["direction"] == "V->F"
    assert (tmp_path / "towers-face.onnx").is_file()
    assert main(["export", str(tmp_path / "run"), str(out)]) == 1  # the file exists


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError):
        export_baseline(tmp_path, tmp_path / "x.onnx", {})

"""Pairs to shards: every clip gives features or a reason, and a killed work goes on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from speech2face.audio.segment import tile_or_cut
from speech2face.audio.spectrogram import complex_spectrogram
from speech2face.data import invented
from speech2face.data.datasets import FeatureShards
from speech2face.data.manifest import read_manifest, write_manifest
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import Box, DlibDetector, LocatedFace
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import RGBImage
from speech2face.prepare.pairs import Prepared, Rejected, Tools, prepare_clip, prepare_pairs


class StandInDetector:
    """Finds a face wherever the picture is not all of one colour."""

    def locate(self, image: RGBImage) -> LocatedFace:
        return LocatedFace(Box(0, 0, 9, 9), np.ones((68, 2)), bool(np.ptp(image) > 0))


class StandInEncoder:
    """Mean colour of the picture."""

    name = "mean_colour"
    size = 3

    def encode(self, images: Sequence[RGBImage]) -> NDArray[np.float32]:
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)

    def encode_located(
        self, images: Sequence[RGBImage], located: Sequence[LocatedFace]
    ) -> NDArray[np.float32]:
        return self.encode(images)


TOOLS = Tools(StandInDetector(), StandInEncoder(), clip_seconds=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    return invented.write_world(root, persons=5, clips_per_person=1, clip_seconds=(1.0, 4.0))


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_features_are_those_of_the_rooms_that_make_them(world: Path) -> None:
    sample = read_manifest(world)[0]
    prepared = prepare_clip(sample, TOOLS)
    assert isinstance(prepared, Prepared)
    clip = torch.from_numpy(tile_or_cut(speech_of(sample), 48_000))[None]
    torch.testing.assert_close(
        prepared.features["spectrogram"].float(),
        complex_spectrogram(clip)[0],
        rtol=1e-3,
        atol=1e-4,
    )
    portrait = invented.draw(invented.traits_of(0))
    canonical = prepared.features["canonical_face"].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(canonical, portrait.image)
    np.testing.assert_allclose(prepared.features["landmarks"], portrait.landmarks, atol=1e-3)


def test_shards_are_read_by_the_dataset_of_each_split(world: Path, tmp_path: Path) -> None:
    assert len(list(prepare_pairs(world, tmp_path, TOOLS, shard_size=2))) == 3
    train = FeatureShards(tmp_path, "train")
    assert train.ids == ["0000_0", "0001_0", "0002_0"]
    batch = train.voice_batch([0, 2])
    assert batch.spectrogram.shape == (2, 2, 257, 298) and batch.face_feature.shape == (2, 3)
    assert train.face_batch([1]).canonical_face.shape == (1, 3, 224, 224)
    assert train.description["face_feature"] == "mean_colour"
    assert len(FeatureShards(tmp_path, "val")) == len(FeatureShards(tmp_path, "test")) == 1


def test_work_that_was_stopped_ends_in_the_same_bytes(world: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    list(prepare_pairs(world, whole, TOOLS, shard_size=2))
    work = prepare_pairs(world, stopped, TOOLS, shard_size=2)
    next(work)
    work.close()
    (stopped / "shard-00001.safetensors").write_bytes(b"half")  # killed before its marker
    first = (stopped / "shard-00000.safetensors").stat().st_mtime_ns
    list(prepare_pairs(world, stopped, TOOLS, shard_size=2))
    assert shard_bytes(stopped) == shard_bytes(whole)
    assert (stopped / "shard-00000.safetensors").stat().st_mtime_ns == first  # not made again


def test_other_tools_or_another_manifest_are_not_mixed_in(world: Path, tmp_path: Path) -> None:
    list(prepare_pairs(world, tmp_path, TOOLS))
    with pytest.raises(Speech2FaceError, match="differ in clip_seconds"):
        next(prepare_pairs(world, tmp_path, replace(TOOLS, clip_seconds=6)))
    fewer = world.parent / "fewer.jsonl"
    write_manifest(fewer, read_manifest(world)[:2])
    with pytest.raises(Speech2FaceError, match="differ in manifest_sha256"):
        next(prepare_pairs(fewer, tmp_path, TOOLS))


def test_every_failure_has_its_reason(world: Path, tmp_path: Path) -> None:
    good = read_manifest(world)[0]
    assert good.face is not None
    blank = tmp_path / "blank.png"
    invented._write_image(blank, np.full((224, 224, 3), 255, dtype=np.uint8))
    small = tmp_path / "small.png"
    invented._write_image(small, invented.draw(invented.traits_of(0)).image[:100])
    missing = tmp_path / "missing"
    cases = {
        "unusable_voice": [replace(good, voice=missing)],
        "unusable_face": [replace(good, face=missing), replace(good, face=None)],
        "no_face": [replace(good, face=blank)],
        "unusable_canonical": [
            replace(good, canonical=None),
            replace(good, canonical=missing),
            replace(good, canonical=small),
            replace(good, canonical=blank, landmarks=None),
        ],
    }
    for reason, samples in cases.items():
        for sample in samples:
            result = prepare_clip(sample, TOOLS)
            assert isinstance(result, Rejected) and result.reason == reason
    voice_only = replace(TOOLS, with_canonical=False)
    assert isinstance(prepare_clip(replace(good, canonical=None), voice_only), Prepared)


def test_rejected_clips_are_counted_in_the_marker(world: Path, tmp_path: Path) -> None:
    samples = read_manifest(world)
    samples[1] = replace(samples[1], voice=tmp_path / "missing.wav")
    samples[2] = replace(samples[2], face=None)
    write_manifest(tmp_path / "manifest.jsonl", samples[:3])
    (marker,) = prepare_pairs(tmp_path / "manifest.jsonl", tmp_path / "out", TOOLS)
    record = json.loads(marker.read_text())
    assert record["reasons"] == {"unusable_face": 1, "unusable_voice": 1}
    assert [entry["id"] for entry in record["samples"]] == ["0000_0"]
    assert load_file(marker.with_suffix(".safetensors"))["face_feature"].shape == (1, 3)


def test_a_shard_of_which_nothing_is_left_is_done_all_the_same(tmp_path: Path, world: Path) -> None:
    lost = replace(read_manifest(world)[0], voice=tmp_path / "missing.wav")
    write_manifest(tmp_path / "manifest.jsonl", [lost])
    (marker,) = prepare_pairs(tmp_path / "manifest.jsonl", tmp_path / "out", TOOLS)
    assert json.loads(marker.read_text())["samples"] == []
    with pytest.raises(Speech2FaceError, match="no features of split"):
        FeatureShards(tmp_path / "out", "train")


def test_dlib_finds_and_encodes_the_drawn_faces(world: Path) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    detector = DlibDetector()
    tools = Tools(detector, DlibFaceEncoder(detector), clip_seconds=3)
    sample = replace(read_manifest(world)[0], landmarks=None)
    prepared = prepare_clip(sample, tools)
    assert isinstance(prepared, Prepared)
    assert prepared.features["face_feature"].shape == (128,)
    drawn = invented.draw(invented.traits_of(0)).landmarks
    distance = np.linalg.norm(prepared.features["landmarks"].numpy() - drawn, axis=1)
    assert np.median(distance) < 8  # pixels of 224

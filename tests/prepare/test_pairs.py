"""Preparing pairs: every clip gives features or a reason, and a killed run can be continued."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speech2face.audio.segment import tile_or_cut
from speech2face.audio.spectrogram import complex_spectrogram
from speech2face.data import invented
from speech2face.data.datasets import FeatureShards
from speech2face.data.manifest import read_manifest
from speech2face.data.prepared import CLIPS, read_clips
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.data.store import Outcome, Rejected
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import Box, DlibDetector, LocatedFace
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import RGBImage
from speech2face.prepare.pairs import Tools, prepare_clip, prepare_pairs


class StandInDetector:
    """Finds a face in every picture that has more than one colour."""

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


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def prepare(world: Path, out: Path) -> list[Outcome[Sample]]:
    return list(prepare_pairs(read_manifest(world), out, TOOLS, shard_size=2))


def test_features_equal_those_of_the_functions_that_compute_them(world: Path) -> None:
    sample = read_manifest(world)[0]
    features = prepare_clip(sample, TOOLS)
    assert not isinstance(features, Rejected)
    clip = torch.from_numpy(tile_or_cut(speech_of(sample), 48_000))[None]
    torch.testing.assert_close(
        torch.from_numpy(features["spectrogram"]).float(),
        complex_spectrogram(clip)[0],
        rtol=1e-3,
        atol=1e-4,
    )
    portrait = invented.draw(invented.traits_of(0))
    canonical = features["canonical_face"].transpose(1, 2, 0)
    np.testing.assert_array_equal(canonical, portrait.image)
    np.testing.assert_allclose(features["landmarks"], portrait.landmarks, atol=1e-3)


def test_features_are_read_by_the_dataset_of_each_split(world: Path, tmp_path: Path) -> None:
    prepare(world, tmp_path)
    assert len(list(tmp_path.glob("shard-*.tar"))) == 3
    train = FeatureShards(tmp_path, "train")
    assert train.ids == ["0000_0", "0001_0", "0002_0"]
    batch = train.voice_batch([0, 2])
    assert batch.spectrogram.shape == (2, 2, 257, 298) and batch.face_feature.shape == (2, 3)
    assert train.face_batch([1]).canonical_face.shape == (1, 3, 224, 224)
    assert train.description["face_feature"] == "mean_colour"
    assert len(FeatureShards(tmp_path, "val")) == len(FeatureShards(tmp_path, "test")) == 1


def test_work_that_was_stopped_ends_in_the_same_bytes(world: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    prepare(world, whole)
    work = prepare_pairs(read_manifest(world), stopped, TOOLS, shard_size=2)
    for _ in range(3):  # in the middle of the second shard
        next(work)
    work.close()
    with pytest.raises(Speech2FaceError, match="no features here"):
        FeatureShards(stopped, "train")
    first = (stopped / "shard-00000.tar").stat().st_mtime_ns
    prepare(world, stopped)
    assert folder_bytes(stopped) == folder_bytes(whole) | {
        "manifest.jsonl": folder_bytes(stopped)["manifest.jsonl"]
    }
    assert (stopped / "shard-00000.tar").stat().st_mtime_ns == first  # not made again


def test_features_of_other_tools_or_another_manifest_are_not_mixed(
    world: Path, tmp_path: Path
) -> None:
    samples = read_manifest(world)
    list(prepare_pairs(samples, tmp_path, TOOLS))
    before = folder_bytes(tmp_path)
    with pytest.raises(Speech2FaceError, match="differ in clip_seconds"):
        next(prepare_pairs(samples, tmp_path, replace(TOOLS, clip_seconds=6)))
    with pytest.raises(Speech2FaceError, match="differ in manifest_sha256"):
        next(prepare_pairs(samples[:2], tmp_path, TOOLS))
    assert folder_bytes(tmp_path) == before  # the manifest too


def test_a_changed_file_is_prepared_again_and_the_dataset_reads_the_new_features(
    world: Path, tmp_path: Path
) -> None:
    samples = read_manifest(world)[:2]
    voice = tmp_path / "voice.wav"
    voice.write_bytes(samples[0].voice.read_bytes())
    samples[0] = replace(samples[0], voice=voice)
    list(prepare_pairs(samples, tmp_path / "out", TOOLS))
    before = FeatureShards(tmp_path / "out", "train")
    old, description = before.read("spectrogram", [0]), before.description
    voice.write_bytes(samples[1].voice.read_bytes())
    outcomes = list(prepare_pairs(samples, tmp_path / "out", TOOLS))
    assert sorted(outcome.was_kept for outcome in outcomes) == [False, True]
    after = FeatureShards(tmp_path / "out", "train")
    assert len(after) == 2 and not torch.equal(after.read("spectrogram", [0]), old)
    assert after.description != description  # so that a training does not go on with other data


def test_other_weights_with_the_same_name_are_other_tools(world: Path, tmp_path: Path) -> None:
    samples = read_manifest(world)[:2]
    list(prepare_pairs(samples, tmp_path, TOOLS))
    other = replace(TOOLS, weights_sha256="ab" * 32)
    assert not any(outcome.was_kept for outcome in prepare_pairs(samples, tmp_path, other))


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
    assert isinstance(prepare_clip(replace(good, canonical=None), voice_only), dict)


POINTS = [[1.5, 2]] * 68


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[" * 100_000,
        "null",
        "7",
        "{}",
        json.dumps(POINTS[:67]),
        json.dumps([*POINTS[:67], [1, 2, 3]]),
        json.dumps([*POINTS[:67], [1, None]]),
        json.dumps([*POINTS[:67], [1, True]]),
        json.dumps([*POINTS[:67], [1, "2"]]),
        json.dumps([*POINTS[:67], [1, float("nan")]]),
        json.dumps([*POINTS[:67], [1, 1e300]]),
        json.dumps([*POINTS[:67], [1, 10**30]]),
        "[" + "9" * 5000 + "]",
        "\udcff",
    ],
)
def test_landmarks_that_cannot_be_used_leave_out_one_clip(
    world: Path, tmp_path: Path, text: str | None
) -> None:
    samples = read_manifest(world)[:2]
    points = tmp_path / "points.json"
    if text is not None:
        points.write_text(text, encoding="utf-8", errors="surrogateescape")
    samples[0] = replace(samples[0], landmarks=points)
    outcomes = list(prepare_pairs(samples, tmp_path / "out", TOOLS))
    reasons = [outcome.rejected and outcome.rejected.reason for outcome in outcomes]
    assert reasons == ["unusable_landmarks", None]
    points.write_text(json.dumps(POINTS))
    again = list(prepare_pairs(samples, tmp_path / "out", TOOLS))
    assert not any(outcome.rejected for outcome in again)


def test_rejected_clips_are_named_with_their_reason(world: Path, tmp_path: Path) -> None:
    samples = read_manifest(world)[:3]
    samples[1] = replace(samples[1], voice=tmp_path / "missing.wav")
    samples[2] = replace(samples[2], face=None)
    list(prepare_pairs(samples, tmp_path / "out", TOOLS))
    ledger = json.loads((tmp_path / "out" / "shard-00000.json").read_text())
    assert ledger["reasons"] == {"unusable_face": 1, "unusable_voice": 1}
    clips = read_clips(tmp_path / "out" / CLIPS)
    reasons = [clip.rejected.reason if clip.rejected else None for clip in clips]
    assert reasons == [None, "unusable_voice", "unusable_face"]
    assert FeatureShards(tmp_path / "out", "train").ids == ["0000_0"]


def test_a_folder_without_usable_clips_is_an_error_of_the_dataset(
    tmp_path: Path, world: Path
) -> None:
    lost = replace(read_manifest(world)[0], voice=tmp_path / "missing.wav")
    (outcome,) = prepare_pairs([lost], tmp_path / "out", TOOLS)
    assert outcome.rejected is not None
    with pytest.raises(Speech2FaceError, match="no features of the split"):
        FeatureShards(tmp_path / "out", "train")


def test_dlib_finds_and_encodes_the_drawn_faces(world: Path) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    detector = DlibDetector()
    tools = Tools(detector, DlibFaceEncoder(detector), clip_seconds=3)
    sample = replace(read_manifest(world)[0], landmarks=None)
    features = prepare_clip(sample, tools)
    assert not isinstance(features, Rejected)
    assert features["face_feature"].shape == (128,)
    drawn = invented.draw(invented.traits_of(0)).landmarks
    distance = np.linalg.norm(features["landmarks"] - drawn, axis=1)
    assert np.median(distance) < 8  # pixels of 224

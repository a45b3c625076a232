"""Features of prepared pairs as batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from prepared import write_features

from speech2face.data.datasets import FeatureShards
from speech2face.errors import Speech2FaceError


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Seven clips, of which every third is for validation, and the last has no features."""
    return write_features(tmp_path, [one_clip(number) for number in range(6)] + [None])


def one_clip(number: int) -> dict[str, np.ndarray]:
    return {
        "spectrogram": np.full((2, 5, 9), number, np.float16),
        "face_feature": np.full(3, number, np.float32),
        "landmarks": np.full((68, 2), number, np.float32),
        "canonical_face": np.full((3, 4, 4), 255, np.uint8),
    }


def test_a_split_has_its_own_samples_only(features: Path) -> None:
    train, val = FeatureShards(features, "train"), FeatureShards(features, "val")
    assert (train.ids, val.ids) == (["0", "1", "3", "4"], ["2", "5"])
    assert val.read("face_feature", [1, 0])[:, 0].tolist() == [5.0, 2.0]
    assert train.shards.tolist() == [0, 0, 0, 1]  # shards of four clips


def test_batches_have_the_types_and_shapes_that_training_wants(features: Path) -> None:
    train = FeatureShards(features, "train")
    voice = train.voice_batch([3, 0], n_frames=7)
    assert voice.spectrogram.shape == (2, 2, 5, 7) and voice.spectrogram.dtype == torch.float32
    assert voice.face_feature[:, 0].tolist() == [4.0, 0.0]
    face = train.face_batch([1])
    assert face.landmarks.shape == (1, 68, 2) and face.canonical_face.max() == 1.0


def test_a_preparation_that_has_not_ended_cannot_be_used(features: Path) -> None:
    (features / "clips.jsonl").unlink()
    with pytest.raises(Speech2FaceError, match="filled to its end"):
        FeatureShards(features, "train")


def test_missing_features_are_errors(features: Path, tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no features here"):
        FeatureShards(tmp_path / "nowhere", "train")
    with pytest.raises(Speech2FaceError, match="no features of the split 'test'"):
        FeatureShards(features, "test")
    with pytest.raises(Speech2FaceError, match="no 'texture.npy'"):
        FeatureShards(features, "train").read("texture", [0])

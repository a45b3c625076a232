"""Small networks, and features without any person, for the tests of training."""

from pathlib import Path

import pytest
import torch
from prepared import write_features

from speech2face.data.datasets import FaceBatch, VoiceBatch
from speech2face.models.face_decoder import FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoderConfig

FEATURE_SIZE = 16
N_BINS = 40  # of 257: the bands of a small spectrogram
TINY_ENCODER = VoiceEncoderConfig(channels=(4,) * 9, n_bins=N_BINS, feature_size=FEATURE_SIZE)
TINY_DECODER = FaceDecoderConfig(  # faces of 32 x 32 pixels
    feature_size=FEATURE_SIZE,
    hidden_size=16,
    landmark_widths=(16,),
    base_size=8,
    channels=(16, 8, 8),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def encoder_config() -> VoiceEncoderConfig:
    return TINY_ENCODER


@pytest.fixture
def decoder_config() -> FaceDecoderConfig:
    return TINY_DECODER


@pytest.fixture
def voice_batch() -> VoiceBatch:
    colour = 2 * torch.randn(4, 2, N_BINS, 1, generator=seeded(9))  # what tells samples apart
    spectrogram = colour + torch.randn(4, 2, N_BINS, 298, generator=seeded(0))
    return VoiceBatch(spectrogram, torch.randn(4, FEATURE_SIZE, generator=seeded(1)))


@pytest.fixture
def face_batch() -> FaceBatch:
    feature = torch.randn(4, FEATURE_SIZE, generator=seeded(2))
    landmarks = spiral() + 0.7 * torch.randn(4, 68, 2, generator=seeded(3))
    images = torch.rand(4, 3, 8, 8, generator=seeded(4))
    smooth = torch.nn.functional.interpolate(images, size=32, mode="bilinear")
    return FaceBatch(feature, landmarks, smooth)


@pytest.fixture
def mean_landmarks() -> torch.Tensor:
    return spiral()


def spiral() -> torch.Tensor:
    """Distinct points inside a picture of 32 x 32 pixels, `[68, 2]`."""
    angle = torch.arange(68) * 2.4
    radius = 10 * ((torch.arange(68) + 0.5) / 68).sqrt()
    return 15.5 + radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)  # [68, 2]


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Folder of random features: 12 samples to train on and 4 to validate, clips of 3 s."""
    tensors = {
        "spectrogram": torch.randn(16, 2, N_BINS, 298, generator=seeded(5)).half(),
        "face_feature": torch.randn(16, FEATURE_SIZE, generator=seeded(6)),
        "landmarks": spiral() + 0.5 * torch.randn(16, 68, 2, generator=seeded(7)),
        "canonical_face": torch.randint(0, 256, (16, 3, 32, 32), generator=seeded(8)).byte(),
    }
    records = [{name: rows[n].numpy() for name, rows in tensors.items()} for n in range(16)]
    return write_features(
        tmp_path / "features",
        records,
        ["train"] * 12 + ["val"] * 4,
        feature_size=FEATURE_SIZE,
        face_feature="invented",
        clip_seconds=3.0,
    )

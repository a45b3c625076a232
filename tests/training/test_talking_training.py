"""The voice encoder learns from shards of videos, and the ablations of the paper can be trained."""

from pathlib import Path

import pytest
import torch
from talking import record, write

from speech2face.cli.main import main
from speech2face.models.checkpoint import load_checkpoint
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.training.config import AdamConfig, Plan
from speech2face.training.paper_model import paper_model
from speech2face.training.state import start_state
from speech2face.training.tracking import Run

SETTINGS = (
    "model.channels=[4,4,4,4,4,4,4,4,4]", "model.feature_size=3", "clip_seconds=3",
    "lambdas.decoder=0", "lambdas.feature=1", "lambdas.distillation=0",
    "plan.batch_size=2", "plan.epochs=2",
)  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Six clips to train on, and one to validate."""
    return write(tmp_path / "shards", record)


@pytest.fixture
def decoder_run(tmp_path: Path) -> Path:
    """A run directory with a face decoder for features of size 3, faces of 32 x 32 pixels."""
    config = FaceDecoderConfig(
        feature_size=3, hidden_size=8, landmark_widths=(8,), base_size=8, channels=(8, 8, 8)
    )
    torch.manual_seed(0)
    modules = {"face_decoder": FaceDecoder(config)}
    state = start_state("paper face decoder", config, modules, AdamConfig(), Plan())
    Run(tmp_path / "decoder").save(state)
    return tmp_path / "decoder"


def train(shards: Path, run: Path, *more: str) -> int:
    line = ["train", "voice-encoder", "--data", str(shards), "--run-dir", str(run)]
    settings = (*SETTINGS, *more)
    line += [word for setting in settings for word in ("--set", setting)]
    return main([*line, "--device", "cpu"])


def test_two_epochs_of_the_corpus_are_trained_and_become_a_model(
    shards: Path, tmp_path: Path, decoder_run: Path
) -> None:
    run = tmp_path / "run"
    assert train(shards, run) == 0
    assert load_checkpoint(run).samples_seen == 12
    assert [line["samples_seen"] for line in Run(run).stats()] == [2, 4, 6, 8, 10, 12, 12]
    model = paper_model(run, decoder_run, shards)
    mean = sum(number for number in range(7) if number != 2) / 6  # clip n has the feature (n, n, n)
    torch.testing.assert_close(model.draws.mean_feature, torch.full((3,), mean))


def test_the_pixel_loss_trains_through_the_frozen_decoder(
    shards: Path, tmp_path: Path, decoder_run: Path
) -> None:
    run, before = tmp_path / "run", load_checkpoint(decoder_run).modules["face_decoder"]
    frozen = f"face_decoder={decoder_run}"
    assert train(shards, run, frozen, "lambdas.feature=0", "lambdas.pixel=1") == 0
    losses = [line["pixel"] for line in Run(run).stats()]
    assert all(loss > 0 for loss in losses)
    after = load_checkpoint(decoder_run).modules["face_decoder"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_encoder_without_batch_norm_has_no_running_statistics(
    shards: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert train(shards, run, "model.batch_norm=false") == 0
    names = load_checkpoint(run).modules["voice_encoder"]
    assert names and not any("norm" in name for name in names)


def test_bfloat16_changes_the_losses_a_little_and_weights_stay_float32(
    shards: Path, tmp_path: Path
) -> None:
    assert train(shards, tmp_path / "half", "precision=bfloat16") == 0
    assert train(shards, tmp_path / "full", "precision=float32") == 0
    half, full = (Run(tmp_path / name).stats()[0]["feature"] for name in ("half", "full"))
    assert half != full and half == pytest.approx(full, rel=0.05)
    weights = load_checkpoint(tmp_path / "half").modules["voice_encoder"]
    assert {one.dtype for one in weights.values()} == {torch.float32, torch.int64}

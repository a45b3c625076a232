"""Estimates before a training: compared with counts by hand and with torch's own memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from speech2face.cli.main import main
from speech2face.models.voice_encoder import VoiceEncoderConfig
from speech2face.training.config import FaceDecoderTraining, Plan, VoiceEncoderTraining
from speech2face.training.estimate import Cost, cost_of, estimate


def test_the_papers_encoder_has_the_published_size() -> None:
    """Table 1 by hand: 148,062,976 weights, 178.4 GFLOP forward, and three times that trained."""
    cost = cost_of(VoiceEncoderTraining())
    assert cost.n_weights == 148_062_976
    assert cost.flop_per_sample == pytest.approx(3 * 178.4e9, rel=2e-3)


def test_twice_the_batch_saves_twice_as_much() -> None:
    config = VoiceEncoderTraining(model=VoiceEncoderConfig(channels=(4,) * 9, feature_size=16))
    one, two = (cost_of(replace(config, plan=Plan(batch_size=size))) for size in (8, 16))
    assert two.saved_bytes == pytest.approx(2 * one.saved_bytes, rel=1e-3)
    assert two.flop_per_sample == pytest.approx(one.flop_per_sample)
    # The first convolution alone keeps its input and two maps of 4 x 595 x 254.
    assert one.saved_bytes > 8 * 4 * (2 * 598 * 257 + 2 * 4 * 595 * 254)


def test_memory_grows_with_partial_sums_of_gradients() -> None:
    cost = Cost(n_weights=1000, flop_per_sample=1.0, saved_bytes=500)
    assert cost.bytes_in_use(1) == 16 * 1000 + 500
    assert cost.bytes_in_use(4) - cost.bytes_in_use(1) == 4 * 1000 * 3


def test_the_length_of_a_plan_in_epochs_is_that_of_the_corpus(features: Path) -> None:
    """12 training samples, 5 epochs, updates of 2 x 2: 15 updates."""
    plan = Plan(batch_size=2, accumulate=2, epochs=5)
    model = VoiceEncoderConfig(channels=(4,) * 9, n_bins=40, feature_size=16)
    lines = list(estimate(VoiceEncoderTraining(model=model, plan=plan), features, "cpu"))
    assert lines[0] == "corpus: 12 training and 4 validation samples"
    assert lines[1] == "length: 5 epochs of this corpus"
    assert lines[2] == "plan: 15 updates of 2 x 2 samples, 60 samples in all"
    without = list(estimate(VoiceEncoderTraining(model=model, plan=plan), None, "cpu"))
    assert len(without) == 1 and "--data" in without[0]


def test_a_dry_run_of_both_networks_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    for network in ("voice-encoder", "face-decoder"):
        assert main(["train", network, "--dry-run", "--device", "cpu"]) == 0
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
        assert [line.split(":")[0] for line in said] == [
            "# plan",
            "# network",
            "# memory",
            "# time",
        ]
    assert cost_of(FaceDecoderTraining()).n_weights > 5e7
    assert not torch.cuda.is_initialized()

"""The loop: a killed run ends with the bits of an uninterrupted one; a diverged one is stopped."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from speech2face.cli.main import main
from speech2face.data.datasets import VoiceBatch
from speech2face.errors import Speech2FaceError
from speech2face.models.checkpoint import load_checkpoint
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import AdamConfig, Lambdas, Plan
from speech2face.training.loop import fit
from speech2face.training.recipes.paper import load_face_decoder
from speech2face.training.state import TrainState, start_state
from speech2face.training.step import VoiceTerms, voice_encoder_step
from speech2face.training.tracking import Run

SETTINGS = (
    "model.channels=[4,4,4,4,4,4,4,4,4]", "model.n_bins=40", "model.feature_size=16",
    "clip_seconds=3", "lambdas.decoder=0", "lambdas.feature=1", "lambdas.distillation=0",
    "plan.batch_size=4", "plan.checkpoint_every=40", "plan.validate_every=100",
)  # fmt: skip
STEP = partial(voice_encoder_step, terms=VoiceTerms(Lambdas(decoder=0, feature=1, distillation=0)))


def command(features: Path, folder: Path, *more: str) -> list[str]:
    line = ["train", "voice-encoder", "--data", str(features), "--run-dir", str(folder)]
    line += ["--device", "cpu"]
    return line + [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]


def lines_of(stats: Path) -> int:
    return stats.read_bytes().count(b"\n") if stats.is_file() else 0


def killed_after(lines: int, features: Path, folder: Path, *more: str) -> int:
    """Start the command, kill it (SIGKILL) once so many losses are written; its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "speech2face", *command(features, folder, *more)],
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    while lines_of(folder / "stats.jsonl") < lines and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.fixture
def small_state(encoder_config: VoiceEncoderConfig) -> Callable[[Plan], TrainState]:
    def make(plan: Plan) -> TrainState:
        torch.manual_seed(0)
        modules = {"voice_encoder": VoiceEncoder(encoder_config)}
        return start_state("paper voice encoder", encoder_config, modules, AdamConfig(), plan)

    return make


def repeated(batch: VoiceBatch) -> Callable[[int], Iterator[list[VoiceBatch]]]:
    return lambda _: itertools.repeat([batch])


def test_a_killed_run_that_is_continued_ends_with_the_bits_of_an_uninterrupted_one(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    total = "plan.total_samples=320"  # 80 updates
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    assert main(command(features, unbroken, total)) == 0
    assert killed_after(27, features, killed, total) == -signal.SIGKILL
    seen = load_checkpoint(killed).samples_seen
    assert 0 < seen < 320  # it was in the middle, with something to go on from
    with caplog.at_level("INFO"):
        assert main(command(features, killed, total)) == 0
    assert f"after {seen} samples" in caplog.text

    first, second = load_checkpoint(unbroken), load_checkpoint(killed)
    assert first.samples_seen == second.samples_seen == 320
    assert first.metrics == second.metrics
    weights = second.modules["voice_encoder"]
    for name, tensor in first.modules["voice_encoder"].items():
        assert torch.equal(tensor, weights[name]), name
    assert Run(unbroken).stats() == Run(killed).stats()


def test_the_same_seed_gives_the_same_losses_and_another_seed_gives_others(
    features: Path, tmp_path: Path
) -> None:
    seeds = {"one": 0, "same": 0, "other": 1}
    for name, seed in seeds.items():
        settings = ("plan.total_samples=8", f"plan.seed={seed}")
        assert main(command(features, tmp_path / name, *settings)) == 0
    one, same, other = (Run(tmp_path / name).stats() for name in seeds)
    assert one == same
    assert one[0]["feature"] != other[0]["feature"]


def test_a_run_that_is_done_is_left_as_it_is(
    small_state: Callable[[Plan], TrainState], voice_batch: VoiceBatch, tmp_path: Path
) -> None:
    plan = Plan(batch_size=4, total_samples=8)
    first = fit(small_state(plan), STEP, repeated(voice_batch), Run(tmp_path))
    again = fit(small_state(plan), STEP, repeated(voice_batch), Run(tmp_path))
    assert again.samples_seen == 8 and again.losses == first.losses
    assert len(Run(tmp_path).stats()) == 2


def test_losses_that_are_reported_are_those_of_the_state(
    small_state: Callable[[Plan], TrainState], voice_batch: VoiceBatch, tmp_path: Path
) -> None:
    plan = Plan(batch_size=4, total_samples=12, validate_every=8)
    state = fit(
        small_state(plan),
        STEP,
        repeated(voice_batch),
        Run(tmp_path),
        validate=lambda state: {"total": float(state.samples_seen)},
    )
    lines = Run(tmp_path).stats()
    assert [(line["samples_seen"], line["split"]) for line in lines] == [
        (4, "train"), (8, "train"), (8, "val"), (12, "train"), (12, "val"),
    ]  # fmt: skip
    assert lines[3]["feature"] == state.losses["feature"]
    assert lines[0]["learning_rate"] == 1e-3 and lines[4]["total"] == 12.0


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_state(
    small_state: Callable[[Plan], TrainState], voice_batch: VoiceBatch, tmp_path: Path
) -> None:
    def poisoned(_: int) -> Iterator[list[VoiceBatch]]:
        yield from [[voice_batch]] * 3
        yield [voice_batch._replace(face_feature=voice_batch.face_feature * float("nan"))]

    plan = Plan(batch_size=4, total_samples=40, checkpoint_every=8)
    complaint = "feature loss is nan.* after 16 samples; .*the state after 8 samples is saved"
    with pytest.raises(Speech2FaceError, match=complaint):
        fit(small_state(plan), STEP, poisoned, Run(tmp_path))
    kept = load_checkpoint(tmp_path)
    assert kept.samples_seen == 8
    weights = kept.modules["voice_encoder"].values()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights)


def test_other_settings_are_refused_and_named(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, short = tmp_path / "run", "plan.total_samples=8"
    assert main(command(features, run, short)) == 0
    assert main(command(features, run, short, "adam.beta1=0.9")) == 1
    assert "settings.adam.beta1 0.5 -> 0.9" in capsys.readouterr().err
    assert main(command(features, run, "plan.total_samples=12")) == 0  # longer is no other run
    assert load_checkpoint(run).samples_seen == 12


def test_stats_of_updates_that_are_repeated_are_removed(
    small_state: Callable[[Plan], TrainState], voice_batch: VoiceBatch, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    plan = Plan(batch_size=4, total_samples=8)
    fit(small_state(plan), STEP, repeated(voice_batch), run)
    with (tmp_path / "stats.jsonl").open("a") as file:
        file.write(json.dumps({"samples_seen": 12, "split": "train"}) + "\n")
        file.write('{"samples_seen": 16, "spl')  # cut short by the kill
    longer = replace(plan, total_samples=12)
    fit(small_state(longer), STEP, repeated(voice_batch), run)
    assert [line["samples_seen"] for line in run.stats()] == [4, 8, 12]
    assert "feature" in run.stats()[-1]


def test_a_decoder_of_a_run_is_loaded_frozen(
    decoder_config: FaceDecoderConfig, mean_landmarks: Tensor, tmp_path: Path
) -> None:
    model = FaceDecoder(decoder_config, mean_landmarks)
    modules = {"face_decoder": model}
    state = start_state("paper face decoder", decoder_config, modules, AdamConfig(), Plan())
    Run(tmp_path).save(state)
    loaded = load_face_decoder(tmp_path)
    feature = torch.randn(2, decoder_config.feature_size)
    assert torch.equal(loaded(feature).image, model(feature).image)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(Speech2FaceError, match="no checkpoint here"):
        load_face_decoder(tmp_path / "nowhere")

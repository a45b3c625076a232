"""The recipe of the embedded model at toy size: twelve drawn people, codes of six coordinates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from speech2face.configuration import to_toml, with_differences
from speech2face.data import authors_page
from speech2face.data.authors_page import TEACHERS
from speech2face.data.invented import draw, traits_of, write_world
from speech2face.data.manifest import read_manifest
from speech2face.data.sample import Sample
from speech2face.models.speaker_encoder import read_speaker_encoder
from speech2face.training.recipes.embedded import Embedded, EmbeddedConfig, train_embedded

N_PERSONS = 12  # 8 train, 2 val, 2 test
DIFFERENCES: dict[str, Any] = {  # from the recipe
    "renders": ["canonical", "s2f_exg1.4"],
    "n_face": 4,
    "n_surround": 2,
    "n_languages": 0,  # Whisper is not installed everywhere
    "voice": {"n_folds": 3},
}


def write_page(folder: Path, n_persons: int = N_PERSONS) -> Path:
    """An invented world in the prepared layout of the authors' page; returns `folder`.

    The teacher knows what the voice tells: its drawings lack the two traits that no voice carries.
    Of the test clips only the lines of the manifest are written.
    """
    world = folder / "world"
    samples = read_manifest(
        write_world(world, persons=n_persons, clips_per_person=1, clip_seconds=(1.6, 2.2))
    )
    for name in ("audio", "face", "canonical", *TEACHERS):
        (folder / name).mkdir()
    lines = []
    for number, sample in enumerate(samples):
        if sample.split != "test":
            _write_clip(folder, sample, number)
        lines.append(
            {
                "id": sample.id,
                "person": sample.person,
                "youtube_id": sample.id,
                "seconds": sample.seconds,
                "split": sample.split,
            }
        )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _write_clip(folder: Path, sample: Sample, number: int) -> None:
    assert sample.face is not None and sample.canonical is not None
    (folder / "audio" / f"{sample.id}.ogg").write_bytes(sample.voice.read_bytes())
    for name, source in (("face", sample.face), ("canonical", sample.canonical)):
        Image.open(source).save(folder / name / f"{sample.id}.jpg", quality=95)
    heard = draw(replace(traits_of(number), nose=0.5, hair=0.5))
    for teacher in TEACHERS:
        Image.fromarray(heard.image).save(folder / teacher / f"{sample.id}.jpg", quality=95)


def config() -> EmbeddedConfig:
    """The recipe with `DIFFERENCES`."""
    return with_differences(EmbeddedConfig(), DIFFERENCES)


def write_config(path: Path) -> Path:
    """The same as a TOML file."""
    path.write_text(to_toml(config()))
    return path


def train(page: Path, run_dir: Path, changed: EmbeddedConfig | None = None) -> Embedded:
    """The recipe on `page`; skips where dlib is not installed."""
    pytest.importorskip("dlib")
    samples, weights = authors_page.read(page), read_speaker_encoder()
    return train_embedded(samples, run_dir, speaker_encoder=weights, config=changed or config())

"""The recipe of the embedded model at toy size: twelve drawn people, networks of a few thousand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from speech2face.data.invented import draw, traits_of, write_world
from speech2face.data.manifest import read_manifest

N_PERSONS = 12  # 8 train, 2 val, 2 test
PLAN = {"batch_size": 4, "total_samples": 16, "validate_every": 8, "checkpoint_every": 4}
DIFFERENCES: dict[str, Any] = {  # from the recipe
    "renders": ["canonical", "s2f_exg1.4"],
    "voice": {"n_fourier": 64, "n_folds": 3},
    "decoder": {"feature_size": 6, "hidden_size": 12, "channels": [4, 4, 4, 4, 4]},
    "drawing": {"plan": PLAN},
    "decoding": {"plan": PLAN},
}


def write_page(folder: Path) -> Path:
    """An invented world in the prepared layout of the authors' page; returns `folder`.

    The teacher knows what the voice tells: its drawings lack the two traits that no voice carries.
    """
    world = folder / "world"
    samples = read_manifest(
        write_world(world, persons=N_PERSONS, clips_per_person=1, clip_seconds=(1.6, 2.2))
    )
    for name in ("audio", "face", "canonical", "s2f_exg0", "s2f_exg0.7", "s2f_exg1.4", "gallery"):
        (folder / name).mkdir()
    lines = []
    for number, sample in enumerate(samples):
        assert sample.face is not None and sample.canonical is not None
        (folder / "audio" / f"{sample.id}.ogg").write_bytes(sample.voice.read_bytes())
        for name, source in (("face", sample.face), ("canonical", sample.canonical)):
            Image.open(source).save(folder / name / f"{sample.id}.jpg", quality=95)
        heard = draw(replace(traits_of(number), nose=0.5, hair=0.5))
        for teacher in ("s2f_exg0", "s2f_exg0.7", "s2f_exg1.4"):
            Image.fromarray(heard.image).save(folder / teacher / f"{sample.id}.jpg", quality=95)
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


def write_config(path: Path) -> Path:
    """`DIFFERENCES` as a TOML file."""
    from speech2face.training.config import to_toml, with_differences
    from speech2face.training.embedded import EmbeddedConfig

    path.write_text(to_toml(with_differences(EmbeddedConfig(), DIFFERENCES)))
    return path

"""Invented clips for the systems: causes seen through a voice and a face, and coloured pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matching import invented_pairs
from PIL import Image

from speech2face.baselines.clips import Clips
from speech2face.data.sample import Sample

# Eyes, nose and mouth of a face that fills a picture of 32 pixels, and points between them.
LANDMARKS = np.stack([np.linspace(4, 28, 68), 16 + 8 * np.sin(np.arange(68) / 6)], axis=1)


def invented_clips(folder: Path, n_people: int = 24, *, seed: int = 0) -> Clips:
    """One clip a person; the picture of each is of one colour, which is nobody's face."""
    pairs = replace(invented_pairs(n_people, seed=seed), sizes=(10, 10, 10))
    colours = np.random.default_rng(seed).integers(0, 256, (n_people, 3)).astype(np.uint8)
    samples = []
    for number, colour in enumerate(colours):
        photo = folder / f"{number}.png"
        Image.fromarray(np.broadcast_to(colour, (32, 32, 3)).copy()).save(photo)
        samples.append(
            Sample(
                id=str(number),
                person=pairs.persons[number],
                voice=folder / "nothing.wav",
                face=photo,
            )
        )
    return Clips.of(pairs, samples, np.tile(LANDMARKS, (n_people, 1, 1)))

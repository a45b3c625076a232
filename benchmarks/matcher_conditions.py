"""How far the circumstances of a recording or of a photo move what the matcher makes of it.

    python benchmarks/matcher_conditions.py --voices LIBRISPEECH
        --photos ../shared/data/authors_page [--speakers 40] [--rows telephone noise]

Voices are changed by the conditions of `conditions.py`, photos of the val clips by those below. A
line of a table says how many could be used at all, the mean cosine with the vector of the unchanged
voice or photo, and of how many the own unchanged one is the nearest of all. The first line of a
table is the unit: two halves of a recording; for photos, the mirrored photo.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conditions import OTHER_HALF, Speaker, conditions, read_speakers
from numpy.typing import NDArray
from PIL import Image

from speech2face.audio.segment import halves
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.data import authors_page, librispeech
from speech2face.errors import Speech2FaceError
from speech2face.face.image import RGBImage, open_image
from speech2face.inference.matcher import Matcher, load_matcher

MIRRORED = "mirrored"
SIZES = (64, 32, 16)  # pixels of small photos
Vectors = NDArray[np.float64]


class Row(NamedTuple):
    """What one condition does to N vectors."""

    n_used: int
    n_asked: int
    cosine: float  # mean, of those that could be used
    n_own: int  # of those that could be used: the own unchanged vector is the nearest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voices", type=Path, help="LibriSpeech, either layout")
    parser.add_argument("--photos", type=Path, help="clips of the authors' page; val is used")
    parser.add_argument("--speakers", type=int, default=40, help="how many (%(default)s)")
    parser.add_argument("--rows", nargs="+", metavar="WORD", help="conditions with such a word")
    parser.add_argument("--model", type=Path, help="exported model file with its matcher")
    arguments = parser.parse_args()
    matcher = load_matcher(arguments.model)
    if arguments.voices is not None:
        speakers = read_speakers(librispeech.read(arguments.voices), arguments.speakers)
        show("voices", of_voices(matcher, speakers, arguments.rows))
    if arguments.photos is not None:
        clips = [one for one in authors_page.read(arguments.photos) if one.split == "val"]
        photos = [open_image(clip.face) for clip in clips if clip.face is not None]
        show("photos", of_photos(matcher, photos))


def of_voices(
    matcher: Matcher, speakers: Sequence[Speaker], words: Sequence[str] | None = None
) -> dict[str, Row]:
    """Every condition of a voice, by name; with `words`, those whose name has one of them."""
    clean = vectors([partial(hear, matcher, one.clean) for one in speakers])
    parts = [
        vectors([partial(hear, matcher, halves(one.clean)[side]) for one in speakers])
        for side in (0, 1)
    ]
    found = {OTHER_HALF: row(parts[0], parts[1])}
    for name, change in conditions().items():
        if words is None or any(word in name for word in words):
            given = [change(one) for one in speakers]
            heard = [partial(hear, matcher, one) for one in given if one is not None]
            kept = clean[[one is not None for one in given]]
            found[name] = row(kept, vectors(heard, clean.shape[1]))
    return found


def of_photos(matcher: Matcher, photos: Sequence[RGBImage]) -> dict[str, Row]:
    """Every condition of a photo, by name. Photos in which no face is found are left out."""
    plain = vectors([partial(matcher.embed_face, one) for one in photos])
    usable = ~np.isnan(plain[:, 0])
    photos = [photo for photo, is_usable in zip(photos, usable, strict=True) if is_usable]
    return {
        name: row(plain[usable], vectors([partial(seen, matcher, change, one) for one in photos]))
        for name, change in photo_conditions().items()
    }


def seen(matcher: Matcher, change: Callable[[RGBImage], RGBImage], photo: RGBImage) -> Vectors:
    """The vector of a changed photo."""
    return matcher.embed_face(change(photo)).astype(np.float64)


def photo_conditions() -> Mapping[str, Callable[[RGBImage], RGBImage]]:
    """What is done to a photo, by name."""
    return {
        MIRRORED: lambda photo: photo[:, ::-1].copy(),
        "grey": lambda photo: np.asarray(Image.fromarray(photo).convert("L").convert("RGB")),
        "half as bright": lambda photo: photo // 2,
        "JPEG of quality 10": jpeg,
        **{f"{size} pixels": partial(small, size=size) for size in SIZES},
    }


def jpeg(photo: RGBImage) -> RGBImage:
    """Written with quality 10, and read again."""
    content = io.BytesIO()
    Image.fromarray(photo).save(content, format="JPEG", quality=10)
    return np.asarray(Image.open(content))


def small(photo: RGBImage, size: int) -> RGBImage:
    """At so many pixels."""
    return np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.BOX))


def hear(matcher: Matcher, voice: object) -> Vectors:
    """The vector of samples at 16 kHz, or of the content of a file."""
    rate = None if isinstance(voice, bytes) else SAMPLE_RATE
    return matcher.embed_voice(voice, sample_rate=rate)  # type: ignore[arg-type]


def vectors(makers: Sequence[Callable[[], Vectors]], size: int = 1) -> Vectors:
    """`[N, K]`; NaN in the row of what cannot be used."""
    made: list[Vectors | None] = []
    for make in makers:
        try:
            made.append(np.asarray(make(), np.float64))
        except Speech2FaceError:
            made.append(None)
    size = next((len(one) for one in made if one is not None), size)
    rows = [np.full(size, np.nan) if one is None else one for one in made]
    return np.array(rows).reshape(len(rows), size)


def row(clean: Vectors, changed: Vectors) -> Row:
    """Of vectors of length 1, `[N, K]` each; rows of NaN could not be used."""
    used = ~np.isnan(changed[:, 0]) & ~np.isnan(clean[:, 0])
    if not used.any():
        return Row(0, len(used), float("nan"), 0)
    cosines = changed[used] @ clean[used].T  # [M, M]
    own = cosines.diagonal()
    n_own = int((cosines.argmax(axis=1) == np.arange(len(own))).sum())
    return Row(int(used.sum()), len(used), float(own.mean()), n_own)


def show(title: str, rows: Mapping[str, Row]) -> None:
    """A Markdown table."""
    print(f"| {title} | used | cosine with the unchanged | own nearest |\n|---|---|---|---|")
    for name, one in rows.items():
        print(f"| {name} | {one.n_used}/{one.n_asked} | {one.cosine:.2f} | {one.n_own} |")


if __name__ == "__main__":
    main()

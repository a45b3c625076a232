"""`speech2face reconstruct`: sound files in, one face each out."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speech2face import Face, Pipeline, load_model
from speech2face.audio.io import MAX_SECONDS
from speech2face.cli.images import (
    each_file,
    exaggeration,
    image_names,
    png_text,
    refuse_existing,
    tell,
    writable_folder,
    write_png,
)

NOTICE = "a face consistent with the voice, not the speaker's face"

DESCRIPTION = f"""\
Make {NOTICE}.

Each VOICE (wav, flac, mp3, m4a, ogg, webm, mp4 with video ...) becomes DIR/NAME.png, 224 x 224,
where NAME is the file's name without its ending. Speech of six seconds or more is best; of a
longer recording the first {MAX_SECONDS / 60:.0f} minutes are heard.
"""
EPILOG = """\
examples:
  speech2face reconstruct voice.m4a --out faces
  speech2face reconstruct *.mp3 --out faces --exaggeration 1.4
  speech2face reconstruct voice.m4a --out faces --spread 4      four more faces, equally likely
  speech2face reconstruct *.wav --out faces --json > faces.jsonl

Voices of one name get longer names: a.wav and a.mp3 become a.wav.png and a.mp3.png, mon/a.wav and
tue/a.wav become mon-a.wav.png and tue-a.wav.png. The order in which they are named plays no part;
a file named twice is done once.

A voice that cannot be used is named with the reason on standard error, the others are still done,
and the exit status is 1. An image that exists is kept, and counts as such a voice, unless --force
is given. Nothing half-written stays behind. Each image says in its PNG text which model, which
exaggeration and what it is.
"""


def add_parser(subparsers: Any) -> None:
    """Add `reconstruct`."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="make a face from each voice",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("voices", nargs="+", metavar="VOICE", help="sound or video file")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of images, made anew")
    parser.add_argument("--model", metavar="M", help="exported model file (the embedded one)")
    parser.add_argument(
        "--exaggeration",
        type=exaggeration,
        metavar="A",
        help="push away from the mean face: 0 none, 1.4 strong, -1 the mean face (the model's own)",
    )
    parser.add_argument(
        "--spread",
        type=_count,
        default=0,
        metavar="N",
        help="also write N further faces that the voice fits as well: DIR/NAME.likely-1.png ...",
    )
    parser.add_argument("--seed", type=_count, default=0, metavar="S", help="of the spread (0)")
    parser.add_argument("--json", action="store_true", help="one JSON line a voice on stdout")
    parser.add_argument("--force", action="store_true", help="replace images that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct every voice; 1 when any could not be done."""
    names = image_names(arguments.voices)
    out = writable_folder(arguments.out)
    pipeline = load_model(arguments.model)

    def make(voice: str, name: str) -> dict[str, Any]:
        return _reconstruct_one(pipeline, voice, out / f"{name}.png", arguments)

    return each_file(names, "voice", make, as_json=arguments.json)


def _reconstruct_one(
    pipeline: Pipeline, voice: str, destination: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Make and write the images of one voice; returns what its JSON line says."""
    stem = destination.stem
    likely = [destination.with_name(f"{stem}.likely-{i + 1}.png") for i in range(arguments.spread)]
    refuse_existing((destination, *likely), voice, force=arguments.force)
    face = pipeline.reconstruct(
        voice,
        exaggeration=arguments.exaggeration,
        draws=arguments.spread,
        seed=arguments.seed,
    )
    text = png_text(NOTICE, face, pipeline.card)
    for path, image in zip((destination, *likely), (face.image, *face.likely), strict=True):
        write_png(path, image, text)
    for note in _notes(face):
        tell(f"{voice}: {note}")
    return {
        "voice": voice,
        "image": str(destination),
        "likely": [str(path) for path in likely],
        "seconds": round(face.seconds, 3),
        "exaggeration": face.exaggeration,
        "truncated": face.truncated,
        "damaged": face.damaged,
        "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in face.landmarks],
        "model": pipeline.card.name,
        "model_sha256": pipeline.card.sha256,
        "what": NOTICE,
    }


def _notes(face: Face) -> Iterable[str]:
    """What a user should know of a voice that could be used all the same."""
    if face.truncated:
        problem = f"only the first {MAX_SECONDS:.0f} s were heard"
        yield f"{problem}; cut out the part that should be heard instead"
    if face.damaged:
        problem = f"parts could not be decoded, {face.seconds:.1f} s were heard"
        yield f"{problem}; copy or record it again if that is too little"


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value

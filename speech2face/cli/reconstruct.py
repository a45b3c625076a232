"""`speech2face reconstruct`: makes one face from each sound file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from speech2face import Pipeline, load_model
from speech2face.audio.recording import MAX_SECONDS
from speech2face.cli.arguments import count, seed
from speech2face.cli.image_files import (
    STANDARD_INPUT,
    each_file,
    image_names,
    refuse_existing,
    writable_folder,
    write_png,
)
from speech2face.cli.parser import add_exaggeration, add_image_folder, add_model
from speech2face.files import write_whole
from speech2face.inference.png import NOTICE, png_text
from speech2face.inference.telling import AGE, facts_of

DESCRIPTION = f"""\
Make {NOTICE}.

Each VOICE (wav, flac, mp3, m4a, ogg, webm, mp4 with video ...) becomes DIR/NAME.png, 224 x 224,
where NAME is the file's name without its ending. Only speech is used, wherever it is in the file.
Six seconds of speech or more are best; what comes after {MAX_SECONDS / 60:.0f} minutes of speech is
not used. If VOICE is -, standard input is read, and its image is DIR/stdin.png.
Take no age from the image: {AGE}.
"""
EPILOG = """\
examples:
  speech2face reconstruct voice.m4a --out faces
  speech2face reconstruct *.mp3 --out faces --exaggeration 1.4
  speech2face reconstruct voice.m4a --out faces --spread 4      four more faces, equally likely
  speech2face reconstruct voice.m4a --out faces --cartoon       also a drawing: faces/voice.svg
  speech2face reconstruct *.wav --out faces --json > faces.jsonl
  ffmpeg -i talk.mkv -f wav - | speech2face reconstruct - --out faces

If two voices have the same name, their images get longer names: a.wav and a.mp3 become a.wav.png
and a.mp3.png; mon/a.wav and tue/a.wav become mon-a.wav.png and tue-a.wav.png. The order of the
files does not matter. A file that is given twice is used once. A very long name is shortened.

If a voice cannot be used, one line on standard error gives the reason; the other voices are still
done, and the exit status is 1. The same holds if the image exists already and --force is not given.
An image is written whole or not at all. The text inside each PNG file says what it is, which model
made it, and with which exaggeration.
"""


def add_parser(subparsers: Any) -> None:
    """Add `reconstruct`."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="make a face from each voice",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("voices", nargs="+", metavar="VOICE", help="sound or video file, or -")
    add_image_folder(parser)
    add_model(parser)
    add_exaggeration(parser)
    parser.add_argument(
        "--spread",
        type=count,
        default=0,
        metavar="N",
        help="also write N other faces that fit the voice equally well: DIR/NAME.likely-1.png ...",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="S", help="seed of --spread (default: 0)"
    )
    parser.add_argument(
        "--cartoon",
        action="store_true",
        help="also write a cartoon of each face: DIR/NAME.svg, DIR/NAME.likely-1.svg ...",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line per voice")
    parser.add_argument("--force", action="store_true", help="replace images that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a face from every voice; the exit status is 1 if any could not be done."""
    names = image_names(arguments.voices)
    out = writable_folder(arguments.out)
    pipeline = load_model(arguments.model)

    def make(voice: str, name: str) -> dict[str, Any]:
        return _reconstruct_one(pipeline, voice, out / f"{name}.png", arguments)

    return each_file(names, "voice", make, as_json=arguments.json)


def _reconstruct_one(
    pipeline: Pipeline, voice: str, destination: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Make and write the images of one voice; returns the content of its JSON line."""
    stem = destination.stem
    likely = [destination.with_name(f"{stem}.likely-{i + 1}.png") for i in range(arguments.spread)]
    pictures = (destination, *likely)
    cartoons = [path.with_suffix(".svg") for path in pictures] if arguments.cartoon else []
    refuse_existing((*pictures, *cartoons), voice, force=arguments.force)
    source: Any = sys.stdin.buffer if voice == STANDARD_INPUT else voice
    face = pipeline.reconstruct(
        source,
        exaggeration=arguments.exaggeration,
        draws=arguments.spread,
        seed=arguments.seed,
    )
    text = png_text(NOTICE, face, pipeline.card)
    for path, image in zip(pictures, (face.image, *face.likely), strict=True):
        write_png(path, image, text)
    for number, path in enumerate(cartoons, start=-1):
        write_whole(path, face.cartoon(number if number >= 0 else None).encode())
    return {
        "voice": voice,
        "image": str(destination),
        "likely": [str(path) for path in likely],
        **({"cartoons": [str(path) for path in cartoons]} if cartoons else {}),
        **facts_of(face, pipeline.card),
    }

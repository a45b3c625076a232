"""`speech2face live`: a face that forms while somebody speaks into the microphone."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.arguments import exaggeration, file_name, seconds
from speech2face.cli.colours import has_colours, picture_lines
from speech2face.cli.image_files import write_png
from speech2face.cli.parser import add_model
from speech2face.errors import Speech2FaceError
from speech2face.inference.png import NOTICE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from speech2face import Face, Pipeline

RATE = 16_000  # Hz, of what is taken from the microphone
BLOCK_SECONDS = 0.1  # of a file, which is taken in pieces as a microphone gives them
DESCRIPTION = f"""\
Listen to the microphone, and make {NOTICE},
again and again while somebody speaks.

The newest face is in FILE and replaces the face before it. On a terminal with colours it is also
shown there. The command ends after --seconds, or with Ctrl-C. This needs the extra "live",
which opens the microphone. Nothing that is heard is written anywhere.
"""
EPILOG = """\
examples:
  speech2face live --out face.png
  speech2face live --out face.png --seconds 20 --exaggeration 0.7
  speech2face live --out face.png --voice talk.m4a       a file instead of the microphone
"""


def add_parser(subparsers: Any) -> None:
    """Add `live`."""
    parser = subparsers.add_parser(
        "live",
        help="a face that forms while one speaks",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "--out", required=True, type=file_name, metavar="FILE", help="picture of the newest face"
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=15.0,
        metavar="S",
        help="how long to listen (default: 15)",
    )
    parser.add_argument(
        "--voice", type=file_name, metavar="FILE", help="sound file instead of the microphone"
    )
    add_model(parser)
    parser.add_argument(
        "--exaggeration", type=exaggeration, metavar="A", help="as for `speech2face reconstruct`"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line per face")
    parser.add_argument("--force", action="store_true", help="replace a picture that exists")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make faces until the time is over; 1 if nobody spoke."""
    from speech2face import load_model

    out = Path(arguments.out)
    if out.exists() and not arguments.force:
        remedy = "give --force to replace it, or another --out"
        raise Speech2FaceError("exists already", remedy, arguments.out)
    pipeline = load_model(arguments.model)
    if arguments.voice is None:
        _follow(pipeline, _microphone(), arguments)
        return 0
    try:
        _follow(pipeline, _file(arguments.voice), arguments)
    except Speech2FaceError as error:
        raise Speech2FaceError(
            error.problem, error.remedy, error.path or arguments.voice
        ) from error
    return 0


def _follow(
    pipeline: "Pipeline", chunks: "Iterator[NDArray[Any]]", arguments: argparse.Namespace
) -> None:
    tell = _told_as_json if arguments.json else _told_as_line
    from speech2face.inference.png import png_text

    is_first = True
    heard = _beginning(chunks, arguments.seconds)
    for face in pipeline.stream(heard, RATE, exaggeration=arguments.exaggeration):
        write_png(Path(arguments.out), face.image, png_text(NOTICE, face, pipeline.card))
        _show(face.image, is_first=is_first)
        print(tell(face, pipeline, arguments.out), flush=True)
        is_first = False


def _beginning(chunks: "Iterator[NDArray[Any]]", length: float) -> "Iterator[NDArray[Any]]":
    """The chunks of the first seconds."""
    n_left = round(length * RATE)
    for chunk in chunks:
        yield chunk[:n_left]
        n_left -= len(chunk)
        if n_left <= 0:
            return


def _show(image: "Image", *, is_first: bool) -> None:
    """Show a face on a terminal with colours, over the one before and its line."""
    if not has_colours(sys.stderr):
        return
    lines = list(picture_lines(image))
    n_above = len(lines) + (1 if sys.stdout.isatty() else 0)
    start = "" if is_first else f"\x1b[{n_above}A"  # so many lines up
    print(start + "\n".join(lines), file=sys.stderr, flush=True)


def _told_as_line(face: "Face", pipeline: "Pipeline", out: str) -> str:
    del pipeline
    return f"{face.seconds:5.1f} s of speech  {out}"


def _told_as_json(face: "Face", pipeline: "Pipeline", out: str) -> str:
    from speech2face.inference.telling import facts_of

    return json.dumps({"image": out, **facts_of(face, pipeline.card)})


def _file(voice: str) -> "Iterator[NDArray[Any]]":
    """Samples of a file at `RATE`, in blocks, silence included."""
    from speech2face.audio.io import decode

    samples = decode(voice, speech_only=False).waveform
    size = round(BLOCK_SECONDS * RATE)
    return (samples[start : start + size] for start in range(0, len(samples), size))


def _microphone() -> "Iterator[NDArray[Any]]":
    """Samples of the microphone at `RATE`, as they come."""
    from speech2face.audio.microphone import microphone

    return microphone(RATE)

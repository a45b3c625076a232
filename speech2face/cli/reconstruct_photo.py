"""`speech2face reconstruct-photo`: makes a face from each photo with the model's decoder (F2F)."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.image_files import (
    each_file,
    image_names,
    refuse_existing,
    writable_folder,
    write_png,
)
from speech2face.cli.parser import add_exaggeration, add_image_folder, add_model
from speech2face.inference.png import png_text

if TYPE_CHECKING:
    from speech2face.inference.photo import PhotoPipeline

NOTICE = "what the face decoder makes of a photo: frontal, neutral, not a picture of the person"

DESCRIPTION = """\
Make the frontal, neutral face that the model's decoder draws from a photo (F2F). It is the best
face that a voice could give, if the voice told everything that the decoder can draw.

Each PHOTO (jpg, png, webp ...) becomes DIR/NAME.png, 224 x 224. If a photo shows several faces, the
largest is used. This needs the extra "face".
"""
EPILOG = """\
examples:
  speech2face reconstruct-photo portrait.jpg --out faces
  speech2face reconstruct-photo *.jpg --out faces --json > faces.jsonl

Use pictures of people who agreed to it. If a photo cannot be used, or shows no face, one line on
standard error gives the reason; the other photos are still done, and the exit status is 1. The same
holds if the image exists already and --force is not given.
"""


def add_parser(subparsers: Any) -> None:
    """Add `reconstruct-photo`."""
    parser = subparsers.add_parser(
        "reconstruct-photo",
        help="make a face from each photo (F2F)",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="picture file")
    add_image_folder(parser)
    add_model(parser)
    add_exaggeration(parser, default=0.0)
    parser.add_argument("--json", action="store_true", help="print one JSON line per photo")
    parser.add_argument("--force", action="store_true", help="replace images that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a face from every photo; the exit status is 1 if any could not be done."""
    from speech2face.inference.photo import load_photo_pipeline

    names = image_names(arguments.photos)
    out = writable_folder(arguments.out)
    pipeline = load_photo_pipeline(arguments.model)

    def make(photo: str, name: str) -> dict[str, Any]:
        return _reconstruct_one(pipeline, photo, out / f"{name}.png", arguments)

    return each_file(names, "photo", make, as_json=arguments.json)


def _reconstruct_one(
    pipeline: "PhotoPipeline", photo: str, destination: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Make and write the image of one photo; returns the content of its JSON line."""
    refuse_existing((destination,), photo, force=arguments.force)
    face = pipeline.reconstruct(photo, exaggeration=arguments.exaggeration)
    card = pipeline.pipeline.card
    write_png(destination, face.image, png_text(NOTICE, face, card))
    return {
        "photo": photo,
        "image": str(destination),
        "exaggeration": face.exaggeration,
        "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in face.landmarks],
        "model": card.name,
        "model_sha256": card.sha256,
        "what": NOTICE,
    }

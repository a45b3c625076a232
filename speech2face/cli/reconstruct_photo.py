"""`speech2face reconstruct-photo`: photos in, the decoder's faces out (F2F)."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.images import (
    each_file,
    exaggeration,
    image_names,
    png_text,
    refuse_existing,
    writable_folder,
    write_png,
)

if TYPE_CHECKING:
    from speech2face.inference.photo import PhotoPipeline

NOTICE = "what the face decoder makes of a photo: frontal, neutral, not a picture of the person"

DESCRIPTION = """\
Make the frontal, neutral face that the model's decoder finds in a photo (F2F): what a voice could
give at best, if it told everything that the decoder can show.

Each PHOTO (jpg, png, webp ...) becomes DIR/NAME.png, 224 x 224. Of several faces in it the largest
counts. Needs the extra "face".
"""
EPILOG = """\
examples:
  speech2face reconstruct-photo portrait.jpg --out faces
  speech2face reconstruct-photo *.jpg --out faces --json > faces.jsonl

Use pictures of people who agreed to it. A photo that cannot be used, or shows no face, is named
with the reason on standard error, the others are still done, and the exit status is 1. An image
that exists is kept, and counts as such a photo, unless --force is given.
"""


def add_parser(subparsers: Any) -> None:
    """Add `reconstruct-photo`."""
    parser = subparsers.add_parser(
        "reconstruct-photo",
        help="make the decoder's face of each photo (F2F)",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="picture file")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of images, made anew")
    parser.add_argument("--model", metavar="M", help="exported model file (the embedded one)")
    parser.add_argument(
        "--exaggeration",
        type=exaggeration,
        default=0.0,
        metavar="A",
        help="push away from the mean face: 0 none, 1.4 strong, -1 the mean face (0)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a photo on stdout")
    parser.add_argument("--force", action="store_true", help="replace images that exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct every photo; 1 when any could not be done."""
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
    """Make and write the image of one photo; returns what its JSON line says."""
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

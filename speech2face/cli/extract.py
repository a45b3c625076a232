"""`speech2face extract`: compute features and faces of the clips of a manifest."""

import argparse
import sys
from pathlib import Path
from typing import Any

from speech2face.cli.arguments import exaggeration, file_name, path, seconds
from speech2face.data.sample import SPLITS
from speech2face.errors import Speech2FaceError

DESCRIPTION = """\
Run a model on every clip of a manifest and write what `speech2face evaluate` reads:
OUT/features.safetensors, OUT/faces/ID.png and OUT/extract.json.

MODEL is an exported model: a file, or `default`. It hears the voices; with --pictures it makes its
faces from pictures instead (F2F). MODEL can also be a recogniser, `dlib` or `sface`, which reads
pictures only.

WHICH pictures: `face` for the true photos, `canonical` for the authors' F2F, the name of another
system's renders in the manifest, or a folder with ID.png or ID.jpg.

MANIFEST is a JSONL file, or a folder with the clips of the authors' page.
"""
EPILOG = """\
examples:
  speech2face extract default manifest.jsonl voices
  speech2face extract default manifest.jsonl three --seconds 3 --exaggeration 0
  speech2face extract default data/authors_page f2f --split val --pictures face
  speech2face extract dlib manifest.jsonl photos
  speech2face extract dlib manifest.jsonl theirs --pictures renders/

If the command was stopped, the same command continues. A clip that cannot be used is left out, and
OUT/extract.json gives the reason; the others are still done, and the exit status is 1.
"""
RECOGNISERS = ("dlib", "sface")


def add_parser(subparsers: Any) -> None:
    """Add `extract`."""
    parser = subparsers.add_parser(
        "extract",
        help="compute features and faces of every clip of a manifest",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", type=file_name, metavar="MODEL", help="exported model, `default`, dlib or sface"
    )
    parser.add_argument(
        "manifest", type=path, metavar="MANIFEST", help="JSONL file, or a folder of clips"
    )
    parser.add_argument("out", type=path, metavar="OUT", help="folder for what is computed")
    parser.add_argument("--split", choices=SPLITS, help="the clips to use (default: all)")
    parser.add_argument(
        "--exaggeration",
        type=exaggeration,
        metavar="A",
        help="0 for none, 1.4 for strong exaggeration (default: the model's own)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help="hear only the first S seconds of speech, for example 3 (default: all)",
    )
    parser.add_argument(
        "--halves",
        action="store_true",
        help="use each half of an utterance as a clip of its own: ID_half1, ID_half2",
    )
    parser.add_argument(
        "--pictures",
        type=file_name,
        metavar="WHICH",
        help="pictures to read (default for a recogniser: face)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract every clip; the exit status is 1 if any could not be used."""
    from speech2face.inference.extract import extract, items_of
    from speech2face.progress import Progress

    samples = [
        sample for sample in _read(arguments.manifest) if arguments.split in (None, sample.split)
    ]
    if not samples:
        raise Speech2FaceError(
            f"no clip of split {arguments.split}", "leave --split out", str(arguments.manifest)
        )
    extractor = _extractor(arguments)
    items = items_of(samples, in_halves=arguments.halves)
    with Progress(len(items)) as progress:
        features = extract(
            items, extractor, arguments.out, report=lambda done: progress.step("extract", done)
        )
    n_rejected = len(items) - len(features)
    print(f"{arguments.out / 'features.safetensors'}: {len(features)} of {len(items)} clips")
    if n_rejected:
        print(f"{n_rejected} clips left out: see {arguments.out / 'extract.json'}", file=sys.stderr)
    return 1 if n_rejected else 0


def _read(manifest: Path) -> Any:
    """The samples of a manifest, or of a folder with the clips of the authors' page."""
    from speech2face.data import authors_page
    from speech2face.data.manifest import read_manifest

    return authors_page.read(manifest) if manifest.is_dir() else read_manifest(manifest)


def _extractor(arguments: argparse.Namespace) -> Any:
    from speech2face.inference.extract import PhotoExtractor, PictureExtractor, VoiceExtractor

    is_recogniser = arguments.model in RECOGNISERS
    if not is_recogniser and arguments.pictures is None:
        from speech2face.inference.pipeline import load_model

        return VoiceExtractor(
            load_model(arguments.model),
            exaggeration=arguments.exaggeration,
            clip_seconds=arguments.seconds,
        )
    if arguments.exaggeration is not None or arguments.seconds is not None or arguments.halves:
        cause = arguments.model if is_recogniser else "--pictures"
        raise Speech2FaceError(
            f"with {cause}, pictures are read and no voice is heard",
            "leave --exaggeration, --seconds and --halves out, or use a model that hears voices",
        )
    which = arguments.pictures or "face"
    folder = Path(which) if Path(which).is_dir() else None
    if is_recogniser:
        return PictureExtractor(_recogniser(arguments.model), which, folder)
    from speech2face.inference.photo import load_photo_pipeline

    return PhotoExtractor(load_photo_pipeline(arguments.model), which, folder)


def _recogniser(name: str) -> Any:
    if name == "dlib":
        from speech2face.face.encoder import DlibFaceEncoder

        return DlibFaceEncoder()
    from speech2face.face.sface import SFaceEncoder

    return SFaceEncoder()

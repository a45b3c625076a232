"""`speech2face extract`: compute features and faces of the clips of a manifest."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech2face.cli.arguments import exaggeration, file_name, path, positive_count, seconds
from speech2face.cli.corpora import read_samples
from speech2face.cli.results import print_result
from speech2face.cli.runner_options import add_runner_options, runner_of
from speech2face.data.sample import SPLITS
from speech2face.errors import Speech2FaceError
from speech2face.face.recognisers import WITHOUT_WEIGHTS

if TYPE_CHECKING:
    from speech2face.inference.extractor_choice import ExtractorChoice

DESCRIPTION = """\
Run a model on every clip of a manifest and write what `speech2face evaluate` reads:
OUT/features.safetensors, OUT/faces/ID.png and OUT/extract.json.

MODEL is an exported model: a file, or `default`. It hears the voices; with --pictures it makes its
faces from pictures instead (F2F). MODEL can also be a recogniser, `dlib` or `sface`, which reads
pictures only.

WHICH pictures: `face` for the true photos, `canonical` for the authors' F2F, the name of another
system's renders in the manifest, or a folder with ID.png or ID.jpg.

MANIFEST is a JSONL file, or a folder with the clips of the authors' page. It may also be a folder
that `speech2face prepare` has filled from videos. Its clips can be extracted by several processes
or on a cluster, and their faces are in the shards of OUT/clips, not in OUT/faces.
"""
EPILOG = """\
examples:
  speech2face extract default manifest.jsonl voices
  speech2face extract default manifest.jsonl three --seconds 3 --exaggeration 0
  speech2face extract default data/authors_page f2f --split val --pictures face
  speech2face extract dlib manifest.jsonl photos
  speech2face extract dlib manifest.jsonl theirs --pictures renders/
  speech2face extract default shards heard --split test --runner processes --workers 8

If the command was stopped, the same command continues. A clip that cannot be used is left out, and
OUT/extract.json gives the reason; the others are still done, and the exit status is 1.
"""


def add_parser(subparsers: Any) -> None:
    """Add `extract`."""
    parser = subparsers.add_parser(
        "extract",
        help="compute features and faces of every clip of a manifest",
        description=DESCRIPTION,
        epilog=EPILOG,
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
    parser.add_argument(
        "--retry",
        action="append",
        default=[],
        metavar="REASON",
        help="of prepared clips, try again those that an earlier run left out as unusable, crashed "
        "or timeout; may be repeated",
    )
    parser.add_argument(
        "--shard-size",
        type=positive_count,
        default=512,
        metavar="N",
        help="of prepared clips, results per shard (default: 512)",
    )
    add_runner_options(parser, "where prepared clips are extracted")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract every clip; the exit status is 1 if any could not be used."""
    from speech2face.data.prepared import PREPARED

    choice = _choice(arguments)
    if (arguments.manifest / PREPARED).is_file():
        return _run_on_shards(arguments, choice)
    _refuse_shard_options(arguments)
    from speech2face.inference.extract import extract, items_of
    from speech2face.progress import Progress

    samples = [
        sample
        for sample in read_samples(arguments.manifest)
        if arguments.split in (None, sample.split)
    ]
    if not samples:
        raise Speech2FaceError(
            f"no clip of split {arguments.split}", "leave --split out", str(arguments.manifest)
        )
    items = items_of(samples, in_halves=arguments.halves)
    with Progress(len(items)) as progress:
        features = extract(
            items, choice.open(), arguments.out, report=lambda done: progress.step("extract", done)
        )
    return _told(arguments, len(features), len(items))


def _run_on_shards(arguments: argparse.Namespace, choice: "ExtractorChoice") -> int:
    from speech2face.inference.extract_shards import extract_shards, prepared_items
    from speech2face.progress import Progress

    run, choice, out = runner_of(arguments), choice.for_workers(), arguments.out.absolute()
    items = prepared_items(
        arguments.manifest.absolute(), choice, split=arguments.split, in_halves=arguments.halves
    )
    with Progress(len(items)) as progress:
        features = extract_shards(
            items,
            choice,
            out,
            run,
            retry=arguments.retry,
            shard_size=arguments.shard_size,
            report=lambda done: progress.step("extract", done),
        )
    return _told(arguments, len(features), len(items))


def _told(arguments: argparse.Namespace, n_done: int, n_items: int) -> int:
    """Print how many clips there are, and return the exit status."""
    out: Path = arguments.out
    features = out / "features.safetensors"
    told = f"{features}: {n_done} of {n_items} clips"
    print_result(arguments, told, features=features, clips=n_done, of=n_items)
    if n_done < n_items:
        print(f"{n_items - n_done} clips left out: see {out / 'extract.json'}", file=sys.stderr)
    return 1 if n_done < n_items else 0


def _refuse_shard_options(arguments: argparse.Namespace) -> None:
    """The clips of a manifest are extracted by this process alone."""
    if arguments.runner != "serial" or arguments.address or arguments.retry:
        problem = f"{arguments.manifest} is no folder of clips that were prepared from videos"
        raise Speech2FaceError(problem, "leave out --runner, --address and --retry")


def _choice(arguments: argparse.Namespace) -> "ExtractorChoice":
    """What extracts; raises if there are settings of voices while pictures are read."""
    from speech2face.inference.extractor_choice import ExtractorChoice

    choice = ExtractorChoice(
        model=arguments.model,
        pictures=arguments.pictures,
        exaggeration=arguments.exaggeration,
        clip_seconds=arguments.seconds,
    )
    voice_settings = arguments.halves or arguments.exaggeration is not None or arguments.seconds
    if voice_settings and not choice.hears:
        cause = arguments.model if arguments.model in WITHOUT_WEIGHTS else "--pictures"
        raise Speech2FaceError(
            f"with {cause}, pictures are read and no voice is heard",
            "leave --exaggeration, --seconds and --halves out, or use a model that hears voices",
        )
    return choice

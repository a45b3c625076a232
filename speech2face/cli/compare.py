"""`speech2face compare`: other published systems, the matcher and our faces on the same clips."""

import argparse
from typing import Any

from speech2face.cli.arguments import path
from speech2face.cli.parser import add_model, add_page_clips
from speech2face.cli.results import print_result
from speech2face.cli.settings import (
    add_settings,
    log_to_terminal,
    print_settings,
    require_extra,
    resolved,
)
from speech2face.errors import Speech2FaceError

DESCRIPTION = """\
Train SVHF-Net, Kim et al., DIMNet, Wav2Pix and the voice-to-face GAN, all compact and on frozen
encoders, and the matcher, on the train split of the clips in DIR. Then judge them and the images of
the model on another split, in both directions, by the same rules. The result is OUT/report.html,
OUT/report.md and OUT/results.json. Needs the extras "train", "face", "sface" and "evaluate".
"""
EPILOG = """\
examples:
  speech2face compare --data data/authors_page --out comparison
  speech2face compare --data data/authors_page --out comparison --systems kim,dimnet
  speech2face compare --data data/authors_page --out other --set kim.width=64

What was heard, read and trained is kept in OUT, so the same command goes on where it was stopped.
OUT then has pictures made of real people's voices, and networks that learned from real faces: keep
it to yourself. Choose on val; look at test once.
"""


def add_parser(subparsers: Any) -> None:
    """Add `compare`."""
    parser = subparsers.add_parser(
        "compare",
        help="compare other systems, the matcher and our faces",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add_page_clips(parser)
    parser.add_argument("--out", type=path, metavar="OUT", help="folder of the report")
    add_model(parser)
    parser.add_argument(
        "--split", choices=("val", "test"), default="val", help="clips to judge on (default: val)"
    )
    parser.add_argument(
        "--systems",
        metavar="A,B",
        help="other systems to train, separated by commas (default: all five)",
    )
    parser.add_argument("--force", action="store_true", help="replace a report that exists")
    add_settings(parser, defaults="the compact settings", example="kim.plan.epochs=20")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and say where the report is."""
    require_extra()
    from speech2face.baselines.settings import Trainings
    from speech2face.inference.pipeline import load_model
    from speech2face.report.compare import compare

    settings = resolved(Trainings(), arguments)
    if arguments.dry_run:
        return print_settings(settings, arguments)
    for option, value in (("--data", arguments.data), ("--out", arguments.out)):
        if value is None:
            raise Speech2FaceError(f"{option} is missing", f"add {option} and a folder")
    report = arguments.out / "report.html"
    if report.exists() and not arguments.force:
        problem = "the report exists already"
        raise Speech2FaceError(problem, "give --force, or another --out", str(report))
    log_to_terminal()
    names = None if arguments.systems is None else arguments.systems.split(",")
    left_out = compare(
        arguments.data,
        load_model(arguments.model),
        arguments.out,
        split=arguments.split,
        systems=names,
        settings=settings,
    )
    print_result(arguments, str(report), report=report)
    return 1 if left_out else 0

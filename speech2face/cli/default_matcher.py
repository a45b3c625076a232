"""`speech2face default-matcher`: from the clips of the authors' page to the matcher of a model."""

import argparse
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from speech2face.cli.arguments import path
from speech2face.cli.default_model import CORPUS, LICENCE, PACKAGE, commit
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
Fit the maps that match voices and faces, for one model, and write them beside it:

  NAME-match.safetensors     two linear maps, of voices and of photos
  NAME-match.json            the card: digests, licence, provenance, recipe, calibration

DIR is a checkout of the page's repository, or the prepared folder (with manifest.jsonl). Its train
and val clips are learned from; test is never opened. The maps belong to this one model file: after
the model is made anew, make them again. This needs the extras "train", "face" and "sface".
"""
EPILOG = """\
examples:
  speech2face default-matcher --data data/authors_page
  speech2face default-matcher --data speech2face.github.io --model made/default.onnx

If the command was stopped, the same command continues, and ends with the same maps. The clips have
no licence and show people who were not asked, so use the maps only for research that is not
commercial.
"""
SPLITS = ("train", "val")
VERSION = 1


def add_parser(subparsers: Any) -> None:
    """Add `default-matcher`."""
    parser = subparsers.add_parser(
        "default-matcher",
        help="fit the maps that match voices and faces, for a model",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add_page_clips(parser)
    add_model(parser)
    parser.add_argument(
        "--run-dir",
        type=path,
        default=Path("runs") / "matcher",
        metavar="R",
        help="run directory: a new one, or one to continue (default: runs/matcher)",
    )
    parser.add_argument("--force", action="store_true", help="replace maps that exist")
    add_settings(parser, defaults="the recipe", example="face_ridge=0.05")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write, say where the maps are."""
    require_extra()
    from speech2face.inference.matcher import matcher_path_of
    from speech2face.training.recipes.matcher import MatcherConfig

    config = resolved(MatcherConfig(), arguments)
    if arguments.dry_run:
        return print_settings(config, arguments)
    if arguments.data is None:
        raise Speech2FaceError("--data is missing", "add --data and the folder of the clips")
    destination = matcher_path_of(arguments.model)
    if arguments.model is None and not (PACKAGE.parent / "pyproject.toml").is_file():
        problem = "an installed package does not replace its own matcher"
        raise Speech2FaceError(problem, "give --model, or work in a checkout", str(PACKAGE))
    if destination.exists() and not arguments.force:
        raise Speech2FaceError(
            "there is a matcher already", "give --force to replace it", str(destination)
        )
    log_to_terminal()
    matcher = _make(config, arguments, destination)
    print_result(arguments, str(matcher), matcher=matcher)
    return 0


def _make(config: Any, arguments: argparse.Namespace, destination: Path) -> Path:
    """Describe the clips, fit and write; the file of the maps."""
    from speech2face.configuration import to_json
    from speech2face.data import authors_page
    from speech2face.inference.descriptions import describe_clips
    from speech2face.inference.matcher import write_matcher
    from speech2face.inference.pipeline import load_model
    from speech2face.progress import Progress
    from speech2face.training.recipes.matcher import Pairs, fit_matcher

    pipeline = load_model(arguments.model)
    samples = [one for one in authors_page.read(arguments.data) if one.split in SPLITS]
    with Progress(len(samples)) as progress:
        clips = describe_clips(samples, pipeline, arguments.run_dir, progress=progress.advance)
    for reason, n_clips in sorted(Counter(clips.left_out.values()).items()):
        logging.warning("%d clips are left out: %s", n_clips, reason)
    pairs = Pairs.of(
        clips.descriptors,
        pipeline.card.descriptor_sizes,
        clips.readings,
        [sample.person for sample in clips.samples],
    )
    maps = fit_matcher(pairs, pipeline.card.sha256, config)
    card = {
        "version": VERSION,
        "licence": LICENCE,
        "trained_on": CORPUS,
        "clips": {"splits": SPLITS, "clips": len(pairs), "persons": len(set(pairs.persons))},
        "recipe": to_json(config),
        "seed": config.seed,
        "commit": commit(),
    }
    return write_matcher(maps, destination, json.loads(json.dumps(card)))
